// SPDX-License-Identifier: MIT
// The report of a run on a GPU: its timeline, its traffic against time, its card, verdicts bound by launches; and that a run
// without a GPU has nothing of it. The numbers of tests/data/document_gpu.json are made up.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {check, copy, open, picture, pointOf, root, sample, style, violations, write} from './room.mjs';

const gpu = JSON.parse(fs.readFileSync(path.join(root, 'tests/data/document_gpu.json'), 'utf8'));
const NONSENSE = /NaN|undefined|null|Infinity/;
const EVENTS_MAX = 4096;
const SPAN = '#device select >> nth=1';
const spanNamed = (doc, name, pass) => doc.trials[0].device.timeline.find((s) => s.span === name && s.pass === pass);

/* The run with many short kernels of four ops in each span by op and one of another at its end, as a large model has them. */
function busy() {
  const doc = copy(gpu),
    ops = ['qkv', 'attention', 'out', 'mlp', 'head'];
  for (const s of doc.trials[0].device.timeline.filter((x) => x.pass === 'op:time')) {
    s.names = ops.map((op) => `kernel of ${op}`);
    s.events = [...Array(EVENTS_MAX)].map((_, i) => {
      const op = i === EVENTS_MAX - 1 ? 4 : i % 4;
      return [i * 2.5, 2, 'kernel', op, ops[op], i >> 2];
    });
  }
  return doc;
}

const ink = (page, name) => page.evaluate((n) => getComputedStyle(document.documentElement).getPropertyValue(`--${n}`).trim(), name);
const filled = async (page, id, name) => (await page.$$(`#${id} svg path[fill="${await ink(page, name)}"]`)).length;

/* How many bars are drawn in the colours of the legend's keys; all bars of a colour are one path. */
const drawn = (page) =>
  page.evaluate(() => {
    const inks = new Set(
      [...document.querySelectorAll('#timeline-chart .legend li')]
        .filter((li) => !/nothing ran/.test(li.textContent))
        .map((li) => getComputedStyle(li.querySelector('svg')).color),
    );
    const fill = (p) => {
      const probe = document.body.appendChild(document.createElement('i'));
      probe.style.color = p.getAttribute('fill');
      const seen = getComputedStyle(probe).color;
      probe.remove();
      return seen;
    };
    return [...document.querySelectorAll('#timeline-chart .chart svg path')]
      .filter((p) => inks.has(fill(p)))
      .reduce((n, p) => n + (p.getAttribute('d').match(/M/g) || []).length, 0);
  });

/* Points at a chart, x as a part of its plotting area; gives the words that appear. */
async function pointAt(page, id, along, down, [left, right]) {
  await page.$eval(`#${id} .chart`, (e) => e.scrollIntoView({block: 'center'}));
  const box = await page.locator(`#${id} .chart`).boundingBox();
  const x = box.x + left + along * (box.width - left - right);
  await page.mouse.move(x - 2, box.y + down);
  await page.mouse.move(x, box.y + down);
  const tip = page.locator(`#${id} .tip:visible`);
  await tip.waitFor();
  return tip.innerText();
}
const LANE = [8, 18],
  TRAFFIC = [52, 18];

check('a run on a GPU opens in both themes, names it, and axe finds nothing to complain about', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const {page, close} = await open(write('gpu', gpu), {colorScheme});
    assert.equal(await page.title(), 'paper, run 1 on Sample GPU 9000 (synthetic data): bench report');
    assert.match(await page.innerText('header'), /Sample GPU 9000 \(synthetic data\), host Sample CPU 9000 .*, 2 threads/);
    assert.doesNotMatch(await page.innerText('main'), NONSENSE);
    for (const id of ['timeline-chart', 'traffic-chart']) {
      assert.equal(await page.$eval(`#${id} .chart`, (e) => e.getAttribute('role')), 'img');
      assert.ok((await page.$eval(`#${id} .chart`, (e) => e.getAttribute('aria-label'))).length > 40);
    }
    assert.deepEqual(await violations(page), []);
    await picture(page, `gpu-${colorScheme}`);
    await close();
  }
});

check('the timeline has a bar for every kernel, copy and set, and says how much of the span is gaps', async () => {
  const {page, close} = await open(write('bars', gpu));
  assert.equal(await page.$eval(SPAN, (e) => e.selectedOptions[0].textContent), 'last decode step, as it runs');
  assert.equal(await drawn(page), spanNamed(gpu, 'last decode step', 'trace').events.length);
  assert.match(
    await page.innerText('#timeline-chart .told'),
    /^5 kernels and 1 copy: the GPU works 99\.5 % of 1\.01 ms, gaps are 0\.497 %\. The longest kernel is decode_mlp<bf16>, 300 µs\. The longest gap, before decode_mlp<bf16>, is 1\.00 µs\./,
  );
  await close();
});

