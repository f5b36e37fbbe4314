// SPDX-License-Identifier: MIT
// Writes document.json: SYNTHETIC sample data in the shape of report/README.md, for the tests of report page and record.
// Nothing in it was measured. Work follows the conventions of engine/work.h for distilgpt2; times come from a seeded
// generator around plausible roofs. Run it again after a change of shape:  node tests/data/document.mjs
import fs from 'node:fs';

let state = 7;
const random = () => (state = (state * 1664525 + 1013904223) % 4294967296) / 4294967296;
const noise = (spread) => 1 + spread * (random() + random() + random() - 1.5);
const round = (x, digits = 5) => (x === null ? null : Number(x.toPrecision(digits)));
const mean = (xs) => xs.reduce((a, b) => a + b, 0) / xs.length;
const sum = (xs) => xs.reduce((a, b) => a + b, 0);
const median = (xs) => {
  const s = [...xs].sort((a, b) => a - b),
    m = s.length >> 1;
  return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
};

const D = 768,
  LAYERS = 6,
  HEADS = 12,
  HEAD_DIM = 64,
  FF = 3072,
  VOCAB = 50257;
/* How the engine computes, as it usually does; and every axis' usual value. */
const ENGINE = {dtype: 'f32', kv_dtype: 'f32', threads: 2, gemm: 'own', attention: 'flash', launch: 'graph'};
const USUAL = {kv_cache: 'on', batch: 1, prompt_tokens: 13, new_tokens: 16, strategy: 'greedy', ...ENGINE};
const FMA = 533e9,
  GEMM = 498e9,
  DRAM = 85.6e9;
const PROMPT_IDS = [48, 25, 48605, 1521, 15458, 278, 19575, 11362, 32121, 13, 198, 32, 25];
const TOKENS = [
  [383, ' The'],
  [11362, ' GPU'],
  [318, ' is'],
  [257, ' a'],
  [930, ' |'],
  [198, '\n'],
  [4600, ' `'],
  [7359, '</'],
  [12048, 'script'],
  [29, '>'],
  [27, '<'],
  [28112, '!--'],
  [4998, ' 中'],
  [3581, ' café'],
  [290, ' and'],
  [340, ' it'],
  [62, '_'],
  [1635, ' *'],
  [3467, ' \\'],
  [220, ' '],
  [15458, ' batch'],
  [278, 'ing'],
  [19575, ' improves'],
  [13, '.'],
];

function opsOfPass(tokens, past) {
  const pairs = tokens * past + (tokens * (tokens + 1)) / 2;
  const linear = (cols, rows) => ({flops: 2 * tokens * cols * rows * LAYERS, bytes: 4 * (cols * rows + cols) * LAYERS});
  return {
    embed: {flops: 0, bytes: 8 * tokens * D},
    qkv: {flops: linear(3 * D, D).flops, bytes: linear(3 * D, D).bytes + 8 * tokens * D * LAYERS},
    attention: {flops: 4 * D * pairs * LAYERS, bytes: 8 * past * D * LAYERS},
    out: linear(D, D),
    mlp: {flops: 4 * tokens * D * FF * LAYERS, bytes: 4 * (2 * D * FF + D + FF) * LAYERS},
    head: {flops: 2 * D * VOCAB, bytes: 4 * (D * VOCAB + 2 * D)},
    sample: {flops: 0, bytes: 0},
  };
}
const stepShape = (t, step) =>
  step === 0 ? [t.prompt, 0] : t.kv === 'on' ? [1, t.prompt + step - 1] : [t.prompt + step, 0];
/* Rows share the weights; the sample reads far more of them than of the cache. */
const workOf = (t, step) => {
  const ops = Object.values(opsOfPass(...stepShape(t, step)));
  return {flops: t.rows * sum(ops.map((o) => o.flops)), bytes: sum(ops.map((o) => o.bytes))};
};
const roofMs = (w) => 1e3 * Math.max(w.flops / FMA, w.bytes / DRAM);
/* A soft maximum, as real passes behave near the ridge. */
const plausibleMs = (w) => 1e3 * Math.hypot(w.flops / (0.83 * GEMM), w.bytes / (0.93 * DRAM)) + 0.15;

