// SPDX-License-Identifier: MIT
// The top of the page: what was asked, of which model, on which machine, and then the answer in words before any chart.
import {badge, h, missing, section, tag} from './dom.js';
import {date, digits, known, list, ms, percent, rate, whole} from './format.js';
import {claims} from './claims.js';
import {ENGINE_AXES, RESULT_TONE, armName, fitOf, machineName, mainTrials, pairs, shortLabel, strategyTrials, unusual, varyingAxes} from './model.js';
import {themeButton} from './theme.js';

const outcomeWords = (run) =>
  ({held: 'all claims held', 'not held': 'not every claim held', failed: 'the run failed', interrupted: 'interrupted'})[
    run.outcome
  ] || 'unfinished';

export function header(doc) {
  const {run, model} = doc;
  const facts = [
    [
      'Model',
      model.name && `${model.name} @ ${model.dtype}, ${whole(model.parameters) || '?'} parameters, ${model.weights}`,
    ],
    ['Machine', machineName(doc)],
    ['Backend', run.backend && `${run.backend}: ${run.backend_about}`],
    ['Started', date(run.started)],
  ];
  return h(
    'header',
    null,
    h('div', {class: 'top'}, h('p', {class: 'kicker'}, `bench · suite ${run.suite} · run ${run.id}`), themeButton()),
    h('h1', null, run.question || run.suite),
    h('p', {class: 'outcome'}, badge(outcomeWords(run), RESULT_TONE[run.outcome] || 'open')),
    h(
      'dl',
      {class: 'facts'},
      facts.map(([name, value]) =>
        h('div', null, h('dt', null, name), h('dd', null, value || missing('not recorded'))),
      ),
    ),
  );
}

/* Says so at the top when there is less here than was planned. */
export function unfinished(doc) {
  const {run, trials} = doc;
  if (run.finished && run.outcome !== 'failed' && run.outcome !== 'interrupted') return null;
  const done = trials.filter((t) => t.planned_done).length;
  const why = run.problem || 'no end was recorded: it is still running, or it was killed';
  return h(
    'p',
    {class: 'banner', role: 'note'},
    h('strong', null, 'This run did not finish: '),
    `${why}. `,
    done
      ? `${done} of ${trials.length} trials have all their repetitions; what follows is what was measured.`
      : 'No trial has all its repetitions; what follows is what was measured before the end.',
  );
}

/* Of a run that compares ways of computing, the claims are the answer. */
function claimsWords(doc) {
  const held = doc.claims.filter((c) => c.result === 'held').length;
  if (doc.claims.length < 2 || !varyingAxes(doc).some((name) => ENGINE_AXES.includes(name))) return null;
  return [h('strong', null, `${held} of ${doc.claims.length} claims hold`), ' on this machine. '];
}

function oneArm(doc) {
  const t = mainTrials(doc)
    .filter((x) => known(x.total_ms?.median))
    .pop();
  const other =
    new Set(doc.trials.map((x) => x.kv_cache)).size > 1
      ? ' No length was finished both with and without the cache, so this run does not say what the cache gains.'
      : '';
  return h(
    'p',
    {class: 'lead'},
    claimsWords(doc),
    t
      ? [
          `Generating ${t.new_tokens} tokens takes `,
          h('strong', null, ms(t.total_ms.median)),
          ` with the ${armName(t.kv_cache)}${unusual(doc, t).map((w) => `, ${w}`).join('')}.${other}`,
        ]
      : missing('No trial was measured to the end, so this run does not answer its question.'),
  );
}

/* What choosing takes, from the cheapest strategy to the dearest, and what more rows cost. */
function strategies(doc) {
  const trials = strategyTrials(doc),
    shares = [...trials].sort((a, b) => a.sample.share.median - b.sample.share.median);
  const least = shares[0],
    dearest = shares[shares.length - 1],
    wide = trials.find((t) => t.rows > t.batch),
    plain = trials.find((t) => t.strategy === 'greedy');
  const words = (t) => [h('strong', null, percent(t.sample.share.median)), ` of a decode step with ${t.strategy}`];
  return h(
    'p',
    {class: 'lead'},
    'Choosing the next token takes ',
    words(least),
    ' and ',
    words(dearest),
    '.',
    wide && plain
      ? [
          ` A step with ${wide.rows / wide.batch} beams takes `,
          h('strong', null, `${digits(wide.decode.ms.median / plain.decode.ms.median)} times`),
          ' as long as a greedy one.',
        ]
      : null,
  );
}