check('kernels that overlap are not counted twice', async () => {
  const doc = copy(gpu),
    s = spanNamed(doc, 'last decode step', 'trace');
  s.names = ['early', 'long', 'within', 'late'];
  s.events = [
    [0, 100, 'kernel', 0, null, -1],
    [50, 150, 'kernel', 1, null, -1],
    [60, 10, 'kernel', 2, null, -1],
    [300, 100, 'kernel', 3, null, -1],
  ];
  const {page, close} = await open(write('overlap', doc));
  assert.match(
    await page.innerText('#timeline-chart .told'),
    /^4 kernels: the GPU works 75\.0 % of 400 µs, gaps are 25\.0 %\. .* The longest gap, before late, is 100 µs\./,
  );
  await close();
});

check('pointing at a bar tells its kernel, op and layer, and at a gap between which kernels it is', async () => {
  const doc = copy(gpu),
    s = spanNamed(doc, 'last decode step', 'op:time');
  s.events = s.events.map(([start, us, ...rest], i) => [start + 100 * i, us, ...rest]);
  const end = Math.max(...s.events.map((e) => e[0] + e[1]));
  const {page, close} = await open(write('pointing', doc));
  await page.selectOption(SPAN, {label: 'last decode step, op by op'});
  const [start, us] = s.events[1];
  assert.match(
    await pointAt(page, 'timeline-chart', (start + us / 2) / end, 40, LANE),
    /decode_mlp<bf16>\s+kind\s+kernel\s+op\s+mlp, layer 0\s+start\s+201 µs\s+takes\s+300 µs/,
  );
  assert.match(
    await pointAt(page, 'timeline-chart', (start + us + 50) / end, 40, LANE),
    /nothing ran for 101 µs\s+start\s+501 µs\s+after\s+decode_mlp<bf16>\s+before\s+decode_qkv<bf16>/,
  );
  await close();
});

check('trial and span are chosen from the keyboard, and ops give the colours where they are known', async () => {
  const {page, close} = await open(write('choosing', gpu));
  const keys = () => page.$$eval('#timeline-chart .legend button', (bs) => bs.map((b) => b.textContent));
  assert.deepEqual(
    await keys(),
    ['decode_mlp<bf16>', 'decode_qkv<bf16>', 'decode_product<bf16>', 'copies and sets', 'nothing ran'],
    'a graph tells kernels apart by name alone',
  );
  await page.locator(SPAN).focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown');
  assert.equal(await page.$eval(SPAN, (e) => e.selectedOptions[0].textContent), 'last decode step, op by op');
  await page.waitForFunction(() => document.querySelector('#timeline-chart svg path'));
  assert.deepEqual(await keys(), ['qkv', 'mlp', 'head', 'copies and sets', 'nothing ran']);
  assert.match(await page.innerText('#timeline-chart'), /in pieces and without a graph/);
  await page.selectOption('#device select >> nth=0', '1');
  assert.match(await page.innerText('#device'), /no kernel of this trial was recorded: no probe of this run reported it\./);
  assert.match(await page.innerText('#device'), /nothing was sampled beside this trial/);
  assert.doesNotMatch(await page.innerText('#device'), NONSENSE);
  await page.click('.theme');
  await page.selectOption('#device select >> nth=0', '0');
  await page.waitForFunction(() => document.querySelector('#timeline-chart svg path'));
  assert.equal(await drawn(page), 6, 'a chart that was away has the theme that was chosen meanwhile');
  await close();
});

check('thousands of events are few elements, and zooming shows no others than those in view', async () => {
  const {page, close} = await open(write('many', busy()));
  await page.selectOption(SPAN, {label: 'last decode step, op by op'});
  await page.waitForFunction(() => document.querySelector('#timeline-chart svg path'));
  assert.equal(await drawn(page), EVENTS_MAX);
  assert.match(await page.innerText('#timeline-chart .told'), /works 80\.0 % .* gaps are 20\.0 %.* Only the first 4,096 are kept\./);
  assert.ok((await page.$$('#timeline-chart svg *')).length < 150);
  await page.click('#timeline-chart .tools button:first-child');
  assert.equal(await drawn(page), 24);
  assert.ok((await page.$$eval('#timeline-chart svg text', (ts) => ts.map((t) => t.textContent))).includes('mlp'));
  await page.click('#timeline-chart .tools button:first-child');
  assert.equal(await drawn(page), EVENTS_MAX);
  await picture(page, 'gpu-busy');
  await close();
});