function estimate(xs) {
  const s = [...xs].sort((a, b) => a - b),
    n = s.length;
  return {
    median: round(median(s)),
    lo: round(s[Math.min(1, n - 1)]),
    hi: round(s[Math.max(n - 2, 0)]),
    n,
    iqr: round(s[Math.floor(0.75 * (n - 1))] - s[Math.floor(0.25 * (n - 1))]),
  };
}
const amount = (analytic, counted, why = null) => ({
  analytic: round(analytic, 8),
  counted: counted === null ? null : round(counted, 8),
  error: counted === null ? null : round(counted / analytic - 1, 3),
  provenance: counted === null ? 'missing' : 'counter',
  why,
});

function verdict(flops, bytes, ms, source) {
  const ai = flops / bytes,
    ridge = FMA / DRAM,
    tc = (1e3 * flops) / FMA,
    tm = (1e3 * bytes) / DRAM;
  const eff = Math.max(tc, tm) / ms.median;
  const kind =
    Math.abs(Math.log(ai / ridge)) < 0.08
      ? 'at the ridge'
      : eff < 0.5
        ? 'overhead-bound'
        : tc > tm
          ? 'compute-bound'
          : 'bandwidth-bound';
  const limit = tc > tm ? 'the compute roof' : 'the DRAM read roof';
  return {
    kind,
    roof: tc > tm ? 'f32 fma' : 'dram read',
    compute_roof: 'f32 fma',
    bandwidth_roof: 'dram read',
    launch_roof: null,
    cache: null,
    ai: round(ai),
    ridge: round(ridge),
    margin: round(ai / ridge),
    margin_lo: round((0.96 * ai) / ridge),
    margin_hi: round((1.04 * ai) / ridge),
    efficiency: round(eff),
    efficiency_lo: round((eff * ms.median) / ms.hi),
    efficiency_hi: round((eff * ms.median) / ms.lo),
    t_compute_ms: round(tc),
    t_memory_ms: round(tm),
    t_launch_ms: null,
    launches: null,
    gflops: round(flops / ms.median / 1e6),
    gbps: round(bytes / ms.median / 1e6),
    source,
    sentence: `${kind}: ${(100 * eff).toFixed(0)} % of ${limit}, ${(ai / ridge).toPrecision(3)} x the ridge's intensity`,
  };
}

/* What the noise witness saw of the repetition's place. */
const place = (burst) => ({
  interrupts: burst > 1 ? 2210 : 340,
  throttled: 0,
  frequency_hz: burst > 1.06 ? 3.1e9 : 3.7e9,
  sibling_busy: 0,
  huge_share: 0.97,
  remote_share: burst > 1 ? null : 0,
});

const few = (x) => [0.98, 0.99, 1, 1.01, 1.03].map((k) => k * x);

/* Norm, rotary and the choice take time and hold no products: they have no verdict. */
function perOpOf(t, span) {
  const of = (tokens, past) => {
    const ops = opsOfPass(tokens, past);
    return {embed: ops.embed, norm: {flops: 0, bytes: 16 * D * LAYERS}, qkv: ops.qkv, rotary: {flops: 0, bytes: 0}, ...ops};
  };
  const shapes = span.map((s) => of(...stepShape(t, s)));
  const ops = Object.keys(shapes[0]).map((op) => {
    const flops = mean(shapes.map((w) => w[op].flops)),
      bytes = mean(shapes.map((w) => w[op].bytes)),
      busy = flops ? plausibleMs({flops, bytes}) - 0.14 : op === 'sample' ? t.choosing : 0.004 * LAYERS * (1 + flops);
    const msOf = estimate(few(busy)),
      layered = !['embed', 'head', 'sample'].includes(op);
    return {
      op,
      ms: msOf,
      flops: {...amount(flops, flops ? flops * 1.002 : null, flops ? null : 'nothing to count'), provenance: 'counter'},
      bytes: amount(bytes, flops ? bytes * 1.01 : null, flops ? null : 'nothing to count'),
      gflops: flops ? round(flops / busy / 1e6) : null,
      gbps: bytes ? round(bytes / busy / 1e6) : null,
      verdict: flops ? verdict(flops, bytes, msOf, 'counter') : null,
      counters: flops ? {cycles: Math.round(busy * 7.4e6), instructions: Math.round(busy * 9.1e6)} : {},
      layers: layered
        ? [...Array(LAYERS)].map((_, layer) => ({
            layer,
            ms: round((busy / LAYERS) * noise(0.05)),
            counted_flops: flops ? Math.round(flops / LAYERS) : null,
            counted_bytes: flops ? Math.round(bytes / LAYERS) : null,
          }))
        : [],
    };
  });
  const all = sum(ops.map((o) => o.ms.median));
  for (const o of ops) o.share = estimate(few(o.ms.median / (all + 0.02)));
  return {
    step_ms: estimate(few(all + 0.02)),
    between_ms: estimate(few(0.02)),
    perturbation: 0.031,
    ops,
  };
}

