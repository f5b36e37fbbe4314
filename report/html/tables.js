// SPDX-License-Identifier: MIT
// The numbers behind the charts: trials, counted against analytic work, KV cache, roofs with their drift, work by operation.
import {badge, h, missing, remarks, section, table, tag} from './dom.js';
import {bytes, digits, flops, known, list, percent, roofValue, signed, whole} from './format.js';
import {energy} from './energy.js';
import {filtered} from './filter.js';
import {VERDICT_TONE, isMain, shortLabel, whyNotCounted} from './model.js';

function estimate(e, why) {
  if (!e || !known(e.median)) return missing(why);
  return [
    digits(e.median),
    known(e.lo) && known(e.hi) && e.n > 1
      ? h('small', null, ` [${digits(e.lo)}, ${digits(e.hi)}]`)
      : h('small', null, ` n=${e.n ?? '?'}`),
  ];
}

const number = (x, why) => (known(x) ? digits(x) : missing(why));

function share(v, why) {
  return v && known(v.efficiency) ? [percent(v.efficiency), ' ', v.source && tag(v.source)] : missing(why);
}

const verdictBadge = (v, why) =>
  v?.kind && v.kind !== 'unknown'
    ? [
        badge(v.kind.replace('-bound', ''), VERDICT_TONE[v.kind] || 'open'),
        v.cache !== null && v.cache !== undefined ? [' ', badge('in cache', 'open')] : null,
      ]
    : missing(v?.sentence || why);

function trialRow(t) {
  const none = t.repetitions ? 'not measured' : 'no repetition finished';
  const noDecode = t.new_tokens === 1 ? 'one token: no decode' : none;
  return [
    shortLabel(t),
    estimate(t.prefill?.ms, none),
    number(t.prefill?.tokens_per_s, none),
    share(t.prefill?.verdict, 'no roof'),
    verdictBadge(t.prefill?.verdict, none),
    estimate(t.decode?.ms, noDecode),
    number(t.decode?.tokens_per_s, noDecode),
    share(t.decode?.verdict, t.decode ? 'no roof' : noDecode),
    verdictBadge(t.decode?.verdict, noDecode),
  ];
}

function repetitions(t, notes) {
  const words = [];
  if (!t.planned_done) words.push('The run ended before all planned repetitions of this trial.');
  if (t.unconverged)
    words.push('The interval is wider than the suite asked for when its time or its repetitions were spent.');
  if (t.tokens_agree === false) words.push('Repetitions chose different tokens.');
  return [t.repetitions ?? 0, words.map(notes.mark)];
}

function requestRow(t, notes) {
  const none = t.decode ? 'not measured' : 'no decode';
  const few = (least) => (t.decode ? `n < ${least}` : 'no decode');
  return [
    shortLabel(t),
    estimate(t.total_ms, 'not measured'),
    number(t.token_per_s, 'not measured'),
    estimate(t.ttft_ms, 'not measured'),
    estimate(t.tpot_ms, none),
    number(t.decode?.p50_ms, none),
    number(t.decode?.p90_ms, few(64)),
    number(t.decode?.p99_ms, few(662)),
    t.decode ? whole(t.decode.n) || missing('none') : missing('no decode'),
    number(t.prefill?.predicted_ms, 'no roof'),
    number(t.decode?.predicted_ms, t.decode ? 'no roof' : 'no decode'),
    repetitions(t, notes),
  ];
}