check('a key turns its bars grey but does not make a gap of them', async () => {
  const {page, close} = await open(write('grey', gpu));
  const told = await page.innerText('#timeline-chart .told'),
    key = page.locator('#timeline-chart .legend button', {hasText: 'decode_mlp'});
  await key.focus();
  await page.keyboard.press('Enter');
  assert.equal(await key.getAttribute('aria-pressed'), 'false');
  const grey = page.locator(`#timeline-chart svg path[fill="${await ink(page, 'line')}"]`);
  assert.equal(((await grey.getAttribute('d')).match(/M/g) || []).length, 2);
  assert.equal(await page.innerText('#timeline-chart .told'), told);
  assert.deepEqual([await filled(page, 'timeline-chart', 'gap'), await filled(page, 'timeline-chart', 'bad')], [1, 1]);
  await page.locator('#timeline-chart .legend button', {hasText: 'nothing ran'}).click();
  assert.deepEqual([await filled(page, 'timeline-chart', 'gap'), await filled(page, 'timeline-chart', 'bad')], [0, 0]);
  await close();
});

check("the kernels that took most of the time of the span's phase stand below it with their shares", async () => {
  const {page, close} = await open(write('top', gpu));
  const table = page.locator('#device table[aria-label^="Kernels by time"]');
  assert.match(await table.innerText(), /decode_mlp<bf16>\s+mlp\s+2\s+0\.600\s+59\.9 %/);
  const wide = await table.locator('svg.share rect:not(.ground)').evaluateAll((rs) => rs.map((r) => Number(r.getAttribute('width'))));
  assert.ok(Math.abs(wide[0] / wide[1] - 3) < 0.02, 'bars are as long as their shares');
  await page.selectOption(SPAN, {label: 'prefill, as it runs'});
  assert.match(await table.innerText(), /decode_mlp<bf16>\s+mlp\s+2\s+6\.00\s+60\.0 %/);
  await close();
});

check('traffic against time stands under its labelled roof, with prefill shaded and the means by phase', async () => {
  const doc = copy(gpu);
  doc.trials[0].device.samples.points = [...Array(400)].map((_, i) => [i * 0.1, 0.1, i < 125 ? 800 : 3400, 20, 0.9, i < 125 ? 0.6 : null]);
  const {page, close} = await open(write('traffic', doc));
  const texts = await page.$$eval('#traffic-chart svg text', (ts) => ts.map((t) => t.textContent));
  for (const words of ['DRAM read 4.00 TB/s', 'GB/s', '% active', 'ms']) assert.ok(texts.includes(words), `${words} is not in ${texts}`);
  const keys = await page.$$eval('#traffic-chart .legend button', (bs) => bs.map((b) => b.textContent));
  assert.deepEqual(keys, ['read', 'written', 'multiprocessors active', 'tensor cores active', 'read roof', 'prefill']);
  const words = await page.innerText('#device table[aria-label^="Sampled traffic"]');
  assert.match(words, /prefill\s+800\s+20\.0\s+20\.0 %\s+90\.0 %\s+60\.0 %/);
  assert.match(words, /decode\s+3,400\s+20\.0\s+85\.0 %\s+90\.0 %\s+not sampled/);
  assert.match(
    await pointAt(page, 'traffic-chart', 0.75, 120, TRAFFIC),
    /30\.\d ms, decode\s+read\s+3,400 GB\/s\s+of the roof\s+85\.0 %\s+written\s+20\.0 GB\/s\s+multiprocessors\s+90\.0 %\s*$/,
  );
  const paths = async () => (await page.$$('#traffic-chart svg path')).length,
    all = await paths();
  await page.locator('#traffic-chart .legend button', {hasText: 'read roof'}).click();
  assert.ok((await paths()) < all);
  assert.equal(await filled(page, 'traffic-chart', 'open-soft'), 2, 'prefill is shaded in both parts');
  await page.locator('#traffic-chart .legend button', {hasText: 'prefill'}).click();
  assert.equal(await filled(page, 'traffic-chart', 'open-soft'), 0);
  await close();
});

