// SPDX-License-Identifier: MIT
// How the numbers came about: machine, conventions, passes, calibration, overhead, noise, the suite's text, the words used.
import {badge, h, missing, PROVENANCE, section, table, tag} from './dom.js';
import {bytes, date, digits, known, ms, percent, scaled, signed, visible, whole} from './format.js';
import {noiseChart, noiseTable} from './noise.js';

const GLOSSARY = [
  ['prefill', 'One forward pass over all prompt tokens; fills the KV cache and yields the first generated token.'],
  [
    'decode step',
    'One forward pass for one new token per sequence. With the cache it reads the stored keys and values; without, it recomputes everything so far.',
  ],
  ['KV cache', 'The keys and values of every earlier token, kept in each layer so that they are not computed again.'],
  [
    'choosing',
    'From the logits to the next token: the largest, or one drawn from what the settings leave, or the best of several beams.',
  ],
  ['TTFT', 'Time to first token: tokenize + prefill, sampling included. No queue and no network here.'],
  ['TPOT', 'Time per output token: (end-to-end time \u2212 TTFT) / (generated tokens \u2212 1), per request.'],
  ['ITL', 'Inter-token latency: each gap between two generated tokens, pooled over steps.'],
  ['AI', 'Arithmetic intensity: FLOPs per byte moved to or from memory (DRAM unless another level is named).'],
  [
    'roof',
    'The most the machine reaches: FLOP/s in registers or in a matrix product, or byte/s from a memory level, measured in this run.',
  ],
  ['ridge', 'The intensity at which memory and compute take equally long: peak FLOP/s over peak bandwidth.'],
  ['of roof', 'Roof time over measured time, where roof time is the larger of FLOPs / peak and bytes / bandwidth.'],
  [
    'MBU',
    'Model bandwidth utilisation: (weight bytes + KV bytes read) / time / peak bandwidth. For a bandwidth-bound step it is its share of the roof.',
  ],
  ['p50, p90, p99', 'Quantiles of pooled steps; p90 needs 64 steps and p99 662, else they are not printed.'],
  ['op', 'A part of the forward pass: embed, norm, qkv, rotary, attention, out, mlp, head, sample. Norm and rotary run inside others; their time is their own.'],
  ['in cache', 'The data of a step stays in a cache between steps, so the memory’s roof says nothing about it.'],
  ['above its roof', 'An error: more than 100 % of a roof, beyond the interval and the roof’s spread. The roof or the count is wrong; nothing is concluded from it.'],
  ['interval', '95 % bootstrap interval of the median over repetitions.'],
];

/* Words that a GPU needs. */
const GPU_GLOSSARY = [
  ['launch', 'Handing the GPU a kernel, a copy or a set: one by one (eager), or all of a step at once as a recorded graph.'],
  ['launch-bound', 'Below half of both roofs, and handing over its kernels at the launch roof explains at least half of the time.'],
  ['gap', 'Time between a step’s first and last kernel in which the GPU runs nothing.'],
  ['multiprocessors active', 'Share of the cycles in which a multiprocessor held work, whether that could go on or waited for memory.'],
  ['utilisation', 'The driver’s figure: share of its last sample period in which any kernel ran. It says nothing of how well.'],
];

const METHOD = [
  'Timing and counting are separate passes over the same trial: the timing pass runs with clocks only, each group of counters gets a pass of its own.',
  'Trials are visited in a seeded random order, round by round, so that drift of the machine does not fall on one arm. Warm-up rounds are kept, marked, and left out of the figures.',
  'Bare executions, with nothing between their steps, stand beside the timing pass and the counting passes: the difference is what measuring costs.',
  'A step whose weights, keys and values fit into the caches of the threads in use, or of which counters saw less than half come from memory, is marked “in cache” and compared with that cache’s roof.',
  'Counters are believed only after they counted kernels of known work in this run. Implausible readings are thrown away, counted, and repeated.',
];

const GPU_METHOD =
  'On a GPU timeline, counters and samples are passes of their own too: kernels by the driver’s clock, work by the profiler’s ranges around each step, traffic by samples beside an execution that nothing else watches. Its roofs are a library’s products of random data, streams, and kernels that do nothing.';

const words = (x) => (x === null || x === undefined || x === '' ? missing('not recorded') : String(x));

