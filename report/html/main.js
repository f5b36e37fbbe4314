// SPDX-License-Identifier: MIT
// Reads the document in this file and builds the page from it.
import {answer, header, unfinished} from './answer.js';
import {choosing} from './choosing.js';
import {device} from './device.js';
import {h, section} from './dom.js';
import {cumulative, exponents, latency, speedup, speedupTable} from './growth.js';
import {glossary, machine, method, noise, suite} from './method.js';
import {nameTrials} from './model.js';
import {ops} from './ops.js';
import {roofline} from './roofline.js';
import {cache, roofs, trials, work} from './tables.js';
import {types} from './types.js';

const FORMAT = 'bench-run/1';
const LISTS = ['machine', 'roofs', 'calibrations', 'absent', 'overhead', 'trials', 'fits', 'claims', 'model_files', 'axes'];

const CONTENTS = [
  ['answer', 'Answer'],
  ['roofline', 'Roofline'],
  ['ops', 'Ops'],
  ['device', 'GPU'],
  ['growth', 'Growth'],
  ['choosing', 'Choosing'],
  ['trials', 'Trials'],
  ['types', 'Types'],
  ['work', 'Work'],
  ['cache', 'KV cache'],
  ['roofs', 'Roofs'],
  ['noise', 'Noise'],
  ['machine', 'Machine'],
  ['method', 'Method'],
  ['suite', 'Suite'],
  ['glossary', 'Words'],
];

/* An unfinished run may lack whole parts; below here every list is a list and run and model are objects. */
function read() {
  const doc = JSON.parse(document.getElementById('document').textContent);
  if (doc.format !== FORMAT) throw new Error(`this page reads ${FORMAT}, the data says ${doc.format}`);
  for (const name of LISTS) doc[name] = doc[name] || [];
  nameTrials(doc);
  return {...doc, run: doc.run || {}, model: doc.model || {}};
}

function page(doc) {
  return [
    h('a', {class: 'skip', href: '#answer'}, 'Skip to the answer'),
    header(doc),
    h(
      'nav',
      {'aria-label': 'Contents'},
      h(
        'ul',
        null,
        CONTENTS.filter(([id]) => id !== 'device' || doc.trials.some((t) => t.device)).map(([id, name]) =>
          h('li', null, h('a', {href: `#${id}`}, name)),
        ),
      ),
    ),
    h(
      'main',
      null,
      unfinished(doc),
      answer(doc),
      section('roofline', 'Roofline', roofline(doc)),
      ops(doc),
      device(doc),
      section(
        'growth',
        'Growth with length',
        h('div', {class: 'columns plots'}, latency(doc), cumulative(doc)),
        h('div', {class: 'columns'}, speedup(doc), speedupTable(doc)),
        exponents(doc),
      ),
      choosing(doc),
      trials(doc),
      types(doc),
      work(doc),
      cache(doc),
      roofs(doc),
      noise(doc),
      machine(doc),
      method(doc),
      suite(doc),
      glossary(doc),
    ),
    h(
      'footer',
      null,
      `Written by bench ${doc.run.version || ''} from run ${doc.run.id}. Charts: Apache ECharts. This file loads nothing from the network.`,
    ),
  ];
}

try {
  const doc = read();
  document.title = `${doc.run.suite}, run ${doc.run.id}${doc.device?.name ? ` on ${doc.device.name}` : ''}: bench report`;
  document.body.append(...page(doc));
} catch (problem) {
  document.body.append(
    h('main', null, h('h1', null, 'This report cannot be shown'), h('p', null, String(problem.message || problem))),
  );
  throw problem;
}