function lead(doc) {
  const best = pairs(doc)
    .filter((p) => p.speedup)
    .pop();
  if (!best) return strategyTrials(doc).length > 1 ? strategies(doc) : oneArm(doc);
  const {speedup, on, off} = best,
    fits = [fitOf(doc, 'off', 'total_ms'), fitOf(doc, 'on', 'total_ms')];
  const grows = fits.every((f) => f && known(f.exponent))
    ? [
        ' Over the lengths tried, time grows as T',
        h('sup', null, digits(fits[0].exponent)),
        ' without the cache and as T',
        h('sup', null, digits(fits[1].exponent)),
        ' with it.',
      ]
    : null;
  const interval = known(speedup.lo) ? ` [${digits(speedup.lo)}, ${digits(speedup.hi)}]` : '';
  const sure = !interval
    ? ' A single repetition gives no interval, so this is undecided.'
    : speedup.lo > 1 || speedup.hi < 1
      ? ''
      : ' The interval holds 1: this is undecided.';
  return h(
    'p',
    {class: 'lead'},
    `Generating ${on.new_tokens} tokens takes `,
    h('strong', null, ms(on.total_ms.median)),
    ' with the KV cache and ',
    h('strong', null, ms(off.total_ms.median)),
    ' without it: ',
    h('strong', null, `${digits(speedup.median)} times`),
    ` as long${interval}.${sure}`,
    grows,
  );
}

function figure(value, name, detail, provenance) {
  return h(
    'div',
    {class: 'key'},
    h('dt', null, name),
    h(
      'dd',
      null,
      h('b', null, value || missing('not measured')),
      h('span', null, detail, ' ', value && provenance && tag(provenance)),
    ),
  );
}

/* How much of a decode step the GPU works; null where no timeline tells. */
function working(t) {
  const {gpu_busy_ns: at, gpu_ns: all} = t.device?.readings.decode || {};
  return all?.value > 0 && known(at?.value)
    ? figure(
        percent(at.value / all.value),
        'GPU at work',
        `first to last kernel of a decode step${known(t.device.launches.decode) ? `, ${whole(t.device.launches.decode)} launches` : ''}`,
        'timer',
      )
    : null;
}

/* What a run is about beside its times: its claims, the GPU, the cache, or choosing. */
function subject(doc, on) {
  const best = pairs(doc)
    .filter((p) => p.speedup)
    .pop();
  if (!best && claimsWords(doc))
    return figure(
      `${doc.claims.filter((c) => c.result === 'held').length} of ${doc.claims.length}`,
      'Claims held',
      'on this machine, in this run',
    );
  if (!best && working(on)) return working(on);
  return best || strategyTrials(doc).length < 2
    ? figure(
        best && `${digits(best.speedup.median)}×`,
        'Speed-up by the cache',
        best ? `at ${best.new_tokens} tokens` : 'needs both arms at one length',
        best && 'timer',
      )
    : figure(percent(on.sample?.share?.median), 'Choosing the token', `of a decode step, ${on.strategy}`, 'timer');
}

function keyFigures(doc) {
  const on =
    mainTrials(doc)
      .filter((t) => t.kv_cache === 'on')
      .pop() || mainTrials(doc).pop();
  if (!on) return null;
  return h(
    'dl',
    {class: 'keys'},
    figure(ms(on.ttft_ms?.median), 'Time to first token', `${on.prompt_tokens} tokens: tokenize + prefill`, 'timer'),
    figure(
      ms(on.decode?.ms?.median),
      'A decode step',
      [armName(on.kv_cache), known(on.decode?.tokens_per_s) && `, ${rate(on.decode.tokens_per_s)}`],
      'timer',
    ),
    figure(rate(on.token_per_s), 'Whole request', shortLabel(on), 'timer'),
    subject(doc, on),
  );
}

const unusualWords = (doc, t, but) =>
  unusual(doc, t, but)
    .map((words) => `, ${words}`)
    .join('');

/* One line for every group of trials whose phase does the same kind of work, naming each kind of verdict with its range. */
function boundLines(doc) {
  const groups = new Map();
  for (const t of doc.trials) {
    const of = [
      [
        'prefill',
        `Prefill of ${t.prompt_tokens} tokens${t.rows > t.batch ? `, ${t.rows / t.batch} beams` : ''}${unusualWords(doc, t, ['strategy'])}`,
      ],
      ['decode', `Decode, ${armName(t.kv_cache)}, after ${t.prompt_tokens} tokens${unusualWords(doc, t, [])}`],
    ];
    for (const [phase, name] of of) {
      const v = t[phase]?.verdict;
      if (!v?.kind) continue;
      if (!groups.has(name)) groups.set(name, {name, phase, kinds: new Map()});
      const kinds = groups.get(name).kinds;
      kinds.set(v.kind, [...(kinds.get(v.kind) || []), {t, v}]);
    }
  }
  return [...groups.values()].sort((a, b) => b.phase.localeCompare(a.phase));
}