const watts = (tokens, msOf) => {
  const joules = estimate(few(0.061 * msOf));
  return {joules, watts: estimate(few(61)), joules_per_token: round(joules.median / tokens)};
};

function makeTrial(t, id) {
  const n = t.new,
    reps = [],
    witness = [];
  const work = [...Array(n)].map((_, i) => workOf(t, i));
  const choosing = [0.98, 1, 1, 1.01, 1.02, 1.03].map((x) => x * t.choosing);
  for (let r = 0; r < 7; r++) {
    const burst = random() < 0.1 ? 1 + 0.12 * random() : 1;
    reps.push(work.map((w) => (plausibleMs(w) + t.choosing) * noise(0.02) * burst * (random() < 0.01 ? 1.6 : 1)));
    witness.push({
      rep: Math.max(0, r - 1),
      pass: 'time',
      warmup: r === 0,
      wall_ms: round(sum(reps[r]) * (r ? 1 : 1.09) + 0.4),
      switches_involuntary: burst > 1 ? 41 : Math.floor(3 * random()),
      page_faults_minor: r ? 0 : 812,
      page_faults_major: 0,
      steal_ticks: burst > 1.06 ? 3 : 0,
      other_busy: round(burst > 1 ? 0.35 + 0.3 * random() : 0.04 * random(), 2),
      load1: round(1.2 + random(), 3),
      ...place(burst),
    });
  }
  for (const pass of ['papi:flops', 'papi:bytes'])
    witness.push({
      rep: 0,
      pass,
      warmup: false,
      wall_ms: round(sum(reps[1]) * 1.03),
      switches_involuntary: 2,
      page_faults_minor: 0,
      page_faults_major: 0,
      steal_ticks: 0,
      other_busy: 0.02,
      load1: 1.4,
      ...place(1),
    });
  const timed = reps.slice(1);
  const steps = work.map((w, i) => {
    const e = estimate(timed.map((x) => x[i])),
      [id_, text] = TOKENS[(i * 7 + (i >> 3)) % TOKENS.length];
    return {
      step: i,
      phase: i ? 'decode' : 'prefill',
      kv_len: t.prompt + i,
      token: id_,
      text,
      ms: round(e.median, 4),
      lo: round(e.lo, 4),
      hi: round(e.hi, 4),
      cumulative_ms: 0,
      flops: w.flops,
      bytes: w.bytes,
      sample_ms: t.choosing,
      counted_flops: Math.round(w.flops * (1.003 + 0.004 * random())),
      counted_bytes: Math.round(w.bytes * (0.985 + 0.05 * random())),
    };
  });
  steps.reduce((acc, s) => ((s.cumulative_ms = round(acc + s.ms, 5)), acc + s.ms), 0);
  const decodeSteps = steps.slice(1),
    pre = estimate(timed.map((x) => x[0]));
  const stepMs = estimate(timed.map((x) => median(x.slice(1)))),
    loop = estimate(timed.map((x) => sum(x.slice(1))));
  const total = estimate(timed.map(sum)),
    pooled = timed.flatMap((x) => x.slice(1)).sort((a, b) => a - b);
  const flops = mean(decodeSteps.map((s) => s.flops)),
    bytes = mean(decodeSteps.map((s) => s.bytes));
  const lost = t.prompt === 512 ? 'all four readings of papi:bytes were implausible (>= 2^46) and thrown away' : null;
  const meanMs = {median: loop.median / (n - 1), lo: loop.lo / (n - 1), hi: loop.hi / (n - 1)};
  const source = lost ? 'analytic' : 'counter';
  const quantile = (p, least) => (pooled.length < least ? null : round(pooled[Math.floor(p * (pooled.length - 1))], 4));
  const tokens = t.prompt + n - 1,
    kvBytes = 2 * t.rows * LAYERS * HEADS * tokens * HEAD_DIM * 4;
  return {
    id,
    label: `kv_cache=${t.kv} prompt=${t.prompt} new=${n}${t.strategy === 'greedy' ? '' : ` strategy=${t.strategy}`}`,
    kv_cache: t.kv,
    batch: 1,
    prompt_tokens: t.prompt,
    new_tokens: n,
    strategy: t.strategy,
    ...ENGINE,
    sampling: t.sampling,
    rows: t.rows,
    arithmetic: 'f32',
    weight_bytes: 327650304,
    accuracy: null,
    repetitions: timed.length,
    planned_done: true,
    unconverged: t.prompt === 512,
    tokens_hash: `8c1f0a${(t.prompt * 1000 + n).toString(16).padStart(10, '0')}`,
    tokens_agree: true,
    text: steps.map((s) => s.text).join(''),
    kv: {
      shape: t.kv === 'on' ? [t.rows, HEADS, tokens, HEAD_DIM] : [],
      bytes_per_token: 36864,
      formula_bytes: kvBytes,
      allocated_bytes: t.kv === 'on' ? kvBytes : 0,
    },
    prefill: {
      ms: pre,
      tokens_per_s: round((1e3 * t.prompt) / pre.median),
      flops: amount(steps[0].flops, steps[0].counted_flops),
      bytes: amount(steps[0].bytes, lost ? null : steps[0].counted_bytes, lost),
      predicted_ms: round(roofMs(work[0])),
      verdict: verdict(steps[0].flops, steps[0].bytes, pre, source),
    },
    decode: {
      steps: n - 1,
      ms: stepMs,
      p50_ms: round(median(pooled), 4),
      p90_ms: quantile(0.9, 64),
      p99_ms: quantile(0.99, 662),
      n: pooled.length,
      tokens_per_s: round((1e3 * (n - 1)) / loop.median),
      flops: amount(flops, mean(decodeSteps.map((s) => s.counted_flops))),
      bytes: amount(bytes, lost ? null : mean(decodeSteps.map((s) => s.counted_bytes)), lost),
      predicted_ms: round(mean(work.slice(1).map(roofMs))),
      verdict: verdict(flops, bytes, meanMs, source),
    },
    sample: {
      ms: estimate(choosing),
      us_per_token: round(1e3 * median(choosing)),
      share: estimate(choosing.map((x) => x / stepMs.median)),
    },
    ttft_ms: estimate(timed.map((x) => x[0] + 0.11)),
    tpot_ms: estimate(timed.map((x) => sum(x.slice(1)) / (n - 1))),
    total_ms: total,
    decode_loop_ms: loop,
    token_per_s: round((1e3 * n) / total.median),
    witness,
    ops: [0, 1, n - 1].flatMap((s) =>
      Object.entries(opsOfPass(...stepShape(t, s))).map(([op, w]) => ({step: s, op, ...w})),
    ),
    per_op: [16, 128].includes(n) && t.strategy === 'greedy' && t.kv === 'on' && t.prompt === 13
      ? {prefill: perOpOf(t, [0]), decode: perOpOf(t, [...Array(n - 1)].map((_, i) => i + 1))}
      : null,
    energy: t.kv === 'on' && t.prompt === 13 ? {of: 'CPU packages', prefill: watts(13, pre.median), decode: watts(n - 1, loop.median)} : null,
    device: null,
    steps,
  };
}

