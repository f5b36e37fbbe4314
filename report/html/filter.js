// SPDX-License-Identifier: MIT
// Choosing among many trials: a list of values for each axis by which they differ. Rows of tables that stand in the order of
// the trials are shown or hidden; nothing is computed anew.
import {h} from './dom.js';
import {whole} from './format.js';
import {AXIS_NAMES, axisWords, valuesOf, varyingAxes} from './model.js';

/* Fewer trials are seen at a glance. */
const TRIALS_MIN = 13;

function select(name, trials, onchange) {
  const options = valuesOf(trials, name).sort((a, b) => (typeof a === 'number' ? a - b : 0));
  return h(
    'label',
    null,
    `${AXIS_NAMES[name] || name} `,
    h(
      'select',
      {onchange, 'data-axis': name},
      h('option', {value: ''}, 'all'),
      options.map((v) => h('option', {value: String(v)}, axisWords(name, v))),
    ),
  );
}

/* Tables whose rows are of the trials one after the other, and what stands between them, under their lists; as they are where
 * there is little to choose. */
export function filtered(doc, trials, ...tables) {
  const axes = trials.length < TRIALS_MIN ? [] : varyingAxes(doc, trials);
  if (!axes.length) return tables;
  const count = h('output', null, '');
  const bar = h('div', {class: 'filter', role: 'group', 'aria-label': 'Trials shown'});
  const apply = () => {
    const wanted = [...bar.querySelectorAll('select')].filter((s) => s.value !== '');
    const shown = trials.map((t) => wanted.every((s) => String(t[s.dataset.axis]) === s.value));
    for (const table of tables)
      [...table.querySelectorAll('tbody tr')].forEach((row, i) => {
        row.hidden = !shown[i];
      });
    count.textContent = `${whole(shown.filter(Boolean).length)} of ${whole(trials.length)} trials`;
  };
  bar.append(...axes.map((name) => select(name, trials, apply)), count);
  apply();
  return [bar, ...tables];
}