function pairsList(entries) {
  return h(
    'dl',
    {class: 'list'},
    entries.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))),
  );
}

const stored = ({model}) =>
  model.stored_bytes > 0
    ? `${model.stored}, ${bytes(model.stored_bytes)} (${model.format})`
    : missing(model.format ? 'not stored: made when loaded' : 'not recorded');

const HASH_SHOWN = 12;

/* The whole hash stands in the record. */
const files = (doc) =>
  doc.model_files.length
    ? doc.model_files.map((f) =>
        h(
          'div',
          null,
          `${f.path}, ${bytes(f.bytes)} `,
          h('small', null, `sha256 ${f.sha256.slice(0, HASH_SHOWN)}…`),
        ),
      )
    : missing(doc.model.format ? 'none' : 'not recorded');

export function machine(doc) {
  const {run, model} = doc;
  const took = (x) => (known(x) ? [ms(x), ' ', tag('timer')] : missing('not measured'));
  return section(
    'machine',
    'Machine and workload',
    h(
      'div',
      {class: 'columns'},
      h(
        'div',
        null,
        h('h3', null, 'Machine'),
        doc.machine.length
          ? h(
              'dl',
              {class: 'list'},
              doc.machine.map((m) =>
                h('div', null, h('dt', null, m.key), h('dd', null, words(m.value), ' ', h('small', null, m.source))),
              ),
            )
          : h('p', null, missing('No fact about the machine was recorded.')),
      ),
      h(
        'div',
        null,
        h('h3', null, 'Model'),
        pairsList([
          ['name', words(model.name)],
          ['architecture', words(model.arch)],
          ['dtype', words(model.dtype)],
          ['weights', words(model.weights)],
          ['stored as', stored(doc)],
          ['files', files(doc)],
          ['parameters', whole(model.parameters) || missing('unknown')],
          ['weight bytes', scaled(model.weight_bytes, 'B') || missing('unknown')],
          [
            'layers × width',
            known(model.layers) ? `${model.layers} × ${model.d_model}, MLP ${model.d_ff}` : missing('unknown'),
          ],
          [
            'heads',
            known(model.heads)
              ? `${model.heads}, ${model.kv_heads} for K and V, size ${model.head_dim}`
              : missing('unknown'),
          ],
          [
            'vocabulary, context',
            known(model.vocab) ? `${whole(model.vocab)}, ${whole(model.context)}` : missing('unknown'),
          ],
        ]),
        h('h3', null, 'Run'),
        pairsList([
          ['prompt', run.prompt ? h('code', null, visible(run.prompt)) : missing('not recorded')],
          [
            'token ids',
            run.prompt_ids?.length
              ? `${run.prompt_ids.length}: ${run.prompt_ids.slice(0, 32).join(' ')}${run.prompt_ids.length > 32 ? ' …' : ''}`
              : missing('not recorded'),
          ],
          ['tokenizer', words(run.tokenizer)],
          [
            'load model',
            [took(run.load_model_ms), known(model.load_bytes_per_s) && ` at ${scaled(model.load_bytes_per_s, 'B/s')}`],
          ],
          ['peak memory then', bytes(model.load_peak_bytes) || missing('not known')],
          ['load tokenizer', took(run.load_tokenizer_ms)],
          ['tokenize', took(run.tokenize_ms)],
          [
            'threads on CPUs',
            known(run.threads) ? `${run.threads} on ${run.cpus || 'unknown CPUs'}` : missing('not recorded'),
          ],
          ['seed', words(run.seed)],
          ['bench', words(run.version)],
          ['compiler', words(run.compiler)],
          ['command', run.command ? h('code', null, run.command) : missing('not recorded')],
          ['started', words(date(run.started))],
          ['finished', date(run.finished) || missing('no end was recorded')],
        ]),
      ),
    ),
  );
}

