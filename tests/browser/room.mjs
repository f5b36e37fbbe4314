// SPDX-License-Identifier: MIT
// What every browser test needs: the browser, a page around a document, a picture, a look through axe's eyes. Chromium starts
// once a file of tests.
//   BENCH_REPORT       a report file; without it the page built by `make` with the sample document
//   BENCH_SCREENSHOTS  a folder for pictures
//   CHROMIUM           the browser, else the first of chromium, chromium-browser, google-chrome
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, test} from 'node:test';
import {fileURLToPath, pathToFileURL} from 'node:url';
import axe from 'axe-core';
import {chromium} from 'playwright-core';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const OPENING = '<script type="application/json" id="document">';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
export const sample = JSON.parse(fs.readFileSync(path.join(root, 'tests/data/document.json'), 'utf8'));

function findBrowser() {
  for (const name of [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean)) {
    const folders = name.includes('/') ? [''] : (process.env.PATH || '').split(':');
    const found = folders.map((f) => path.join(f, name)).find((f) => fs.existsSync(f));
    if (found) return found;
  }
  return null;
}

/* The page around the data, from a report that was really written or else from the template. */
function shell() {
  const report = process.env.BENCH_REPORT;
  if (report) {
    const page = fs.readFileSync(report, 'utf8'),
      from = page.indexOf(OPENING) + OPENING.length;
    return [page.slice(0, from), page.slice(page.indexOf('</script>', from))];
  }
  const built = path.join(root, 'build/gen/page.html'),
    own = path.join(folder, 'page.html');
  if (!fs.existsSync(built)) execFileSync('node', [path.join(root, 'report/html/build.mjs'), own]);
  return fs.readFileSync(fs.existsSync(built) ? built : own, 'utf8').split('{{document}}');
}

/* As html.c embeds it. */
export function write(name, document) {
  const file = path.join(folder, `${name}.html`),
    json = JSON.stringify(document).replaceAll('<', '\\u003c');
  fs.writeFileSync(
    file,
    json
      .replaceAll('\u2028', '\\u2028')
      .replaceAll('\u2029', '\\u2029')
      .replace(/^[^]*$/, (data) => shell().join(data)),
  );
  return file;
}

export const copy = (document) => structuredClone(document);
const executablePath = findBrowser();
export const skip = executablePath ? false : 'no browser: install chromium, or name one in $CHROMIUM';
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-browser-'));
export let browser, sampleFile;

/* Opens a report and collects what it complains about and what it asks for. */
export async function open(file, {width = 1200, height = 900, colorScheme = 'light'} = {}) {
  const context = await browser.newContext({viewport: {width, height}, colorScheme});
  const page = await context.newPage();
  const complaints = [],
    requests = [];
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(m.text()));
  page.on('pageerror', (e) => complaints.push(e.stack));
  page.on('request', (r) => requests.push(r.url()));
  const url = pathToFileURL(file).href;
  await page.goto(url);
  await page.waitForSelector('footer');
  await page.waitForFunction(() => [...document.querySelectorAll('.chart')].every((c) => c.querySelector('svg path')));
  const close = async () => {
    assert.deepEqual(complaints, []);
    assert.deepEqual(
      requests.filter((r) => r !== url && !r.startsWith('data:')),
      [],
    );
    await context.close();
  };
  return {page, close};
}

export async function picture(page, name) {
  const to = process.env.BENCH_SCREENSHOTS;
  if (!to) return;
  fs.mkdirSync(to, {recursive: true});
  await page.screenshot({path: path.join(to, `${name}.png`), fullPage: true});
}

/* What lies inside a chart is an image to a screen reader, and slow to judge. */
export async function violations(page, options = {}, within = null) {
  await page.evaluate(axe.source);
  const context = {exclude: ['.chart svg'], ...(within ? {include: within} : {})};
  const found = await page.evaluate(([c, o]) => window.axe.run(c, o), [context, options]);
  return found.violations.map(
    (v) =>
      `${v.id}: ${v.nodes
        .map((n) => n.target.join(' '))
        .slice(0, 3)
        .join(', ')}`,
  );
}

export const style = (page, selector, property) => page.$eval(selector, (e, p) => getComputedStyle(e)[p], property);

/* The middle of a point of the roofline, found by the colour of an arm. */
export async function pointOf(page, colour) {
  await page.locator('#roofline-chart .chart').scrollIntoViewIfNeeded();
  return page.evaluate((name) => {
    const probe = document.createElement('i');
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const wanted = getComputedStyle(probe).color;
    probe.remove();
    const normal = (fill) => {
      const e = document.createElement('i');
      e.style.color = fill;
      document.body.append(e);
      const c = getComputedStyle(e).color;
      e.remove();
      return c;
    };
    const points = [...document.querySelectorAll('#roofline-chart .chart svg path')].filter(
      (p) => normal(p.getAttribute('fill')) === wanted,
    );
    const box = points[points.length - 1].getBoundingClientRect();
    return {x: box.x + box.width / 2, y: box.y + box.height / 2};
  }, colour);
}

before(async () => {
  if (skip) return;
  browser = await chromium.launch({executablePath, args: FLAGS});
  sampleFile = write('sample', sample);
});
after(async () => {
  await browser?.close();
  fs.rmSync(folder, {recursive: true, force: true});
});
export const check = (name, run) => test(name, {skip, timeout: 60000}, run);
