// SPDX-License-Identifier: MIT
// What the page derives from the document: which trials are compared with each other, and the words for a trial. Measured
// figures come from the document as they are; only ratios between two of them are formed here.
import {known, ms} from './format.js';

export const armName = (kv) => (kv === 'on' ? 'cache on' : 'cache off');

/* The axes beyond cache, prompt and new tokens, which every label has; and how a value of theirs reads. */
const AXIS_WORDS = {
  batch: (v) => `batch ${v}`,
  strategy: (v) => v,
  dtype: (v) => v,
  kv_dtype: (v) => `KV ${v}`,
  threads: (v) => `${v} thread${v === 1 ? '' : 's'}`,
  gemm: (v) => v,
  attention: (v) => v,
  launch: (v) => v,
};
export const AXIS_NAMES = {
  kv_cache: 'cache',
  prompt_tokens: 'prompt',
  new_tokens: 'new tokens',
  batch: 'batch',
  strategy: 'choice',
  dtype: 'weights',
  kv_dtype: 'KV type',
  threads: 'threads',
  gemm: 'products',
  attention: 'attention',
  launch: 'launch',
};
/* How the engine computes: the same work in another way. */
export const ENGINE_AXES = ['dtype', 'kv_dtype', 'threads', 'gemm', 'attention', 'launch'];

const recorded = (v) => v !== null && v !== undefined;
export const axisWords = (name, v) => (AXIS_WORDS[name] ? AXIS_WORDS[name](v) : String(v));
export const valuesOf = (trials, name) => [...new Set(trials.map((t) => t[name]).filter(recorded))];
/* The axes by which trials differ, in the order of the document. */
export const varyingAxes = (doc, trials = doc.trials) =>
  doc.axes.map((a) => a.name).filter((name) => valuesOf(trials, name).length > 1);

/* What an object of the document (a trial, the arm of a fit) has other than usual. */
export const unusual = (doc, of, but = []) =>
  doc.axes
    .filter((a) => AXIS_WORDS[a.name] && !but.includes(a.name) && recorded(of[a.name]) && of[a.name] !== a.usual)
    .map((a) => axisWords(a.name, of[a.name]));

/* "on · 13 → 128", and what is not usual: "· bf16 · 1 thread". Given to each trial once, when the document is read. */
export const nameTrials = (doc) =>
  doc.trials.forEach((t) => {
    t.short = [`${t.kv_cache} · ${t.prompt_tokens} → ${t.new_tokens}`, ...unusual(doc, t)].join(' · ');
  });
export const shortLabel = (t) => t.short;

const most = (trials, value) => {
  const seen = new Map();
  trials.forEach((t) => seen.set(value(t), (seen.get(value(t)) || 0) + 1));
  return [...seen].sort((a, b) => b[1] - a[1])[0]?.[0];
};

/* Those that compute as usual, or else as most do. */
function alike(doc, trials, axes) {
  const usual = Object.fromEntries(doc.axes.map((a) => [a.name, a.usual]));
  return axes.reduce((left, name) => {
    const value = left.some((t) => t[name] === usual[name]) ? usual[name] : most(left, (t) => t[name]);
    return left.filter((t) => t[name] === value);
  }, trials);
}

/* The trials at the text's own prompt length and the commonest batch, greedy and as the engine usually computes where there are
 * such: the ones whose lengths and arms are compared. */
export function mainTrials(doc) {
  const own = doc.run.prompt_ids?.length;
  const prompt = doc.trials.some((t) => t.prompt_tokens === own) ? own : most(doc.trials, (t) => t.prompt_tokens);
  const long = alike(doc, doc.trials.filter((t) => t.prompt_tokens === prompt), ENGINE_AXES);
  const strategy = long.some((t) => t.strategy === 'greedy') ? 'greedy' : most(long, (t) => t.strategy);
  const same = long.filter((t) => t.strategy === strategy);
  const batch = most(same, (t) => t.batch);
  return same.filter((t) => t.batch === batch).sort((a, b) => a.new_tokens - b.new_tokens);
}