function calibration(doc) {
  if (!doc.calibrations.length)
    return h('p', null, missing('No counter was calibrated in this run, so no counter was believed.'));
  return table(
    'Calibration: counters against kernels of known work',
    [
      {head: 'metric'},
      {head: 'event', wide: true},
      {head: 'kernel', wide: true},
      {head: 'expected', tag: 'analytic'},
      {head: 'measured', tag: 'counter'},
      {head: 'error'},
      {head: 'limit'},
      {head: 'verdict'},
    ],
    doc.calibrations.map((c) => [
      c.metric,
      `${c.probe}: ${c.event}`,
      c.kernel,
      scaled(c.expected, '') || missing('unknown'),
      known(c.measured) ? scaled(c.measured, '') : missing('no reading'),
      known(c.rel_error) ? percent(c.rel_error) : missing('no reading'),
      percent(c.limit) || missing('none'),
      c.accepted ? badge('accepted', 'good') : [badge('refused', 'bad'), ' ', c.why],
    ]),
  );
}

const costs = (e, unit) =>
  known(e?.median)
    ? [
        unit(e.median),
        known(e.lo) && known(e.hi) ? h('small', null, ` [${unit(e.lo)}, ${unit(e.hi)}]`) : null,
      ]
    : missing('not measured');

function overhead(doc) {
  if (!doc.overhead.length)
    return h('p', null, missing('What measuring costs is not known: no two executions were finished side by side.'));
  const passes = [...new Set(doc.overhead.map((o) => o.pass))],
    bare = doc.overhead[0].against === 'bare';
  const of = (pass, phase) => doc.overhead.find((o) => o.pass === pass && o.phase === phase);
  return [
    h(
      'p',
      {class: 'note'},
      bare
        ? 'Each execution against the bare one beside it: the same work with nothing watching, three readings of the clock in all. An interval that holds zero means that the cost could not be told from noise.'
        : 'Step medians against those of the timing pass; this run has no bare executions to compare with.',
    ),
    table(
      'What measuring costs: more time a step, by pass',
      [
        {head: 'pass'},
        {head: 'prefill', tag: 'timer'},
        {head: 'decode', tag: 'timer'},
        ...(bare ? [{head: 'µs a decode step'}, {head: 'pairs'}] : []),
      ],
      passes.map((pass) => [
        pass,
        costs(of(pass, 'prefill')?.ratio, signed),
        costs(of(pass, 'decode')?.ratio, signed),
        ...(bare
          ? [costs(of(pass, 'decode')?.us_a_step, digits), whole(of(pass, 'prefill')?.ratio?.n) || missing('none')]
          : []),
      ]),
    ),
  ];
}

export function method(doc) {
  return section(
    'method',
    'Method',
    doc.run.conventions ? h('p', null, h('strong', null, 'Conventions. '), doc.run.conventions) : null,
    [...METHOD, ...(doc.device ? [GPU_METHOD] : [])].map((m) => h('p', null, m)),
    h('h3', null, 'Where a number comes from'),
    h(
      'dl',
      {class: 'list provenance'},
      Object.entries(PROVENANCE).map(([name, text]) => h('div', null, h('dt', null, tag(name)), h('dd', null, text))),
    ),
    h('h3', null, 'Calibration'),
    calibration(doc),
    h('h3', null, 'Not on this machine, or not in this build'),
    doc.absent.length
      ? h(
          'ul',
          {class: 'plain'},
          doc.absent.map((a) => h('li', null, h('b', null, `${a.what}: `), a.why)),
        )
      : h('p', null, 'Nothing that was asked for was absent.'),
    h('h3', null, 'What measuring costs'),
    overhead(doc),
    h(
      'p',
      {class: 'note'},
      known(doc.rejected)
        ? `${whole(doc.rejected)} counter readings were implausible, thrown away and repeated.`
        : 'How many readings were thrown away is not known.',
    ),
  );
}

export function noise(doc) {
  return section('noise', 'Noise', noiseChart(doc), noiseTable(doc));
}

export function suite(doc) {
  return section(
    'suite',
    'The suite as it was run',
    doc.run.suite_yaml
      ? h('pre', {tabindex: 0, role: 'region', 'aria-label': 'Text of the suite'}, doc.run.suite_yaml)
      : h('p', null, missing('The text was not recorded.')),
  );
}

export function glossary(doc) {
  return section(
    'glossary',
    'Words',
    h(
      'dl',
      {class: 'list'},
      [...GLOSSARY, ...(doc.device ? GPU_GLOSSARY : [])].map(([name, text]) => h('div', null, h('dt', null, name), h('dd', null, text))),
    ),
  );
}
