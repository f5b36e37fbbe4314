// SPDX-License-Identifier: MIT
// The report in a real browser: nothing fails, nothing is fetched, everything is drawn, both themes, keyboard and screen reader.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {pathToFileURL} from 'node:url';
import {browser, check, copy, open, picture, pointOf, sample, sampleFile, skip, style, violations, write} from './room.mjs';

const CHARTS = ['roofline-chart', 'latency-chart', 'growth-chart', 'speedup-chart', 'choosing-chart', 'noise-chart'];

const fills = (page, chart) => page.$$eval(`#${chart} .chart svg path`, (ps) => ps.map((p) => p.getAttribute('fill')));

test(
  'a report that was written by bench opens without an error or a request',
  {skip: skip || (process.env.BENCH_REPORT ? false : 'BENCH_REPORT names no report')},
  async () => {
    const {page, close} = await open(process.env.BENCH_REPORT);
    assert.ok((await page.$$('.chart svg')).length > 0);
    assert.deepEqual(await violations(page), []);
    await picture(page, 'real');
    await close();
  },
);

check('every chart is drawn, named and described', async () => {
  const {page, close} = await open(sampleFile);
  for (const id of CHARTS) {
    assert.ok((await page.$$(`#${id} .chart svg path`)).length > 10, `${id} is not drawn`);
    assert.equal(await page.$eval(`#${id} .chart`, (e) => e.getAttribute('role')), 'img');
    assert.ok(
      (await page.$eval(`#${id} .chart`, (e) => e.getAttribute('aria-label'))).length > 40,
      `${id} is not described`,
    );
    assert.ok((await page.$eval(`#${id} h3`, (e) => e.textContent)).length > 5);
  }
  await picture(page, 'light');
  await close();
});

check('the answer stands before any chart: verdicts, claims with their evidence', async () => {
  const {page, close} = await open(sampleFile);
  const words = await page.innerText('#answer');
  for (const c of sample.claims) assert.ok(words.includes(c.text) && words.includes(c.evidence), c.text);
  assert.match(words, /Prefill of 13 tokens\s+bandwidth-bound: /);
  assert.match(words, /Generating 128 tokens takes 5\d\d ms with the KV cache/);
  assert.ok(
    await page.evaluate(
      () =>
        document.querySelector('#answer').compareDocumentPosition(document.querySelector('.chart')) &
        Node.DOCUMENT_POSITION_FOLLOWING,
    ),
  );
  await close();
});

check('strategies stand side by side with what choosing takes of a step', async () => {
  const {page, close} = await open(sampleFile);
  const words = await page.innerText('#choosing');
  assert.match(words, /on · 13 → 64 · top_p\s+temperature 1, top-p 0\.9, seed 1\s+0\.613 \[0\.610, 0\.622\]/);
  assert.match(words, /the largest logit/);
  const label = await page.$eval('#choosing-chart .chart', (e) => e.getAttribute('aria-label'));
  assert.match(label, /greedy \d.*; top_p \d.*of it choosing 0\.613 ms; beam \d/);
  await close();
});

check('a run of strategies alone answers what choosing costs', async () => {
  const doc = copy(sample);
  doc.trials = doc.trials.filter((t) => t.kv_cache === 'on' && t.prompt_tokens === 13 && t.new_tokens === 64);
  doc.fits = [];
  const {page, close} = await open(write('strategies', doc));
  const words = await page.innerText('#answer');
  assert.match(words, /Choosing the next token takes .* % of a decode step with greedy and .* % of a decode step with beam\./);
  assert.match(words, /A step with 4 beams takes \d\.\d\d times as long as a greedy one/);
  assert.doesNotMatch(await page.innerText('main'), /NaN|undefined|null|Infinity/);
  assert.deepEqual(await violations(page), []);
  await picture(page, 'strategies');
  await close();
});

check('a model from files shows how they are stored and their hashes', async () => {
  const doc = copy(sample);
  Object.assign(doc.model, {format: 'GGUF', stored: 'Q4_K 86 %, Q6_K 14 %', stored_bytes: 86.2e6, load_bytes_per_s: 209e6});
  doc.model_files = [{path: 'models/<b>x.gguf', bytes: 86300001, sha256: '0123456789abcdef'.repeat(4)}];
  const {page, close} = await open(write('files', doc));
  const words = await page.innerText('#machine');
  assert.match(words, /Q4_K 86 %, Q6_K 14 %, 86\.2 MB \(GGUF\)/);
  assert.match(words, /models\/<b>x\.gguf, 86\.3 MB sha256 0123456789ab…/);
  assert.match(words, /412 ms timer at 209 MB\/s/);
  assert.match(words, /peak memory then\s+403 MB/);
  await close();
});