/* Measured trials that differ in the strategy alone; those of the length and arm that most strategies have. */
export function strategyTrials(doc) {
  const arm = (t) => doc.axes.filter((a) => a.name !== 'strategy').map((a) => t[a.name]).join();
  const measured = doc.trials.filter((t) => known(t.decode?.ms?.median) && known(t.sample?.ms?.median));
  const common = most(measured, arm);
  return measured.filter((t) => arm(t) === common);
}

/* {on, off}: the longest trial of each arm that has steps; the same length in both where possible. */
export function longestPair(doc) {
  const trials = mainTrials(doc).filter((t) => t.steps?.length > 1);
  const last = (kv, length) =>
    trials.filter((t) => t.kv_cache === kv && (!length || t.new_tokens === length)).pop() || null;
  const both = pairs(doc)
    .filter((p) => trials.includes(p.on) && trials.includes(p.off))
    .pop();
  return both ? {on: both.on, off: both.off} : {on: last('on'), off: last('off')};
}

const ratio = (x, y) => (known(x) && known(y) && y > 0 ? x / y : null);

/* Trials that differ in the cache only, by length, with the speed-up and the widest ratio that both intervals allow. */
export function pairs(doc) {
  const trials = mainTrials(doc);
  return trials
    .filter((t) => t.kv_cache === 'on')
    .flatMap((on) => {
      const off = trials.find((t) => t.kv_cache === 'off' && t.new_tokens === on.new_tokens);
      if (!off) return [];
      const a = off.total_ms,
        b = on.total_ms;
      const speedup =
        a && b && known(a.median) && b.median > 0
          ? {median: a.median / b.median, lo: ratio(a.lo, b.hi), hi: ratio(a.hi, b.lo)}
          : null;
      return [{on, off, new_tokens: on.new_tokens, speedup}];
    });
}

/* The fit of an arm that matches the trials shown. */
export function fitOf(doc, kv, metric, source) {
  const main = mainTrials(doc)[0];
  return (
    doc.fits.find(
      (f) =>
        f.arm.kv_cache === kv &&
        f.metric === metric &&
        (!source || f.source === source) &&
        f.along === 'new_tokens' &&
        (!main || Object.keys(f.arm).every((name) => name === 'kv_cache' || f.arm[name] === main[name])),
    ) || null
  );
}

/* "NVIDIA H200, host Xeon ..., 2 threads": what computed comes first. */
export function machineName(doc) {
  const cpu = doc.machine.find((m) => m.key === 'CPU')?.value,
    gpu = doc.device?.name,
    {threads} = doc.run;
  const words = [gpu, cpu && (gpu ? `host ${cpu}` : cpu)].filter(Boolean);
  return words.length ? `${words.join(', ')}, ${threads} thread${threads === 1 ? '' : 's'}` : null;
}

/* A GPU's roofs do not depend on the threads of the CPU. */
export const roofOf = (doc, t, name) =>
  doc.roofs.find((r) => r.name === name && (doc.device || r.threads === t.threads) && r.value > 0);

/* Why a quantity was not counted, from what the run says about itself. */
export function whyNotCounted(doc, metric) {
  const words = metric === 'flops' ? /flop/i : /byte|dram/i;
  const refused = doc.calibrations.find((c) => !c.accepted && words.test(c.metric));
  const absent =
    doc.absent.find((a) => words.test(a.what) && !/write/i.test(a.what)) ||
    doc.absent.find((a) => /papi|cupti|counter|perf/i.test(a.what));
  if (absent) return `${absent.what}: ${absent.why}`;
  if (refused) return `calibration refused ${refused.event}: ${refused.why}`;
  return doc.run.finished ? 'the suite asked for no counter of it' : 'the run ended before its counting pass';
}

