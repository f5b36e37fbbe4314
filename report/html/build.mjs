// SPDX-License-Identifier: MIT
// Bundles page.html, page.css and the modules with the chart library into ONE page template:  node report/html/build.mjs OUT
// What is left open in it is {{document}}, which html.c fills with a run's data. The content security policy names script and
// style by their hashes, so that nothing else can run in the page and nothing can be loaded from anywhere.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const NOTICE = `/*! Charts: Apache ECharts 6.1.0 (Apache-2.0), Copyright 2017-2026 The Apache Software Foundation, https://echarts.apache.org
 * zrender (BSD-3-Clause), Copyright 2017 Baidu Inc.; tslib (0BSD), Copyright Microsoft Corporation. */`;

async function bundle(entry, loader) {
  const result = await build({
    entryPoints: [path.join(here, entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2020',
    charset: 'utf8',
    legalComments: 'none',
    define: {'process.env.NODE_ENV': '"production"'},
    logLevel: 'warning',
    ...(loader === 'js' ? {banner: {js: NOTICE}} : {}),
  });
  return result.outputFiles[0].text.trim();
}

const sha256 = (text) => `'sha256-${crypto.createHash('sha256').update(text, 'utf8').digest('base64')}'`;

/* Replaces {{name}}; a function, because a string replacement would read `$&` in the bundle as a command. */
function fill(template, name, text) {
  const parts = template.split(`{{${name}}}`);
  if (parts.length !== 2) throw new Error(`page.html: {{${name}}} occurs ${parts.length - 1} times, expected once`);
  return parts[0] + text + parts[1];
}

const out = process.argv[2];
if (!out) {
  console.error('usage: node report/html/build.mjs OUT');
  process.exit(2);
}
const js = await bundle('main.js', 'js');
const css = await bundle('page.css', 'css');
if (/<\/?script|<!--/i.test(js) || /<\/style/i.test(css))
  throw new Error('the bundle holds a tag that would end its own block');
const policy = `default-src 'none'; script-src ${sha256(js)}; style-src ${sha256(css)}; img-src data:; base-uri 'none'; form-action 'none'`;

let page = fs.readFileSync(path.join(here, 'page.html'), 'utf8');
page = fill(fill(fill(page, 'csp', policy), 'css', css), 'js', js);
if (page.split('{{document}}').length !== 2) throw new Error('{{document}} must occur exactly once in the page');

const temporary = `${out}.tmp.${process.pid}`;
fs.writeFileSync(temporary, page);
fs.renameSync(temporary, out);
