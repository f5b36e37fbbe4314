// SPDX-License-Identifier: MIT
// Building elements. Text goes in as text nodes only, so nothing in a run's data can become markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/* h('p', {class: 'lead'}, 'text', h('b', null, 'bold')); null children are left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function section(id, title, ...children) {
  return h('section', {id, 'aria-labelledby': `${id}-title`}, h('h2', {id: `${id}-title`}, title), children);
}

/* Where a value comes from, in words. */
export const PROVENANCE = {
  counter: 'hardware counter, calibrated in this run against known work',
  multiplexed: 'hardware counter that ran for a part of the time only: as it counted, never scaled up; rejected and repeated',
  timer: 'monotonic clock around the pass, median over repetitions',
  analytic: 'computed from shapes, not measured',
  os: 'reported by the operating system',
  vendor: "reported by the vendor's library",
  missing: 'not measured; the reason is beside it',
};

export function tag(provenance) {
  return h('span', {class: `tag tag-${provenance}`, title: PROVENANCE[provenance]}, provenance);
}

export function missing(words) {
  return h('span', {class: 'missing'}, words);
}

export function badge(words, tone) {
  return h('span', {class: `badge badge-${tone}`}, words);
}

/* Numbered remarks under a table: mark(words) gives the raised number, list() the remarks. Equal remarks share a number. */
export function remarks() {
  const found = [];
  return {
    mark: (words) => {
      if (!found.includes(words)) found.push(words);
      return h('sup', null, ` ${found.indexOf(words) + 1}`);
    },
    list: () =>
      found.length
        ? h(
            'ol',
            {class: 'notes'},
            found.map((words) => h('li', null, words)),
          )
        : null,
  };
}

/* One of several parts of a page, made when it is first chosen and kept: make(index). The list is there where there is a choice. */
export function choice(name, options, make) {
  const made = new Map(),
    place = h('div', null);
  const show = (i) => {
    if (!made.has(i)) made.set(i, [make(i)].flat(Infinity).filter(Boolean));
    place.replaceChildren(...made.get(i));
  };
  const select = h(
    'select',
    {onchange: () => show(Number(select.value))},
    options.map((words, i) => h('option', {value: i}, words)),
  );
  show(0);
  return [options.length > 1 ? h('p', {class: 'filter'}, h('label', null, `${name} `, select)) : null, place];
}

/* columns: {head, tag, group, wide}; rows: arrays of cells, the first being the row's header. */
export function table(label, columns, rows) {
  const groups = columns.some((c) => c.group) ? groupRow(columns) : null;
  const head = h(
    'tr',
    null,
    columns.map((c) => h('th', {scope: 'col', class: c.wide && 'wide'}, c.head, c.tag && [' ', tag(c.tag)])),
  );
  const body = rows.map((row) =>
    h(
      'tr',
      null,
      row.map((cell, i) =>
        i === 0 ? h('th', {scope: 'row'}, cell) : h('td', {class: columns[i].wide && 'wide'}, cell),
      ),
    ),
  );
  return h(
    'div',
    {class: 'box'},
    h('p', {class: 'caption'}, label),
    h(
      'div',
      {class: 'scroll', role: 'region', tabindex: 0, 'aria-label': label},
      h('table', {'aria-label': label}, h('thead', null, groups, head), h('tbody', null, body)),
    ),
  );
}

function groupRow(columns) {
  const spans = [];
  for (const c of columns) {
    const last = spans[spans.length - 1];
    if (last && last.name === (c.group || '')) last.span++;
    else spans.push({name: c.group || '', span: 1});
  }
  return h(
    'tr',
    {class: 'groups'},
    spans.map((s) => (s.name ? h('th', {colspan: s.span, scope: 'colgroup'}, s.name) : h('td', {colspan: s.span}))),
  );
}