function fit(trials, kv, metric, source, value) {
  const points = trials
    .filter((t) => t.kv_cache === kv && t.prompt_tokens === 13 && t.strategy === 'greedy')
    .map((t) => [t.new_tokens, round(value(t))]);
  const lx = points.map((p) => Math.log(p[0])),
    ly = points.map((p) => Math.log(p[1])),
    mx = mean(lx),
    my = mean(ly);
  const b = sum(lx.map((x, i) => (x - mx) * (ly[i] - my))) / sum(lx.map((x) => (x - mx) ** 2));
  return {
    arm: {kv_cache: kv, prompt_tokens: 13, batch: 1, strategy: 'greedy', ...ENGINE},
    along: 'new_tokens',
    metric,
    source,
    exponent: round(b, 4),
    lo: round(b - 0.012, 4),
    hi: round(b + 0.011, 4),
    coefficient: round(Math.exp(my - b * mx), 5),
    points,
    theory: kv === 'on' ? 'O(T d^2 + T^2 d)' : 'O(T^2 d^2 + T^3 d)',
    theory_lo: kv === 'on' ? 1 : 2,
    theory_hi: kv === 'on' ? 2 : 3,
    theory_here: 0,
  };
}

function roof(name, kind, level, unit, value, rounds, how) {
  const r = [...Array(rounds)].map((_, i) => ({
    round: i,
    value: round(value * noise(kind === 'compute' ? 0.006 : 0.04)),
  }));
  const v = r.map((x) => x.value);
  return {
    name,
    kind,
    level,
    threads: 2,
    unit,
    value: median(v),
    lo: Math.min(...v),
    hi: Math.max(...v),
    n: rounds,
    how,
    rounds: r,
  };
}

