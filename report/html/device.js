// SPDX-License-Identifier: MIT
// What the GPU of a run was given and said of itself, one trial at a time: its figures, its timeline, its traffic against time.
import {choice, h, missing, remarks, section, table, tag} from './dom.js';
import {bytes, digits, flops, known, list, ms, percent, scaled, whole} from './format.js';
import {absence, opTrial, shortLabel} from './model.js';
import {timeline} from './timeline.js';
import {traffic} from './traffic.js';

const PHASES = ['prefill', 'decode'];
const hz = (x) => scaled(x, 'Hz');
const bytesPerSecond = (x) => scaled(x, 'B/s');
const flopsPerSecond = (x) => scaled(x, 'FLOP/s');
const degrees = (x) => (known(x) ? `${whole(x)} °C` : null);

/* The readings shown: who gives them, and whether they are missed where nobody did. */
const READINGS = [
  {metric: 'dram_read_bytes', name: 'read from memory', text: bytes, probe: 'cupti', missed: true},
  {metric: 'dram_write_bytes', name: 'written to memory', text: bytes, probe: 'cupti', missed: true},
  {metric: 'l2_bytes', name: 'through L2', text: bytes, probe: 'cupti'},
  {metric: 'flops_tensor', name: 'FLOPs of tensor cores', text: flops, probe: 'cupti', missed: true},
  {metric: 'flops_f32', name: 'FLOPs in float32 outside them', text: flops, probe: 'cupti', missed: true},
  {metric: 'flops_f16', name: 'FLOPs in float16 outside them', text: flops, probe: 'cupti'},
  {metric: 'sm_active', name: 'multiprocessors active', text: percent, probe: 'cupti'},
  {metric: 'warps_active', name: 'warps active', text: percent, probe: 'cupti'},
  {metric: 'tensor_active', name: 'tensor cores active', text: percent, probe: 'cupti'},
  {metric: 'dram_active', name: 'memory active', text: percent, probe: 'cupti'},
  {metric: 'gpu_hz', name: 'clock', text: hz, probe: 'nvml', missed: true},
  {metric: 'gpu_dram_hz', name: 'clock of the memory', text: hz, probe: 'cupti'},
  {metric: 'peak_dram_bps', name: 'what memory could move at that clock, in theory', text: bytesPerSecond, probe: 'cupti'},
  {metric: 'peak_tensor_flops', name: 'what tensor cores could compute at that clock, in theory', text: flopsPerSecond, probe: 'cupti'},
  {metric: 'gpu_utilization', name: 'utilisation, the driver’s figure', text: percent, probe: 'nvml', missed: true},
  {metric: 'gpu_memory_bytes', name: 'GPU memory in use', text: bytes, probe: 'nvml'},
  {metric: 'gpu_temperature_c', name: 'temperature', text: degrees, probe: 'nvml', missed: true},
];

const reading = (t, phase, metric) => t.device.readings[phase][metric];

/* The value with where it comes from, or a number that leads to the reason. */
function cell(doc, r, {metric, text, probe}, notes) {
  if (known(r?.value)) return [text(r.value), ' ', tag(r.provenance)];
  return [missing('not measured'), notes.mark(`${metric}: ${r?.why || absence(doc, probe, metric)}`)];
}

/* In both phases; a trial of one token has no decode step. */
const inPhases = (t, make) => PHASES.map((phase) => (t[phase] ? make(phase) : '\u2014'));

const cells = (doc, t, row, notes) => inPhases(t, (phase) => cell(doc, reading(t, phase, row.metric), row, notes));

const launches = (t) => inPhases(t, (phase) => whole(t.device.launches[phase]) || missing('not counted'));

/* Of the time from its first to its last kernel. */
function busy(doc, t, notes) {
  return inPhases(t, (phase) => {
    const at = reading(t, phase, 'gpu_busy_ns'),
      all = reading(t, phase, 'gpu_ns');
    return known(at?.value) && all?.value > 0
      ? [percent(at.value / all.value), h('small', null, ` of ${ms(all.value / 1e6)}`), ' ', tag(at.provenance)]
      : cell(doc, {why: at?.why}, {metric: 'gpu_busy_ns', probe: 'trace'}, notes);
  });
}

function energy(doc, t, notes) {
  return inPhases(t, (phase) => {
    const e = t.energy?.of === 'GPU board' ? t.energy[phase] : null;
    const at = known(e?.watts?.median) ? h('small', null, ` at ${digits(e.watts.median)} W`) : null;
    return known(e?.joules_per_token)
      ? [`${digits(e.joules_per_token)} J`, at, ' ', tag('vendor')]
      : cell(doc, null, {metric: 'gpu_energy_j', probe: 'nvml'}, notes);
  });
}

/* What a step would take if its arithmetic, its traffic or its launches were all there is. */
const ROOFS = [
  ['time at the compute roof', 't_compute_ms'],
  ['time at the memory roof', 't_memory_ms'],
  ['time at the launch roof', 't_launch_ms'],
];

function atRoof(phase, key) {
  const took = ms(phase.verdict?.[key]);
  return took ? [took, known(phase.ms?.median) && h('small', null, ` of ${ms(phase.ms.median)}`)] : missing('no roof');
}

const told = (t, row) => PHASES.some((phase) => reading(t, phase, row.metric));

/* NVML was asked when it gave anything at all. */
function slowed(doc, t) {
  const all = PHASES.flatMap((phase) => Object.values(t.device.readings[phase])),
    asked = all.some((r) => r.provenance === 'vendor');
  if (t.device.slowed.length)
    return ['Clocks were slowed at times by: ', h('strong', null, list(t.device.slowed)), '. ', tag('vendor')];
  return asked
    ? ['Nothing slowed the clocks in any step. ', tag('vendor')]
    : missing(`Whether something slowed the clocks is not known: ${absence(doc, 'nvml')}`);
}

function card(doc, t) {
  const notes = remarks();
  return h(
    'div',
    {class: 'device'},
    table(
      `The GPU in ${shortLabel(t)}: medians of a step over executions`,
      [{head: 'figure'}, {head: 'prefill'}, {head: t.new_tokens > 2 ? 'a decode step' : 'the decode step'}],
      [
        ['kernels, copies and sets handed over', ...launches(t)],
        ['at work, from first kernel to last', ...busy(doc, t, notes)],
        ...READINGS.filter((row) => row.missed || told(t, row)).map((row) => [row.name, ...cells(doc, t, row, notes)]),
        ['energy a token, whole board', ...energy(doc, t, notes)],
        ...ROOFS.map(([name, key]) => [name, ...inPhases(t, (phase) => atRoof(t[phase], key))]),
      ],
    ),
    notes.list(),
    h('p', null, slowed(doc, t)),
  );
}

/* The one with most to show comes first. */
function order(doc, trials) {
  const rich = (t) => 2 * (t.device.timeline.length > 0) + (t.device.samples !== null) + (t === opTrial(doc)) / 2;
  return [...trials].sort((a, b) => rich(b) - rich(a));
}

export function device(doc) {
  const trials = order(
    doc,
    doc.trials.filter((t) => t.device),
  );
  if (!trials.length) return null;
  return section(
    'device',
    'On the GPU',
    h(
      'p',
      {class: 'note'},
      `${doc.device?.name || 'A GPU'}. Times, timeline, counters and samples are passes of their own, so that none disturbs another. What is handed over is the engine’s own count.`,
    ),
    choice('Trial', trials.map(shortLabel), (i) => [card(doc, trials[i]), timeline(doc, trials[i]), traffic(doc, trials[i])]),
  );
}
