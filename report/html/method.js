// SPDX-License-Identifier: MIT
// How the numbers came about: machine, conventions, passes, calibration, overhead, noise, the suite's text, the words used.
import {badge, h, missing, PROVENANCE, section, table, tag} from './dom.js';
import {bytes, date, known, ms, percent, scaled, signed, visible, whole} from './format.js';
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
  ['interval', '95 % bootstrap interval of the median over repetitions.'],
];

const METHOD = [
  'Timing and counting are separate passes over the same trial: the timing pass runs with clocks only, each group of counters gets a pass of its own.',
  'Trials are visited in a seeded random order, round by round, so that drift of the machine does not fall on one arm. Warm-up rounds are kept, marked, and left out of the figures.',
  'Counters are believed only after they counted kernels of known work in this run. Implausible readings are thrown away, counted, and repeated.',
];

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

function overhead(doc) {
  if (!doc.overhead.length)
    return h('p', null, missing('The overhead of counting is not known: no counting pass was finished.'));
  return table(
    'Steps of a counting pass against those of the timing pass',
    [{head: 'phase'}, {head: 'pass'}, {head: 'difference', tag: 'timer'}],
    doc.overhead.map((o) => [
      o.phase,
      o.pass,
      known(o.ratio?.median)
        ? [
            signed(o.ratio.median),
            known(o.ratio.lo) ? h('small', null, ` [${signed(o.ratio.lo)}, ${signed(o.ratio.hi)}]`) : null,
          ]
        : missing('not measured'),
    ]),
  );
}

export function method(doc) {
  return section(
    'method',
    'Method',
    doc.run.conventions ? h('p', null, h('strong', null, 'Conventions. '), doc.run.conventions) : null,
    METHOD.map((m) => h('p', null, m)),
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
    h('h3', null, 'Cost of counting'),
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

export function glossary() {
  return section(
    'glossary',
    'Words',
    h(
      'dl',
      {class: 'list'},
      GLOSSARY.map(([name, text]) => h('div', null, h('dt', null, name), h('dd', null, text))),
    ),
  );
}