/* Why a probe, or a metric of its, said nothing. */
export function absence(doc, probe, metric = null) {
  const found = doc.absent.find((a) => a.what === metric) || doc.absent.find((a) => a.what === probe);
  return `${found ? found.why : 'no probe of this run reported it'}.`.replace('..', '.');
}

export const RESULT_TONE = {held: 'good', 'not held': 'bad', undecided: 'open', failed: 'bad', interrupted: 'open'};

export const VERDICT_TONE = {
  'compute-bound': 'compute',
  'bandwidth-bound': 'memory',
  'launch-bound': 'launch',
  'overhead-bound': 'bad',
  'at the ridge': 'ridge',
  'above its roof': 'bad',
};

/* The pairs of roofs that verdicts rest on, of trials and ops: each at its own thread count. */
export function stands(doc) {
  const found = new Map();
  for (const t of doc.trials)
    for (const v of [
      t.prefill?.verdict,
      t.decode?.verdict,
      ...['prefill', 'decode'].flatMap((phase) => (t.per_op?.[phase]?.ops || []).map((o) => o.verdict)),
    ]) {
      const compute = v && roofOf(doc, t, v.compute_roof),
        bandwidth = v && roofOf(doc, t, v.bandwidth_roof);
      if (v?.roof && (compute || bandwidth)) {
        const {threads} = compute || bandwidth;
        found.set([v.compute_roof, v.bandwidth_roof, threads].join(), {compute, bandwidth, threads});
      }
    }
  return [...found.values()];
}

const launchBoundBy = (doc, roof) =>
  doc.trials.some((t) =>
    [t.prefill, t.decode].some((p) => p?.verdict?.kind === 'launch-bound' && p.verdict.launch_roof === roof.name),
  );

export const isMain = (doc, roof) =>
  stands(doc).some((s) => s.compute === roof || s.bandwidth === roof) || launchBoundBy(doc, roof);

/* "compute 0.0200 ms, memory 1.05 ms, launches 0.600 ms": a step at each roof, where there are launches to tell of. */
export const roofTimes = (v) =>
  known(v?.t_launch_ms)
    ? [['compute', v.t_compute_ms], ['memory', v.t_memory_ms], ['launches', v.t_launch_ms]]
        .filter(([, t]) => known(t))
        .map(([name, t]) => `${name} ${ms(t)}`)
        .join(', ')
    : null;

/* The trial whose ops stand for all: the longest, with the cache where there is one, as the engine usually computes. */
export function opTrial(doc) {
  const weight = (t) => t.new_tokens + (t.kv_cache === 'on' ? 1e9 : 0) - (unusual(doc, t).length ? 5e8 : 0);
  return doc.trials.filter((t) => t.per_op).sort((a, b) => weight(b) - weight(a))[0] || null;
}

/* The frequency of the run's timed repetitions, in the middle; null where it was not seen. */
export function typicalFrequency(doc) {
  const all = doc.trials
    .flatMap((t) => t.witness || [])
    .map((w) => w.frequency_hz)
    .filter(known)
    .sort((a, b) => a - b);
  return all.length ? all[all.length >> 1] : null;
}

/* What else ran beside a repetition, and what its place was like; the limits are part of the words. */
export function marks(w, frequency = null) {
  const found = [];
  if (w.other_busy >= 0.2) found.push('other processes took 0.2 CPUs or more');
  if (w.steal_ticks > 0) found.push('the hypervisor took time');
  if (w.page_faults_major > 0) found.push('pages came from disk');
  if (w.switches_involuntary >= 20) found.push('20 or more involuntary switches');
  if (w.throttled > 0) found.push('heat slowed the cores');
  if (w.frequency_hz < 0.9 * frequency) found.push('the core ran 10 % or more slower than in the run’s middle');
  if (w.sibling_busy >= 0.2) found.push('hardware threads beside ours were busy for 0.2 CPUs or more');
  if (w.remote_share >= 0.1) found.push('a tenth or more of the memory was on another NUMA node');
  return found;
}