export function trials(doc) {
  if (!doc.trials.length) return section('trials', 'Trials', h('p', null, missing('No trial was begun.')));
  const p = 'Prefill',
    d = 'Decode, a step',
    q = 'ITL of pooled steps, ms',
    r = 'at the roof, ms';
  const notes = remarks(),
    differ = doc.trials.filter((t) => t.tokens_agree === false).length;
  return section(
    'trials',
    'Trials',
    h(
      'p',
      {class: 'note'},
      'Cache · prompt → new tokens. Medians over repetitions with bootstrap 95 % intervals. ',
      differ
        ? `In ${differ} trials repetitions chose different tokens: that is a failure.`
        : 'Every repetition and pass of a trial chose the same tokens.',
    ),
    filtered(
      doc,
      doc.trials,
      table(
        'Phases: time, rate and verdict',
        [
          {head: 'trial'},
          {head: 'ms', group: p, tag: 'timer'},
          {head: 'token/s', group: p},
          {head: 'of roof', group: p},
          {head: 'bound by', group: p},
          {head: 'ms', group: d, tag: 'timer'},
          {head: 'token/s', group: d},
          {head: 'of roof', group: d},
          {head: 'bound by', group: d},
        ],
        doc.trials.map(trialRow),
      ),
      h('h3', null, 'Requests'),
      table(
        'Whole requests, and the time at the roof that was predicted before the trial ran',
        [
          {head: 'trial'},
          {head: 'total, ms', tag: 'timer'},
          {head: 'token/s'},
          {head: 'TTFT, ms', tag: 'timer'},
          {head: 'TPOT, ms', tag: 'timer'},
          {head: 'p50', group: q},
          {head: 'p90', group: q},
          {head: 'p99', group: q},
          {head: 'n', group: q},
          {head: 'prefill', group: r},
          {head: 'step', group: r},
          {head: 'repetitions'},
        ],
        doc.trials.map((t) => requestRow(t, notes)),
      ),
    ),
    notes.list(),
    h('h3', null, 'Energy'),
    energy(doc),
  );
}

function amountCells(doc, a, metric, text, notes) {
  const counted = known(a?.counted);
  const reason = a?.why || (counted ? null : whyNotCounted(doc, metric));
  return [
    text(a?.analytic) || missing('not stored'),
    [counted ? text(a.counted) : missing('not counted'), reason && notes.mark(reason)],
    counted && known(a.error) ? signed(a.error) : missing('none'),
    tag(counted ? a.provenance || 'counter' : 'analytic'),
  ];
}

export function work(doc) {
  const notes = remarks();
  const rows = doc.trials.flatMap((t) =>
    ['prefill', 'decode']
      .filter((phase) => t[phase])
      .map((phase) => [
        `${phase}, ${shortLabel(t)}`,
        ...amountCells(doc, t[phase].flops, 'flops', flops, notes),
        ...amountCells(doc, t[phase].bytes, 'bytes', bytes, notes),
      ]),
  );
  const columns = ['FLOPs', 'bytes from memory'].flatMap((group) =>
    ['analytic', 'counted', 'error', 'used'].map((head) => ({head, group})),
  );
  return section(
    'work',
    'Counted against analytic work',
    h(
      'p',
      {class: 'note'},
      'Analytic work comes from shapes and was stored before the trial ran; counted work comes from hardware counters in passes of their own. ' +
        'Decode: mean of a step. The error is counted / analytic \u2212 1; “used” is what the verdict rests on.',
    ),
    rows.length
      ? table('FLOPs and bytes, counted and analytic', [{head: 'phase and trial'}, ...columns], rows)
      : h('p', null, missing('No trial has work to show.')),
    notes.list(),
    operations(doc),
  );
}

function operations(doc) {
  const t = [...doc.trials].filter((x) => x.ops?.length).sort((a, b) => b.new_tokens - a.new_tokens)[0];
  if (!t) return h('p', null, missing('No work by operation was stored.'));
  const steps = [...new Set(t.ops.map((o) => o.step))].sort((a, b) => a - b);
  const names = [...new Set(t.ops.map((o) => o.op))],
    title = (s) => (s === 0 ? 'prefill' : `decode step ${s}`);
  const of = (op, s) => t.ops.find((o) => o.op === op && o.step === s);
  const total = (s, key) => t.ops.filter((o) => o.step === s).reduce((a, o) => a + (o[key] || 0), 0);
  const cells = (op, s) => {
    const o = of(op, s);
    const absent = missing('not in this pass');
    return o
      ? [
          flops(o.flops) ?? absent,
          bytes(o.bytes) ?? missing('unknown'),
          o.bytes > 0 ? digits(o.flops / o.bytes) : '\u2014',
        ]
      : [absent, absent, absent];
  };
  const sums = steps.flatMap((s) => [
    flops(total(s, 'flops')),
    bytes(total(s, 'bytes')),
    total(s, 'bytes') > 0 ? digits(total(s, 'flops') / total(s, 'bytes')) : '\u2014',
  ]);
  return [
    h('h3', null, `Work by operation: ${shortLabel(t)}`),
    h('p', {class: 'note'}, 'All analytic, summed over layers. AI: FLOP per byte.'),
    table(
      `Analytic work by operation, ${t.label}`,
      [{head: 'operation'}, ...steps.flatMap((s) => ['FLOPs', 'bytes', 'AI'].map((head) => ({head, group: title(s)})))],
      [...names.map((op) => [op, ...steps.flatMap((s) => cells(op, s))]), ['all', ...sums]],
    ),
  ];
}