check('the card says each figure of prefill and a decode step with where it comes from, or why it is missing', async () => {
  const doc = copy(gpu);
  doc.trials[0].device.readings.decode.gpu_temperature_c = {value: 61, unit: 'C', provenance: 'vendor', why: null};
  doc.absent = [{what: 'dram_write_bytes', why: 'this chip does not count what is written'}];
  const {page, close} = await open(write('card', doc));
  const words = await page.innerText('#device .device');
  for (const line of [
    /kernels, copies and sets handed over\s+600\s+600/,
    /at work, from first kernel to last\s+99\.0 % of 12\.0 ms timer\s+95\.0 % of 1\.20 ms timer/,
    /read from memory\s+4\.40 GB counter\s+4\.20 GB counter/,
    /written to memory\s+not measured 1\s+not measured 1/,
    /FLOPs of tensor cores\s+7\.90 TFLOP counter\s+15\.0 GFLOP counter/,
    /clock\s+1\.7[56] GHz counter/,
    /utilisation, the driver’s figure\s+97\.0 % vendor/,
    /temperature\s+not measured 3\s+61 °C vendor/,
    /energy a token, whole board\s+1\.88 J at 600 W vendor\s+0\.750 J at 600 W vendor/,
    /time at the launch roof\s+1\.50 ms of 12\.5 ms\s+0\.600 ms of 1\.25 ms/,
    /dram_write_bytes: this chip does not count what is written/,
    /l2_bytes: the chip has no such counter/,
    /Clocks were slowed at times by: power cap\./,
  ])
    assert.match(words, line);
  await close();
});

check('counters alone do not tell how long the GPU was at work', async () => {
  const doc = copy(gpu);
  delete doc.trials[0].device.readings.decode.gpu_busy_ns;
  doc.absent = [{what: 'trace', why: 'no timeline here'}];
  const {page, close} = await open(write('counters', doc));
  assert.match(await page.innerText('#device .device'), /at work, .* last\s+99\.0 % of 12\.0 ms timer\s+not measured 1\s[^]*gpu_busy_ns: no timeline here\./);
  await close();
});

check('a GPU that nobody asked says nothing of slowed clocks; one that was asked says that there were none', async () => {
  const doc = copy(gpu);
  for (const t of doc.trials) t.device.slowed = [];
  const asked = await open(write('asked', doc));
  assert.match(await asked.page.innerText('#device .device'), /Nothing slowed the clocks in any step/);
  await asked.close();
  doc.trials.length = 1;
  Object.assign(doc.trials[0], {energy: null});
  Object.assign(doc.trials[0].device, {readings: {prefill: {}, decode: {}}, launches: {prefill: null, decode: null}, timeline: [], top_kernels: [], samples: null});
  doc.absent = ['nvml', 'cupti', 'trace', 'pm'].map((what) => ({what, why: `${what} is not on this machine`}));
  const {page, close} = await open(write('mute', doc));
  const words = await page.innerText('#device');
  assert.match(words, /Whether something slowed the clocks is not known: nvml is not on this machine\./);
  assert.match(words, /handed over\s+not counted\s+not counted/);
  assert.match(words, /no kernel of this trial was recorded: trace is not on this machine\./);
  assert.match(words, /nothing was sampled beside this trial: pm is not on this machine\./);
  assert.match(words, /dram_read_bytes: cupti is not on this machine\./);
  assert.match(await page.innerText('#trials'), /Energy was not measured: nvml is not on this machine\./);
  assert.doesNotMatch(await page.innerText('main'), NONSENSE);
  await close();
});

check('launch-bound is a verdict of its own colour, with the share that launches take', async () => {
  const {page, close} = await open(write('launch', gpu));
  assert.match(await page.innerText('#answer'), /launch-bound: 41\.7 % of its roof, .* launches alone take 62\.5 % of the time/);
  const colours = [];
  for (const kind of ['launch', 'compute', 'bandwidth'])
    colours.push(await style(page, `#trials .badge-${kind.replace('bandwidth', 'memory')}`, 'color'));
  assert.equal(new Set(colours).size, 3);
  assert.match(await page.innerText('#trials .badge-launch'), /^launch$/);
  await close();
});

check('a point of the roofline tells what its step takes at each roof, launches too', async () => {
  const {page, close} = await open(write('point', gpu));
  const at = await pointOf(page, 'c1');
  await page.mouse.move(at.x - 30, at.y - 30);
  await page.mouse.move(at.x, at.y, {steps: 4});
  const tip = page.locator('#roofline-chart .tip:visible');
  await tip.waitFor();
  assert.match(await tip.innerText(), /decode, graph: [^]*at the roofs\s+compute 0\.0200 ms, memory 1\.05 ms, launches 0\.600 ms/);
  await close();
});