const ends = (xs, text) => {
  const good = xs.filter(known),
    lo = text(Math.min(...good)),
    hi = text(Math.max(...good));
  return good.length ? (lo === hi ? lo : `${lo} to ${hi}`) : null;
};

/* What it costs to hand over the kernels, where that is the limit. */
function handing(group, kind, entries) {
  const share = ends(
    kind === 'launch-bound' ? entries.map((x) => x.v.t_launch_ms / x.t[group.phase].ms?.median) : [],
    percent,
  );
  return share ? `, launches alone take ${share} of the time` : '';
}

function boundWords(group, kind, entries, alone) {
  const where = alone
    ? ''
    : ` at ${list([...new Set(entries.map((x) => x.t.new_tokens))].sort((a, b) => a - b).map(String))} new tokens`;
  const efficiency = ends(
      entries.map((x) => x.v.efficiency),
      percent,
    ),
    margin = ends(
      entries.map((x) => x.v.margin),
      digits,
    );
  const counted = entries.every((x) => x.v.source === 'counter')
    ? 'counter'
    : entries.every((x) => x.v.source === 'analytic')
      ? 'analytic'
      : null;
  return [
    h('strong', null, kind),
    `${where}: ${efficiency ? `${efficiency} of its roof` : 'no roof to compare with'}${margin ? `, intensity ${margin} × the ridge` : ''}${handing(group, kind, entries)} `,
    counted && tag(counted),
    entries.every((x) => x.v.cache !== null && x.v.cache !== undefined) && [' ', badge('in cache', 'open')],
  ];
}

/* More kinds of work are folded away behind what most of them say. */
const LINES_MAX = 12;

function kindCounts(doc) {
  const rows = ['prefill', 'decode'].map((phase) => {
    const kinds = new Map();
    for (const t of doc.trials) {
      const v = t[phase]?.verdict;
      if (v?.kind) kinds.set(v.kind, [...(kinds.get(v.kind) || []), v]);
    }
    return [phase, kinds];
  });
  return h(
    'ul',
    {class: 'bounds'},
    rows
      .filter(([, kinds]) => kinds.size)
      .map(([phase, kinds]) =>
        h(
          'li',
          null,
          h('span', null, phase === 'prefill' ? 'Prefill' : 'Decode'),
          h(
            'div',
            null,
            [...kinds].map(([kind, vs]) => {
              const share = ends(
                vs.map((v) => v.efficiency),
                percent,
              );
              return h('div', null, h('strong', null, kind), ` in ${vs.length} trial${vs.length === 1 ? '' : 's'}${share ? `: ${share} of the roof` : ''}`);
            }),
          ),
        ),
      ),
  );
}

function bounds(doc) {
  const groups = boundLines(doc);
  if (!groups.length) return h('p', null, missing('No verdicts: no phase was measured to the end.'));
  const sentences = doc.trials.flatMap((t) =>
    ['prefill', 'decode'].filter((p) => t[p]?.verdict?.sentence).map((p) => [t, p, t[p].verdict.sentence]),
  );
  const lines = h(
    'ul',
    {class: 'bounds'},
    groups.map((g) =>
      h(
        'li',
        null,
        h('span', null, g.name),
        h(
          'div',
          null,
          [...g.kinds].map(([kind, entries]) => h('div', null, boundWords(g, kind, entries, g.kinds.size === 1))),
        ),
      ),
    ),
  );
  return [
    groups.length > LINES_MAX
      ? [kindCounts(doc), h('details', null, h('summary', null, `Each of ${groups.length} kinds of work`), lines)]
      : lines,
    h(
      'details',
      null,
      h('summary', null, `Every verdict in its own words (${sentences.length})`),
      h(
        'ul',
        {class: 'plain'},
        sentences.map(([t, p, words]) => h('li', null, h('b', null, `${p}, ${shortLabel(t)}: `), words)),
      ),
    ),
  ];
}

export function answer(doc) {
  return section(
    'answer',
    'Answer',
    lead(doc),
    keyFigures(doc),
    h('h3', null, 'What limits each phase'),
    bounds(doc),
    h('h3', null, 'What the suite claimed'),
    claims(doc),
  );
}