check('pointing at a roofline point tells its trial and numbers', async () => {
  const {page, close} = await open(sampleFile);
  const at = await pointOf(page, 'off');
  assert.equal(await page.locator('.tip:visible').count(), 0);
  await page.mouse.move(at.x - 30, at.y - 30);
  await page.mouse.move(at.x, at.y, {steps: 4});
  const tip = page.locator('#roofline-chart .tip:visible');
  await tip.waitFor();
  assert.match(await tip.innerText(), /decode, cache off: off · 13 → \d+[^]*GFLOP\/s[^]*% \[/);
  await close();
});

check('counted points are filled and analytic ones are hollow', async () => {
  const {page, close} = await open(sampleFile);
  const surface = await page.evaluate(() =>
    getComputedStyle(document.documentElement).getPropertyValue('--surface').trim(),
  );
  const hollow = (await fills(page, 'roofline-chart')).filter((f) => f === surface).length;
  assert.equal(
    hollow,
    sample.trials.flatMap((t) => [t.prefill, t.decode]).filter((p) => p.verdict.source === 'analytic').length,
    'ops were counted in the sample, so they are filled',
  );
  await close();
});

const PRODUCTS = ['qkv', 'attention', 'out', 'mlp', 'head'];

check('every op with FLOPs has a point in each phase, and its key takes it away', async () => {
  const {page, close} = await open(sampleFile);
  const texts = () => page.$$eval('#roofline-chart svg text', (ts) => ts.map((t) => t.textContent));
  const ops = sample.trials.find((t) => t.per_op && t.new_tokens === 128).per_op;
  const drawn = ops.prefill.ops.filter((o) => o.verdict?.ai > 0).length + ops.decode.ops.filter((o) => o.verdict?.ai > 0).length;
  assert.match(
    await page.$eval('#roofline-chart .chart', (e) => e.getAttribute('aria-label')),
    new RegExp(`${drawn} of their ops`),
  );
  assert.ok((await texts()).some((t) => PRODUCTS.includes(t)), 'ops are named');
  const count = async () => (await fills(page, 'roofline-chart')).length;
  const all = await count();
  for (const phase of ['prefill', 'decode'])
    await page.locator('#roofline-chart .legend button', {hasText: `ops of ${phase}`}).click();
  assert.equal(all - (await count()), drawn);
  assert.ok(!(await texts()).some((t) => PRODUCTS.includes(t)));
  await close();
});

check('the table of ops holds those without FLOPs too, and layers are folded below it', async () => {
  const {page, close} = await open(sampleFile);
  const rows = await page.$$eval('#ops .box:first-of-type tbody tr', (trs) => trs.map((tr) => tr.innerText));
  for (const op of [...PRODUCTS, 'embed', 'norm', 'rotary', 'sample'])
    assert.ok(
      rows.some((r) => r.startsWith(op)),
      `${op} has no row`,
    );
  assert.match(await page.innerText('#ops'), /Prefill by op, on · 13 → 128: .* ms.*\+3\.10 % against the timing pass/);
  assert.equal(await page.locator('#ops th:visible', {hasText: 'layer 5'}).count(), 0);
  await page.locator('#ops summary', {hasText: 'Prefill, layer by layer'}).first().click();
  assert.equal(await page.locator('#ops th:visible', {hasText: 'layer 5'}).count(), 1);
  await picture(page, 'ops');
  await close();
});

check('what measuring costs stands by pass, energy by phase, and each has its words when it is not there', async () => {
  const {page, close} = await open(sampleFile);
  assert.match(await page.innerText('#method'), /op:time\s+\+1\.20 % \[[^]*?\+3\.10 % \[\+2\.70 %, \+3\.60 %\]/);
  assert.match(await page.innerText('#trials'), /J a token[^]*61\.0 \[60\.4, 61\.6\]/);
  await close();
  const doc = copy(sample);
  doc.overhead = [];
  doc.absent.find((a) => a.what === 'rapl').why = 'this machine has no energy counter';
  doc.trials.forEach((t) => Object.assign(t, {energy: null, per_op: null}));
  const bare = await open(write('bare', doc));
  assert.match(await bare.page.innerText('#trials'), /Energy was not measured: this machine has no energy counter\./);
  assert.match(await bare.page.innerText('#ops'), /bench run SUITE --per op measures it/);
  assert.match(await bare.page.innerText('#method'), /What measuring costs is not known/);
  await bare.close();
});

/* The sample as a run of every type of weights with one and two threads would be, with many claims. */
function typed() {
  const doc = copy(sample),
    speed = {f32: 1, f16: 1.8, bf16: 1.9, q8_0: 3.1, q4_0: 4.7},
    arithmetic = {f32: 'f32', f16: 'f32', bf16: 'bf16', q8_0: 'int8', q4_0: 'int8'},
    peak = {'f32 fma': 533e9, 'bf16 dot': 1050e9, 'int8 dot': 2100e9, 'dram read': 85.6e9};
  const base = doc.trials.filter((t) => t.kv_cache === 'on' && t.new_tokens === 16 && t.prompt_tokens !== 128);
  doc.roofs = Object.entries(peak).flatMap(([name, value]) =>
    [2, 1].map((threads) => {
      const v = value * (threads === 2 ? 1 : 0.52);
      return {...doc.roofs[name === 'dram read' ? 2 : 0], name, threads, value: v, lo: 0.97 * v, hi: 1.02 * v, rounds: [{round: 0, value: v}], n: 2};
    }),
  );
  doc.trials = base.flatMap((t) =>
    Object.keys(speed).flatMap((dtype) =>
      [2, 1].flatMap((threads) =>
        [1, 8].map((batch) => {
          const one = copy(t),
            factor = speed[dtype] * (threads === 2 ? 1 : 0.52);
          Object.assign(one, {dtype, threads, batch, rows: batch, arithmetic: arithmetic[dtype], per_op: null});
          Object.assign(one, {weight_bytes: 327650304 / speed[dtype]});
          one.accuracy = {positions: 128, max_error: dtype === 'f32' ? 0 : 0.31, mean_error: dtype === 'f32' ? 0 : 0.021, spread: 2.4, top1: dtype === 'f32' ? 1 : 0.9765625};
          for (const phase of [one.prefill, one.decode]) {
            const v = phase.verdict;
            v.compute_roof = arithmetic[dtype] === 'f32' ? 'f32 fma' : `${arithmetic[dtype]} dot`;
            v.ai *= batch * speed[dtype];
            v.gflops *= factor * (phase === one.decode ? batch : 1.1);
            v.roof = v.kind === 'compute-bound' ? v.compute_roof : v.roof;
            Object.assign(phase.ms, {median: phase.ms.median / factor, lo: phase.ms.lo / factor, hi: phase.ms.hi / factor});
          }
          return one;
        }),
      ),
    ),
  );
  const evidence = Object.keys(speed)
    .map((dtype) => `93.1 % [92.4, 94.0] at dtype=${dtype} threads=1`)
    .join(', ');
  doc.claims = [...Array(30)].map((_, i) => ({
    spec: {claim: 'efficiency', phase: 'decode', above: 0.9 + i / 1000, where: {dtype: Object.keys(speed)}},
    result: i % 7 === 3 ? 'not held' : i % 11 === 5 ? 'undecided' : 'held',
    text: `decode reaches at least ${90 + i / 10} % of the dram read roof where dtype=f32, f16, bf16, q8_0 or q4_0`,
    evidence: `5 of 5 trials: ${evidence}`,
  }));
  doc.fits = [];
  return doc;
}

check('types and thread counts are told apart under their own roofs', async () => {
  const {page, close} = await open(write('typed', typed()));
  const texts = await page.$$eval('#roofline-chart svg text', (ts) => ts.map((t) => t.textContent));
  for (const roof of ['DRAM read, 1 thread 44.5 GB/s', 'DRAM read, 2 threads 85.6 GB/s', 'bf16 dot, 2 threads 1.05 TFLOP/s'])
    assert.ok(texts.includes(roof), `no line is called ${roof}: ${texts.join('; ')}`);
  const keys = await page.$$eval('#roofline-chart .legend button', (bs) => bs.map((b) => b.textContent));
  for (const key of ['prefill, f32', 'prefill, bf16', 'decode, q4_0']) assert.ok(keys.includes(key), `no key ${key}`);
  assert.equal(keys.length, 10);
  assert.match(await page.innerText('#roofline'), /The ridges, .* FLOP\/byte \(bf16 dot over dram read, 1 thread\)/);
  const words = await page.innerText('main');
  assert.doesNotMatch(words, /NaN|undefined|null|Infinity/);
  assert.match(words, /on · 13 → 16 · batch 8 · bf16 · 1 thread/);
  await picture(page, 'typed');
  await close();
});

check('types have their bytes and their errors, one row for each', async () => {
  const {page, close} = await open(write('types', typed()));
  const words = await page.innerText('#types');
  assert.match(words, /q4_0\s+69\.7 MB\s+21\.3 %\s+8-bit products/);
  assert.match(words, /bf16\s+0\.310\s+12\.9 %\s+0\.0210\s+0\.875 %\s+97\.7 %/);
  assert.equal((words.match(/97\.7 %/g) || []).length, 4, 'threads and batch change nothing of it');
  await close();
  const plain = await open(sampleFile);
  assert.match(await plain.page.innerText('#types'), /was not measured: measure\.accuracy: on does it/);
  await plain.close();
});

check('many trials are chosen by the axes in which they differ', async () => {
  const doc = typed(),
    {page, close} = await open(write('filter', doc));
  const rows = () => page.locator('#trials table').first().locator('tbody tr:visible').count();
  assert.equal(await rows(), doc.trials.length);
  await page.selectOption('#trials select[data-axis="dtype"]', 'bf16');
  await page.selectOption('#trials select[data-axis="threads"]', '1');
  const left = doc.trials.filter((t) => t.dtype === 'bf16' && t.threads === 1).length;
  assert.equal(await rows(), left);
  assert.equal(await page.innerText('#trials output'), `${left} of ${doc.trials.length} trials`);
  assert.equal(await page.locator('#trials select[data-axis="gemm"]').count(), 0, 'what does not vary is not offered');
  await close();
  const few = await open(sampleFile);
  assert.equal(await few.page.locator('#trials select').count(), 0);
  await few.close();
});

check('thirty claims are counted, shown by result, and keep their evidence', async () => {
  const doc = typed(),
    {page, close} = await open(write('claims', doc));
  const count = (result) => doc.claims.filter((c) => c.result === result).length,
    visible = () => page.locator('.claims li:visible').count();
  assert.match(await page.innerText('#answer .lead'), new RegExp(`${count('held')} of 30 claims hold on this machine`));
  assert.equal(await visible(), 30);
  await page.locator('.tally button', {hasText: 'not held'}).click();
  assert.equal(await visible(), count('not held'));
  assert.equal(await page.locator('.claims li:visible .note:visible').count(), count('not held'));
  await page.locator('.tally button', {hasText: 'all 30'}).click();
  await page.locator('.claims summary').first().click();
  assert.ok(await page.locator('.claims li').first().locator('.note').isVisible());
  assert.deepEqual(await violations(page, {}, ['#answer', '#types', '#trials .filter']), []);
  await close();
});

check('an impossible verdict is an error and a step in cache says so', async () => {
  const doc = copy(sample);
  Object.assign(doc.trials[0].decode.verdict, {kind: 'above its roof', efficiency: 1.4});
  Object.assign(doc.trials[1].decode.verdict, {cache: 'l3', roof: 'l3 read'});
  const {page, close} = await open(write('above', doc));
  assert.match(await page.innerText('#answer'), /above its roof at 16 new tokens: 140 % of its roof/);
  assert.equal(await page.locator('#trials .badge-bad', {hasText: 'above its roof'}).count(), 1);
  assert.equal(await page.locator('#trials .badge', {hasText: 'in cache'}).count(), 1);
  assert.match(await page.innerText('#roofline'), /What stays in a cache stands at the intensity/);
  await close();
});

check('what the witness saw of a repetition stands beside it', async () => {
  const doc = copy(sample);
  doc.trials[0].witness[2] = {...doc.trials[0].witness[2], throttled: 2, frequency_hz: 2.5e9, remote_share: 0.4, interrupts: 99123};
  const {page, close} = await open(write('witness', doc));
  const words = (await page.locator('#noise').textContent()) || '';
  for (const found of ['99,123', '2.50', '40.0 %', 'GHz', 'elsewhere']) assert.ok(words.includes(found), found);
  assert.doesNotMatch(words, /NaN|undefined|null/);
  await close();
});

check('zooming keeps the log axes true, and reset brings the whole back', async () => {
  const {page, close} = await open(sampleFile);
  const labels = () => page.$$eval('#roofline-chart svg text', (ts) => ts.map((t) => t.textContent).join(' '));
  const whole = await labels();
  await page.click('#roofline-chart button[aria-label^="Zoom in"]');
  const near = await labels();
  assert.notEqual(near, whole);
  await page.click('#roofline-chart button[aria-label^="Reset"]');
  assert.equal(await labels(), whole);
  const box = await page.locator('#roofline-chart .chart').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.wheel(0, -300);
  assert.equal(await labels(), whole, 'the wheel alone scrolls the page');
  await close();
});

check('a legend key switches its series off and on from the keyboard', async () => {
  const {page, close} = await open(sampleFile);
  const key = page.locator('#roofline-chart .legend button', {hasText: 'decode, cache off'});
  const count = async () => (await fills(page, 'roofline-chart')).length;
  const all = await count();
  await key.focus();
  await page.keyboard.press('Enter');
  assert.equal(await key.getAttribute('aria-pressed'), 'false');
  assert.ok((await count()) < all);
  await page.keyboard.press('Enter');
  assert.equal(await count(), all);
  await close();
});

check('dark follows the system, and the button turns it round, charts included', async () => {
  const light = await open(sampleFile),
    dark = await open(sampleFile, {colorScheme: 'dark'});
  const look = async ({page}) => [
    await style(page, 'body', 'backgroundColor'),
    (await fills(page, 'latency-chart')).join(),
  ];
  const [day, night] = [await look(light), await look(dark)];
  assert.notEqual(day[0], night[0]);
  assert.notEqual(day[1], night[1]);
  await picture(dark.page, 'dark');
  assert.equal(await dark.page.innerText('.theme'), 'Light theme');
  await dark.page.click('.theme');
  assert.deepEqual(await look(dark), day);
  await dark.page.click('.theme');
  assert.deepEqual(await look(dark), night);
  await light.close();
  await dark.close();
});

const CONTRAST = {runOnly: ['color-contrast']};
for (const [name, options, rules] of [
  ['light', {}, {}],
  ['colours in the dark', {colorScheme: 'dark'}, CONTRAST],
  ['on a phone', {width: 360, height: 740}, {rules: {'color-contrast': {enabled: false}}}],
])
  check(`axe finds nothing to complain about: ${name}`, async () => {
    const {page, close} = await open(sampleFile, options);
    assert.deepEqual(await violations(page, rules), []);
    await close();
  });

check('a phone shows the whole width without sideways scrolling', async () => {
  const {page, close} = await open(sampleFile, {width: 360, height: 740});
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  for (const id of CHARTS) assert.ok((await page.locator(`#${id} .chart svg`).boundingBox()).width <= 360);
  await picture(page, 'phone');
  await close();
});

check('print is light, whole and without buttons', async () => {
  const {page, close} = await open(sampleFile, {colorScheme: 'dark'});
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  await page.emulateMedia({media: 'print', colorScheme: 'dark'});
  assert.equal(await style(page, 'body', 'backgroundColor'), 'rgb(255, 255, 255)');
  assert.equal(await page.locator('nav:visible, .tools:visible, .theme:visible').count(), 0);
  for (const id of CHARTS) assert.ok((await page.locator(`#${id} .chart svg`).boundingBox()).width <= 660);
  await close();
});

check('a run that was killed in its first trials says so and shows what there is', async () => {
  const doc = copy(sample);
  Object.assign(doc.run, {finished: null, outcome: null, load_model_ms: null, tokenize_ms: null});
  Object.assign(doc, {
    ridge: null,
    roofs: doc.roofs.slice(0, 1),
    calibrations: [],
    overhead: [],
    fits: [],
    trials: doc.trials.slice(0, 6),
  });
  doc.claims.forEach((c) => Object.assign(c, {result: null, text: null, evidence: null}));
  for (const t of doc.trials) {
    Object.assign(t, {
      repetitions: 0,
      planned_done: false,
      unconverged: null,
      tokens_hash: null,
      tokens_agree: null,
      text: null,
      ttft_ms: null,
      tpot_ms: null,
      total_ms: null,
      decode_loop_ms: null,
      token_per_s: null,
      witness: [],
      ops: [],
    });
    for (const phase of [t.prefill, t.decode]) {
      for (const key of Object.keys(phase)) if (!['flops', 'bytes', 'verdict'].includes(key)) phase[key] = null;
      for (const amount of [phase.flops, phase.bytes])
        Object.assign(amount, {counted: null, error: null, provenance: 'missing', why: null});
      for (const key of Object.keys(phase.verdict))
        if (!['kind', 'source', 'sentence'].includes(key)) phase.verdict[key] = null;
      Object.assign(phase.verdict, {kind: 'unknown', source: 'analytic', sentence: 'no roof was measured'});
    }
    for (const s of t.steps) for (const key of Object.keys(s)) if (!['step', 'phase'].includes(key)) s[key] = null;
  }
  doc.trials[4].decode = null;
  doc.trials[5].steps = [];
  const {page, close} = await open(write('killed', doc));
  assert.match(await page.innerText('.banner'), /This run did not finish: no end was recorded/);
  const words = await page.innerText('main');
  assert.doesNotMatch(words, /NaN|undefined|null|Infinity/);
  assert.match(words, /Not drawn: no trial of this run has a measured decode step/);
  assert.match(words, /the run ended before its counting pass/);
  assert.deepEqual(await violations(page), []);
  await picture(page, 'killed');
  await close();
});

check('a run that failed before its first trial shows its problem', async () => {
  const doc = copy(sample);
  for (const key of ['machine', 'roofs', 'calibrations', 'absent', 'overhead', 'trials', 'fits', 'claims'])
    doc[key] = [];
  Object.assign(doc, {ridge: null, rejected: null});
  Object.assign(doc.run, {outcome: 'failed', problem: 'model.safetensors: cannot be read', prompt_ids: []});
  const {page, close} = await open(write('failed', doc));
  assert.match(await page.innerText('.banner'), /model\.safetensors: cannot be read/);
  assert.doesNotMatch(await page.innerText('main'), /NaN|undefined|null|Infinity/);
  await close();
});

check('a run whose two arms have nothing in common is drawn too', async () => {
  const doc = copy(sample);
  doc.trials = doc.trials.filter((t) => t.kv_cache === 'on' && t.prompt_tokens > 100);
  doc.fits = [];
  const {page, close} = await open(write('one-arm', doc));
  assert.match(await page.innerText('#answer'), /Generating 16 tokens takes .* with the cache on/);
  assert.doesNotMatch(await page.innerText('main'), /NaN|undefined|null|Infinity/);
  await close();
});

check('a single repetition has no intervals and claims none', async () => {
  const doc = copy(sample);
  const strip = (v) => {
    if (!v || typeof v !== 'object') return;
    for (const key of Object.keys(v)) {
      if (['lo', 'hi', 'iqr', 'efficiency_lo', 'efficiency_hi'].includes(key)) v[key] = null;
      else strip(v[key]);
    }
  };
  strip(doc);
  const {page, close} = await open(write('single', doc));
  assert.match(await page.innerText('#answer'), /A single repetition gives no interval/);
  assert.doesNotMatch(await page.innerText('main'), /NaN|undefined|null|Infinity/);
  assert.equal((await page.$$('.chart svg')).length, CHARTS.length);
  await close();
});

check('no text of a run becomes part of the page', async () => {
  const doc = copy(sample),
    nasty = '</script><!--<script><img src=x onerror="window.harmed=1"><b id=harm>\u2028';
  doc.run.prompt = doc.run.question = doc.run.suite_yaml = doc.run.problem = nasty;
  doc.trials.forEach((t) => Object.assign(t, {text: nasty, label: nasty}));
  doc.trials[3].steps[5].text = nasty;
  doc.claims[0].text = doc.claims[0].evidence = doc.absent[0].why = doc.roofs[0].how = doc.machine[0].value = nasty;
  const {page, close} = await open(write('nasty', doc));
  assert.equal(await page.$eval('h1', (e) => e.textContent), nasty);
  assert.equal(await page.evaluate(() => window.harmed || document.querySelectorAll('#harm, img').length), 0);
  assert.equal((await page.$$('.chart svg')).length, CHARTS.length);
  await close();
});

check('data of another format is refused in words', async () => {
  const file = write('format', {...sample, format: 'bench-run/99'});
  const page = await browser.newPage();
  await page.goto(pathToFileURL(file).href);
  assert.match(await page.innerText('main'), /cannot be shown[^]*bench-run\/99/);
  await page.close();
});