/* Without the cache a pass may still keep one layer's keys and values while it computes that layer. */
function cacheDifference(t, layers) {
  const {allocated_bytes: allocated, formula_bytes: formula} = t.kv;
  if (!known(allocated) || !(formula > 0)) return missing('nothing to compare');
  if (t.kv_cache === 'on') return signed(allocated / formula - 1) || '0 %';
  return missing(allocated === formula / layers ? 'one layer, while it is computed' : 'nothing to compare');
}

export function cache(doc) {
  const {model} = doc;
  const sizes = [...new Set(doc.trials.map((t) => t.kv?.bytes_per_token).filter(known))].sort((a, b) => b - a);
  const per = known(model.kv_numbers_per_token)
    ? `${whole(model.kv_numbers_per_token)} numbers${sizes.length ? `, ${list(sizes.map(whole))} bytes` : ''} a token and sequence`
    : null;
  const rows = doc.trials
    .filter((t) => t.kv)
    .map((t) => [
      shortLabel(t),
      t.kv_cache === 'on' && t.kv.shape?.length
        ? `(${t.kv.shape.join(', ')})`
        : missing(t.kv_cache === 'on' ? 'not recorded' : 'no cache in this arm'),
      bytes(t.kv.formula_bytes)
        ? [bytes(t.kv.formula_bytes), t.kv_cache === 'off' && missing(' if kept')]
        : missing('not computed'),
      known(t.kv.allocated_bytes) ? bytes(t.kv.allocated_bytes) : missing('not recorded'),
      cacheDifference(t, model.layers),
    ]);
  return section(
    'cache',
    'KV cache',
    h(
      'p',
      {class: 'note'},
      '2 (K and V) × layers × rows × KV heads × tokens held × head size × bytes of a number',
      per ? ` = 2 × ${model.layers} × ${model.kv_heads} × ${model.head_dim}: ${per}.` : '.',
      ' A row for each sequence, or for each of its beams. The last chosen token is never fed back, so prompt + new \u2212 1 tokens are held.',
    ),
    rows.length
      ? table(
          'KV cache at the last step, one layer’s K (V is the same)',
          [
            {head: 'trial'},
            {head: '(rows, heads, tokens, head size)'},
            {head: 'by formula', tag: 'analytic'},
            {head: 'allocated', tag: 'os'},
            {head: 'difference'},
          ],
          rows,
        )
      : h('p', null, missing('No trial was begun.')),
  );
}

export function roofs(doc) {
  if (!doc.roofs.length) return section('roofs', 'Roofs', h('p', null, missing('No roof was measured.')));
  const rounds = Math.max(...doc.roofs.map((r) => r.rounds?.length || 0)),
    launches = doc.roofs.some((r) => r.kind === 'launch') ? ', launches in M/s' : '';
  const name = (r) => (isMain(doc, r) ? [r.name, ' ', badge('main', 'open')] : r.name);
  const rows = doc.roofs.map((r) => [
    name(r),
    r.level,
    r.threads ?? missing('unknown'),
    roofValue(r.value, r.unit) || missing('not measured'),
    r.n > 1 && r.lo > 0 ? percent(r.hi / r.lo - 1) : missing('one round'),
    (r.rounds || []).map((x) => digits(x.value / (r.kind === 'launch' ? 1e6 : 1e9))).join(' → ') || missing('none'),
    r.how,
  ]);
  return section(
    'roofs',
    'Roofs',
    h(
      'p',
      {class: 'note'},
      'Measured in this run, by this process, with the threads of the trials: before, between and after them. Main: a verdict rests on it. Highest over lowest round is the drift that every “% of roof” carries.',
    ),
    table(
      'Measured roofs',
      [
        {head: 'roof'},
        {head: 'level'},
        {head: 'threads'},
        {head: 'median', tag: 'timer'},
        {head: 'drift'},
        {head: `${rounds > 1 ? 'rounds' : 'round'}, in G/s${launches}`},
        {head: 'how', wide: true},
      ],
      rows,
    ),
  );
}