check('roofs of launches are kernels a second in the table and no lines of the roofline', async () => {
  const {page, close} = await open(write('roofs', gpu));
  assert.match(await page.innerText('#roofs'), /launch graph\s+launch\s+2\s+1\.00 M kernels\/s/);
  assert.match(await page.innerText('#roofs'), /launch eager main\s+launch\s+2\s+400 k kernels\/s\s+2\.02 %\s+0\.400 → 0\.396 → 0\.404/);
  const texts = await page.$$eval('#roofline-chart svg text', (ts) => ts.map((t) => t.textContent));
  assert.ok(texts.includes('DRAM read 4.00 TB/s') && !texts.some((t) => /launch/.test(t)));
  await close();
});

check('the way of launching is an axis like the others', async () => {
  const doc = copy(gpu);
  doc.trials = [...Array(7)].flatMap((_, i) => copy(gpu.trials).map((t) => ({...t, id: 2 * i + t.id, batch: i + 1})));
  const {page, close} = await open(write('axis', doc));
  const keys = await page.$$eval('#roofline-chart .legend button', (bs) => bs.map((b) => b.textContent));
  assert.ok(keys.includes('decode, eager') && keys.includes('decode, graph'));
  await page.selectOption('#trials select[data-axis="launch"]', 'eager');
  assert.equal(await page.innerText('#trials output'), '7 of 14 trials');
  await close();
});

check("a GPU's roofs do not depend on the threads of the CPU", async () => {
  const doc = copy(gpu);
  doc.trials[0].threads = 1;
  const {page, close} = await open(write('threads', doc));
  assert.match(await page.innerText('#roofline'), /The ridge, where .* is at 200 FLOP\/byte \(bf16 gemm over dram read\)\./);
  assert.ok((await page.$$eval('#traffic-chart svg text', (ts) => ts.map((t) => t.textContent))).includes('DRAM read 4.00 TB/s'));
  await close();
});

check('a phone and a page of paper show the timeline and the traffic at their width', async () => {
  const phone = await open(write('narrow', busy()), {width: 360, height: 740});
  assert.equal(await phone.page.evaluate(() => document.documentElement.scrollWidth), 360);
  await picture(phone.page, 'gpu-phone');
  await phone.close();
  const {page, close} = await open(write('paper', busy()), {colorScheme: 'dark'});
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  await page.emulateMedia({media: 'print', colorScheme: 'dark'});
  assert.equal(await page.locator('#device select:visible').count(), 0);
  for (const id of ['timeline-chart', 'traffic-chart']) assert.ok((await page.locator(`#${id} .chart svg`).boundingBox()).width <= 660);
  assert.equal(await drawn(page), 6);
  await close();
});

check('names of kernels are text, never markup', async () => {
  const doc = copy(gpu),
    nasty = '</script><img src=x onerror="window.harmed=1"><b id=harm>';
  for (const s of doc.trials[0].device.timeline) s.names = s.names.map(() => nasty);
  doc.trials[0].device.top_kernels.forEach((k) => Object.assign(k, {name: nasty}));
  doc.trials[0].device.slowed = [nasty];
  doc.device.name = nasty;
  const {page, close} = await open(write('nasty-gpu', doc));
  await pointAt(page, 'timeline-chart', 0.5, 40, LANE);
  assert.equal(await page.evaluate(() => window.harmed || document.querySelectorAll('#harm, img').length), 0);
  await close();
});

/* A document as it was written before there were devices. */
function older() {
  const doc = copy(sample);
  delete doc.device;
  doc.axes = doc.axes.filter((a) => a.name !== 'launch');
  for (const t of doc.trials) {
    delete t.device;
    delete t.launch;
    if (t.energy) delete t.energy.of;
    for (const phase of [t.prefill, t.decode]) for (const key of ['t_launch_ms', 'launches', 'launch_roof']) delete phase.verdict[key];
  }
  for (const f of doc.fits) delete f.arm.launch;
  return doc;
}

check('a document without a device has no word of one, also one from before there were any', async () => {
  const words = [];
  for (const doc of [sample, older()]) {
    const {page, close} = await open(write('older', doc));
    assert.equal(await page.locator('#device, #timeline-chart, #traffic-chart, nav a[href="#device"]').count(), 0);
    assert.doesNotMatch(await page.innerText('main'), /launch|\bGPU(?! utilization)/);
    words.push(await page.innerText('body'));
    await close();
  }
  assert.equal(words[0], words[1]);
});