const greedy = {strategy: 'greedy', sampling: null, rows: 1, choosing: 0.021};
const plan = [];
for (const kv of ['on', 'off']) for (const n of [16, 32, 64, 128]) plan.push({kv, prompt: 13, new: n, ...greedy});
plan.push({kv: 'on', prompt: 128, new: 16, ...greedy}, {kv: 'on', prompt: 512, new: 16, ...greedy});
plan.push(
  {
    kv: 'on',
    prompt: 13,
    new: 64,
    strategy: 'top_p',
    sampling: 'temperature 1, top-p 0.9, seed 1',
    rows: 1,
    choosing: 0.61,
  },
  {kv: 'on', prompt: 13, new: 64, strategy: 'beam', sampling: '4 beams, alpha 1.2, min length 5', rows: 4, choosing: 1.3},
);
const trials = plan.map((t, i) => makeTrial(t, i + 1));
const total = (t) => t.total_ms.median;
const flopsOf = (key) => (t) => sum(t.steps.map((s) => s[key]));
const fits = ['off', 'on'].flatMap((kv) => [
  fit(trials, kv, 'total_ms', 'timer', total),
  fit(trials, kv, 'flops', 'analytic', flopsOf('flops')),
  fit(trials, kv, 'flops', 'counter', flopsOf('counted_flops')),
]);
for (const f of fits)
  // the slope of analytic FLOPs at these very lengths
  f.theory_here = fits.find((g) => g.arm.kv_cache === f.arm.kv_cache && g.source === 'analytic').exponent;
const held = (spec, text, evidence, result = 'held') => ({spec, result, text, evidence});
const cpuHow = 'avx512, 2 threads',
  memHow = 'avx512, 2 threads, 256 MiB per thread, huge pages advised';

