// SPDX-License-Identifier: MIT
// What the suite claimed, each with its evidence. Many claims get a tally whose keys show one result alone, and the evidence of
// those that held is folded away.
import {badge, h, missing} from './dom.js';
import {RESULT_TONE} from './model.js';

/* More claims than this are too many to be seen at once. */
const CLAIMS_SHOWN = 8;
const resultOf = (c) => c.result || 'not evaluated';

/* A claim that was never put into words, from its keys: "bound: phase prefill, is compute". */
function specWords(spec) {
  const {claim, ...rest} = spec || {};
  const value = (v) =>
    v && typeof v === 'object' && !Array.isArray(v)
      ? Object.entries(v)
          .map((x) => x.join('='))
          .join(' ')
      : v;
  return `${claim}: ${Object.entries(rest)
    .map(([k, v]) => `${k} ${value(v)}`)
    .join(', ')}`;
}

function item(c, folded) {
  const evidence = c.evidence || (c.result ? 'no evidence was recorded' : 'the run ended before its claims were evaluated');
  return h(
    'li',
    {'data-result': resultOf(c)},
    badge(resultOf(c), RESULT_TONE[c.result] || 'open'),
    h(
      'div',
      null,
      h('p', null, c.text || specWords(c.spec)),
      folded
        ? h('details', null, h('summary', null, 'evidence'), h('p', {class: 'note'}, evidence))
        : h('p', {class: 'note'}, evidence),
    ),
  );
}

function tally(claims, list) {
  const results = ['held', 'not held', 'undecided', 'not evaluated'].filter((r) => claims.some((c) => resultOf(c) === r));
  const show = (wanted) => {
    [...list.children].forEach((li) => {
      li.hidden = wanted !== null && li.dataset.result !== wanted;
    });
    keys.forEach(([result, button]) => button.setAttribute('aria-pressed', String(result === wanted)));
  };
  const keys = [null, ...results].map((result) => [
    result,
    h(
      'button',
      {type: 'button', 'aria-pressed': String(result === null), onclick: () => show(result)},
      result === null
        ? `all ${claims.length}`
        : `${result} ${claims.filter((c) => resultOf(c) === result).length}`,
    ),
  ]);
  return h(
    'div',
    {class: 'tally', role: 'group', 'aria-label': 'Claims shown'},
    keys.map(([, button]) => button),
  );
}

export function claims(doc) {
  if (!doc.claims.length) return h('p', null, missing('The suite states no claims.'));
  const many = doc.claims.length > CLAIMS_SHOWN;
  const list = h(
    'ul',
    {class: 'claims'},
    doc.claims.map((c) => item(c, many && c.result === 'held')),
  );
  return [many ? tally(doc.claims, list) : null, list];
}
