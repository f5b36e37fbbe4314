// SPDX-License-Identifier: MIT
// Where a step goes, op by op: a table a phase with every op against its roof, and its layers folded below. Ops without FLOPs
// (norm, rotary, embed, sample) have no place on the roofline and stand here only.
import {badge, h, missing, section, table, tag} from './dom.js';
import {bytes, digits, flops, known, ms, percent, range, signed} from './format.js';
import {VERDICT_TONE, opTrial, shortLabel} from './model.js';

const PHASES = {prefill: 'Prefill', decode: 'The mean decode step'};

const amount = (a, text) => {
  if (!a) return missing('unknown');
  const counted = known(a.counted),
    value = counted ? a.counted : a.analytic;
  return known(value) && value > 0 ? [text(value), ' ', tag(counted ? 'counter' : 'analytic')] : '\u2014';
};

const speed = (x) => (known(x) && x > 0 ? digits(x) : '\u2014');

function roofCell(v) {
  if (!v) return '\u2014';
  if (!known(v.efficiency)) return missing(v.sentence);
  return [percent(v.efficiency), h('small', null, ` of ${v.roof}`)];
}

function verdictCell(v) {
  if (!v) return '\u2014';
  return v.kind === 'unknown'
    ? missing('no verdict')
    : [
        badge(v.kind.replace('-bound', ''), VERDICT_TONE[v.kind] || 'open'),
        v.cache !== null && v.cache !== undefined ? [' ', badge('in cache', 'open')] : null,
      ];
}

const row = (o) => [
  o.op,
  range(o.ms) || missing('not measured'),
  percent(o.share?.median) || missing('unknown'),
  amount(o.flops, flops),
  amount(o.bytes, bytes),
  speed(o.gflops),
  speed(o.gbps),
  roofCell(o.verdict),
  verdictCell(o.verdict),
];

const COLUMNS = [
  {head: 'op'},
  {head: 'ms', tag: 'timer'},
  {head: 'of the step'},
  {head: 'FLOPs'},
  {head: 'bytes read'},
  {head: 'GFLOP/s'},
  {head: 'GB/s'},
  {head: 'of its roof'},
  {head: 'bound by'},
];

/* A column a layer would not fit; the slowest layers are what one looks for. */
function layersOf(t, phase) {
  const ops = t.per_op[phase].ops.filter((o) => o.layers?.length);
  if (!ops.length) return null;
  const rows = [...new Set(ops.flatMap((o) => o.layers.map((l) => l.layer)))].map((layer) => [
    `layer ${layer}`,
    ...ops.flatMap((o) => {
      const l = o.layers.find((x) => x.layer === layer);
      return [l ? digits(l.ms) : missing('none')];
    }),
  ]);
  return h(
    'details',
    null,
    h('summary', null, `${PHASES[phase]}, layer by layer`),
    table(
      `${PHASES[phase]}: milliseconds of each op in each layer, ${shortLabel(t)}`,
      [{head: 'layer'}, ...ops.map((o) => ({head: o.op, tag: 'timer'}))],
      rows,
    ),
  );
}

function phaseTable(t, phase) {
  const p = t.per_op?.[phase];
  if (!p) return null;
  const between = known(p.between_ms?.median) ? `, ${ms(p.between_ms.median)} of it between ops` : '';
  return [
    table(
      `${PHASES[phase]} by op, ${shortLabel(t)}: ${ms(p.step_ms?.median) || 'not measured'}${between}; ${signed(p.perturbation) || 'unknown'} against the timing pass`,
      COLUMNS,
      p.ops.map(row),
    ),
    layersOf(t, phase),
  ];
}

/* How an op's time came about. */
const CPU_WORDS =
  'Passes in which each op has a clock of its own, and each group of counters is read around each op. An op’s time is without the ops inside it, so all ops and what lies between them are the step. The difference from the timing pass is what looking so closely costs. Medians over executions; decode is the mean of an execution’s steps, so that the ops add up.';
const GPU_WORDS =
  'Passes in which the GPU’s kernels are known by their ops: an op’s time is that of its kernels, copies and sets, and what lies between them is the step’s alone. Steps run in pieces and without a graph for it; the difference from the timing pass is what that costs. Medians over executions; decode is the mean of an execution’s steps, so that the ops add up.';

const phaseTables = (t) => Object.keys(PHASES).map((phase) => phaseTable(t, phase));

export function ops(doc) {
  const main = opTrial(doc),
    others = doc.trials.filter((t) => t.per_op && t !== main);
  return section(
    'ops',
    'Op by op',
    h(
      'p',
      {class: 'note'},
      doc.device ? GPU_WORDS : CPU_WORDS,
    ),
    main ? phaseTables(main) : h('p', null, missing('Not measured: bench run SUITE --per op measures it.')),
    others.length
      ? h(
          'details',
          null,
          h('summary', null, others.length === 1 ? 'The other trial' : `The other ${others.length} trials`),
          others.map((t) => [h('h3', null, shortLabel(t)), phaseTables(t)]),
        )
      : null,
  );
}