const document = {
  format: 'bench-run/1',
  run: {
    id: 7,
    suite: 'kvcache_on_off',
    question: 'What does the KV cache buy, and how does the cost of generating grow with length?',
    started: '2026-01-31T12:34:56Z',
    finished: '2026-01-31T12:36:41Z',
    outcome: 'not held',
    problem: null,
    command: 'none: SYNTHETIC SAMPLE DATA written by tests/data/document.mjs, nothing was measured',
    version: 'sample',
    compiler: 'gcc 12.2.0',
    backend: 'cpu',
    backend_about: 'OpenBLAS 0.3.21 (sgemm on slices), own mat-vec (avx512)',
    threads: 2,
    cpus: '0,1',
    seed: 1,
    prompt: 'Q: Explain why batching improves GPU utilization.\nA:',
    prompt_ids: PROMPT_IDS,
    tokenizer: 'gpt2 ranks (50257 tokens)',
    load_model_ms: 412.3,
    load_tokenizer_ms: 61.2,
    tokenize_ms: 0.112,
    conventions:
      'A multiply-add is 2 FLOPs; causal attention counts only the scores that are used; norms, activations and softmax are not counted; the head runs for the last position only; bytes are weights once a pass plus cached keys and values.',
    suite_yaml: fs.readFileSync(new URL('../../suites/kvcache_on_off.yaml', import.meta.url), 'utf8'),
  },
  model: {
    name: 'distilgpt2',
    arch: 'gpt2',
    dtype: 'float32',
    weights: 'synthetic, seed 1',
    format: 'preset',
    stored: 'made, not read',
    stored_bytes: 0,
    load_peak_bytes: 402653184,
    load_bytes_per_s: null,
    parameters: 81912576,
    weight_bytes: 327650304,
    layers: LAYERS,
    d_model: D,
    heads: HEADS,
    kv_heads: HEADS,
    head_dim: HEAD_DIM,
    d_ff: FF,
    vocab: VOCAB,
    context: 1024,
    kv_numbers_per_token: 9216,
  },
  model_files: [],
  device: null,
  axes: Object.entries(USUAL).map(([name, usual]) => ({name, usual})),
  caches: [
    {level: 'l2', bytes: 2097152},
    {level: 'l3', bytes: 33554432},
  ],
  machine: [
    ['CPU', 'Sample CPU 9000 (synthetic data)', '/proc/cpuinfo'],
    ['topology', '2 cores, 2 hardware threads', 'hwloc'],
    ['caches', 'L1d 48 KiB, L2 1 MiB, L3 32 MiB', 'hwloc'],
    ['memory', '16.6 GB', 'hwloc'],
    ['threads', '2, pinned to CPUs 0,1', 'bench'],
    ['kernel', 'Linux 6.1.0-sample x86_64', 'uname'],
    ['system', 'Debian GNU/Linux 12 (bookworm)', '/etc/os-release'],
    ['virtualisation', 'a virtual machine', '/proc/cpuinfo'],
    ['OpenBLAS', 'OpenBLAS 0.3.21 (sample)', 'openblas_get_config'],
    ['$OPENBLAS_NUM_THREADS', '1', 'environment'],
  ].map(([key, value, source]) => ({key, value, source})),
  roofs: [
    roof('f32 fma', 'compute', 'registers', 'FLOP/s', FMA, 4, cpuHow),
    roof('f32 gemm', 'compute', 'registers', 'FLOP/s', GEMM, 4, 'OpenBLAS sgemm 1536^3, 2 threads'),
    roof('dram read', 'bandwidth', 'dram', 'B/s', DRAM, 4, memHow),
    roof('dram copy', 'bandwidth', 'dram', 'B/s', 66e9, 1, memHow),
    roof('dram triad', 'bandwidth', 'dram', 'B/s', 71e9, 1, memHow),
    roof('l1 read', 'bandwidth', 'l1', 'B/s', 1060e9, 1, 'avx512, 2 threads, 24 KiB per thread'),
    roof('l2 read', 'bandwidth', 'l2', 'B/s', 520e9, 1, 'avx512, 2 threads, 512 KiB per thread'),
    roof('l3 read', 'bandwidth', 'l3', 'B/s', 210e9, 1, 'avx512, 2 threads, 12 MiB per thread'),
  ],
  ridge: {compute: 'f32 fma', bandwidth: 'dram read', peak_flops: FMA, peak_bps: DRAM, ai: round(FMA / DRAM)},
  calibrations: [
    {
      metric: 'flops',
      probe: 'papi',
      event: 'RETIRED_SSE_AVX_FLOPS:ANY',
      kernel: 'avx512 fma f32',
      expected: 1.6384e9,
      measured: 1.6384e9,
      rel_error: 1e-8,
      limit: 0.02,
      accepted: true,
      why: '',
    },
    {
      metric: 'flops',
      probe: 'papi',
      event: 'RETIRED_SSE_AVX_FLOPS:ANY',
      kernel: 'scalar fma f32',
      expected: 2.048e8,
      measured: 2.048e8,
      rel_error: 2e-8,
      limit: 0.02,
      accepted: true,
      why: '',
    },
    {
      metric: 'dram_read_bytes',
      probe: 'papi',
      event: 'ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR',
      kernel: 'read stream 256 MiB',
      expected: 1.0737e9,
      measured: 1.0683e9,
      rel_error: 0.005,
      limit: 0.05,
      accepted: true,
      why: '',
    },
    {
      metric: 'cycles',
      probe: 'papi',
      event: 'PAPI_TOT_CYC',
      kernel: 'avx512 fma f32',
      expected: 5.12e7,
      measured: null,
      rel_error: null,
      limit: 0.02,
      accepted: false,
      why: 'cycles read 0 while instructions did not: the event did not fit beside the others',
    },
  ],
  absent: [
    {
      what: 'dram_write_bytes',
      why: 'this CPU has no event that sees write-backs from a guest; write bytes are analytic',
    },
    {what: 'rapl', why: '/sys/class/powercap holds no package domain: energy is not read on this machine'},
  ],
  overhead: [
    ['prefill', 'time', 0.0004],
    ['decode', 'time', 0.0011],
    ['prefill', 'papi:flops', 0.004],
    ['decode', 'papi:flops', 0.021],
    ['prefill', 'papi:bytes', 0.006],
    ['decode', 'papi:bytes', 0.019],
    ['prefill', 'op:time', 0.012],
    ['decode', 'op:time', 0.031],
  ].map(([phase, pass, r]) => ({
    phase,
    pass,
    against: 'bare',
    ratio: {median: r, lo: round(r - 0.004), hi: round(r + 0.005), n: 30, iqr: 0.006},
    us_a_step: {median: round(4300 * r), lo: round(4300 * (r - 0.004)), hi: round(4300 * (r + 0.005)), n: 30, iqr: 12},
  })),
  rejected: 5,
  trials,
  fits,
  claims: [
    held(
      {claim: 'bound', phase: 'prefill', is: 'compute', where: {prompt_tokens: 128}},
      'prefill is compute-bound where prompt_tokens=128',
      '1 of 1 trials compute-bound: 80 % of the compute roof',
    ),
    held(
      {claim: 'bound', phase: 'prefill', is: 'compute', where: {prompt_tokens: 512}},
      'prefill is compute-bound where prompt_tokens=512',
      '1 of 1 trials compute-bound; its bytes are analytic, not counted',
    ),
    held(
      {claim: 'bound', phase: 'decode', is: 'bandwidth', where: {kv_cache: 'on'}},
      'decode is bandwidth-bound where kv_cache=on',
      '8 of 8 trials bandwidth-bound, AI 0.50 against a ridge of 6.23',
    ),
    held(
      {claim: 'same_tokens', across: 'kv_cache'},
      'kv_cache on and off choose the same tokens',
      '4 of 4 pairs have equal token hashes',
    ),
    held(
      {
        claim: 'ratio',
        metric: 'total_ms',
        of: {kv_cache: 'off'},
        over: {kv_cache: 'on'},
        along: 'new_tokens',
        above: 2,
        grows: true,
      },
      'total_ms of kv_cache=off over kv_cache=on is above 2 and grows along new_tokens',
      `at 16 new tokens the ratio is ${(total(trials[4]) / total(trials[0])).toFixed(2)}, its interval not above 2`,
      'not held',
    ),
    held(
      {claim: 'exponent', metric: 'total_ms', along: 'new_tokens', steeper: {kv_cache: 'off'}, than: {kv_cache: 'on'}},
      'total_ms grows faster along new_tokens with kv_cache=off than with kv_cache=on',
      `exponent ${fits[0].exponent} against ${fits[3].exponent}`,
    ),
    held(
      {claim: 'exponent', metric: 'flops', along: 'new_tokens', steeper: {kv_cache: 'off'}, than: {kv_cache: 'on'}},
      'flops grow faster along new_tokens with kv_cache=off than with kv_cache=on',
      'too few counted repetitions for an interval',
      'undecided',
    ),
  ],
};

/* One line per element of a list, so that a change shows as a few lines. */
const write = (v, depth) => {
  const flat = JSON.stringify(v);
  if (depth > 3 || v === null || typeof v !== 'object' || flat.length < 160) return flat;
  const inner = Array.isArray(v)
    ? v.map((x) => write(x, depth + 1))
    : Object.entries(v).map(([k, x]) => `${JSON.stringify(k)}: ${write(x, depth + 1)}`);
  return (Array.isArray(v) ? '[' : '{') + '\n' + inner.join(',\n') + '\n' + (Array.isArray(v) ? ']' : '}');
};
fs.writeFileSync(new URL('document.json', import.meta.url), write(document, 0) + '\n');
