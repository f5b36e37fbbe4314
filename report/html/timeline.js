// SPDX-License-Identifier: MIT
// What a GPU ran when, in one step: a bar for each kernel, copy and set on one lane, whose ground shows where nothing ran. All
// bars of a colour are one path, so that thousands of them move as smoothly as ten. Below it the kernels that took most of the
// time. What is summed here is of the very bars that are drawn.
import {axes, axisTip, chart, mark, noChart, tip} from './chart.js';
import {choice, h, missing, svg, table} from './dom.js';
import {digits, known, list, ms, percent, whole} from './format.js';
import {absence, shortLabel} from './model.js';
import {colour} from './theme.js';

const TITLE = 'Timeline: what the GPU ran when';

/* The passes that keep events, as a reader is told of them. */
const PASSES = {
  trace: {name: 'as it runs', about: 'Steps as they run; the driver notes when each kernel begins and ends.'},
  'op:time': {
    name: 'op by op',
    about:
      'A pass that runs steps in pieces and without a graph, so that each kernel is known by its op: its gaps are wider than those of steps as they run.',
  },
};

/* A step's rows end here; the database keeps no more. */
const EVENTS_MAX = 4096;
/* Those that a closer look shows. */
const CLOSE = 24;

/* Always the same colour for the same op. Kernels without one are told apart by name, the longest first. */
const OPS = ['qkv', 'attention', 'out', 'mlp', 'head', 'norm', 'embed', 'rotary', 'sample'];
const MOVES = 'copies and sets',
  OTHERS = 'other kernels',
  GAPS = 'nothing ran';

const time = (us) => (us >= 1000 ? ms(us / 1000) : `${digits(us)} µs`);
const counted = (n, one) => `${whole(n)} ${one}${n === 1 ? '' : 's'}`;
const place = (b) => [b.op, b.layer >= 0 ? `layer ${b.layer}` : null].filter(Boolean).join(', ');

const barsOf = (span) =>
  span.events
    .map(([start, us, kind, name, op, layer]) => ({start, us, end: start + us, kind, name: span.names[name], op, layer}))
    .sort((a, b) => a.start - b.start);

/* Bars may overlap, as a kernel may begin while the one before it ends: what they cover together, and what lies between. */
function cover(bars) {
  const gaps = [];
  let last = bars[0],
    busy = last.us;
  for (const b of bars.slice(1)) {
    if (b.start > last.end) gaps.push({start: last.end, end: b.start, us: b.start - last.end, after: last, before: b});
    busy += Math.max(0, b.end - Math.max(b.start, last.end));
    if (b.end > last.end) last = b;
  }
  return {busy, gaps, us: last.end - bars[0].start};
}

const longest = (xs) => xs.reduce((a, b) => (b.us > a.us ? b : a), xs[0]);

/* {of: a bar's key, keys}: the chart's keys in their order and colours. */
function colouring(bars) {
  const byOp = bars.some((b) => b.op);
  const own = (b) => (b.kind !== 'kernel' ? MOVES : byOp ? b.op || OTHERS : b.name);
  const sums = new Map();
  bars.forEach((b) => sums.set(own(b), (sums.get(own(b)) || 0) + b.us));
  const named = byOp
    ? OPS.filter((op) => sums.has(op))
    : [...sums].sort((a, b) => b[1] - a[1]).flatMap(([name]) => (name === MOVES ? [] : [name])).slice(0, OPS.length);
  const of = (b) => (own(b) === MOVES || named.includes(own(b)) ? own(b) : OTHERS);
  const ink = (key, i) => `c${1 + (byOp ? OPS.indexOf(key) : i)}`;
  const present = new Set(bars.map(of));
  const keys = [
    ...named.map((key, i) => ({key, name: key, symbol: 'bar', colour: ink(key, i)})),
    {key: OTHERS, name: OTHERS, symbol: 'bar', colour: 'muted'},
    {key: MOVES, name: MOVES, symbol: 'bar', colour: 'line-strong'},
  ].filter((k) => present.has(k.key));
  return {of, keys: [...keys, {key: GAPS, name: GAPS, symbol: 'bar', colour: 'gap'}]};
}

/* The lane and the strip below it, as parts of the height. */
const LANE = [0.3, 1],
  STRIP = [0, 0.24];

/* Pixels of a stretch of the lane or the strip, no further than the view. */
function stretch(view, api, [low, high] = LANE) {
  const [left, top] = api.coord([view.x[0], high]),
    [right, bottom] = api.coord([view.x[1], low]);
  const [from, to] = view.x,
    scale = (right - left) / (to - from);
  const at = (us) => left + (Math.min(Math.max(us, from), to) - from) * scale;
  return {top, bottom, at};
}

const NARROW = 6.4; /* pixels of a letter of a label */

/* A bar's op or name where it has room. */
function words(bars, view, api) {
  const {top, bottom, at} = stretch(view, api);
  return bars.flatMap((b) => {
    const text = b.op || b.name,
      x = at(b.start),
      room = at(b.end) - x;
    const middle = {x: x + room / 2, y: (top + bottom) / 2, align: 'center', verticalAlign: 'middle'};
    return room > NARROW * text.length + 8
      ? [{type: 'text', silent: true, style: {text, ...middle, fill: colour('surface'), fontSize: 11}}]
      : [];
  });
}

/* Bars of one key as one path. */
function laneSeries(bars, ink, view, z, labelled) {
  const seen = bars.filter((b) => b.end > view.x[0] && b.start < view.x[1]);
  return {
    type: 'custom',
    silent: true,
    clip: true,
    z,
    data: [0],
    tooltip: {show: false},
    renderItem: (_, api) => {
      const {top, bottom, at} = stretch(view, api),
        n = (x) => x.toFixed(3);
      const d = seen.map((b) => `M${n(at(b.start))} ${top}H${n(at(b.end))}V${bottom}H${n(at(b.start))}Z`).join('');
      if (!d) return null; // an empty group would keep the path that it had before
      const path = {type: 'path', silent: true, shape: {pathData: d}, style: {fill: ink}};
      return {type: 'group', silent: true, children: [path, ...(labelled ? words(seen, view, api) : [])]};
    },
  };
}

/* How much of each few pixels nothing ran in: at any zoom gaps are seen that are narrower than a pixel. */
const BIN = 8;

function stripSeries(gaps, view) {
  return {
    type: 'custom',
    silent: true,
    clip: true,
    z: 4,
    data: [0],
    tooltip: {show: false},
    renderItem: (_, api) => {
      const {top, bottom, at} = stretch(view, api, STRIP),
        left = at(view.x[0]),
        empty = Array(Math.ceil((at(view.x[1]) - left) / BIN)).fill(0);
      for (const g of gaps) {
        const from = at(g.start) - left,
          to = at(g.end) - left;
        for (let i = Math.floor(from / BIN); i * BIN < to; i++)
          empty[i] += Math.min(to, (i + 1) * BIN) - Math.max(from, i * BIN);
      }
      const y = (share) => (bottom - ((bottom - top) * share) / BIN).toFixed(2);
      const d = empty.map((share, i) => `L${left + i * BIN} ${y(share)}H${left + (i + 1) * BIN}`).join('');
      return {type: 'path', silent: true, shape: {pathData: `M${left} ${bottom}${d}V${bottom}Z`}, style: {fill: colour('bad')}};
    },
  };
}

function barTip(bars, gaps, us) {
  const b = bars.filter((x) => x.start <= us && us <= x.end).pop();
  const from = bars[0].start;
  if (b)
    return tip(b.name, [
      ['kind', b.kind],
      ['op', place(b) || null],
      ['start', time(b.start - from)],
      ['takes', time(b.us)],
    ]);
  const gap = gaps.find((x) => x.start <= us && us <= x.end);
  return gap
    ? tip(`nothing ran for ${time(gap.us)}`, [
        ['start', time(gap.start - from)],
        ['after', gap.after.name],
        ['before', gap.before.name],
      ])
    : '';
}

/* The chart library points at data only: one of nothing in every pixel. */
const pixels = (view, width) => ({
  type: 'line',
  silent: true,
  symbol: 'none',
  lineStyle: {opacity: 0},
  data: Array.from({length: width}, (_, i) => [view.x[0] + ((i + 0.5) / width) * (view.x[1] - view.x[0]), 0]),
});

/* Hidden bars stay as grey ones: that something ran there is not hidden. */
function optionOf(bars, covered, hue) {
  const ends = {start: bars[0].start, end: bars[0].start + covered.us};
  return ({view, shown, width}) => {
    const base = axes(view, 'µs', '');
    return {
      ...base,
      grid: {left: 8, right: 18, top: 8, bottom: 44},
      xAxis: {...base.xAxis, axisPointer: {snap: false}},
      yAxis: {...base.yAxis, show: false},
      tooltip: axisTip((us) => barTip(bars, covered.gaps, us)),
      series: [
        pixels(view, width),
        ...(shown(GAPS) ? [laneSeries([ends], colour('gap'), view, 2, false), stripSeries(covered.gaps, view)] : []),
        ...hue.keys
          .filter((k) => k.key !== GAPS)
          .map((k) =>
            laneSeries(
              bars.filter((b) => hue.of(b) === k.key),
              colour(shown(k.key) ? k.colour : 'line'),
              view,
              shown(k.key) ? 4 : 3,
              shown(k.key),
            ),
          ),
      ],
    };
  };
}

/* "600 kernels and 1 copy: the GPU works 95.0 % of 1.20 ms, gaps are 5.00 %. The longest kernel ..." */
function sentence(bars, covered) {
  const of = (kind) => bars.filter((b) => b.kind === kind),
    kernel = longest(of('kernel')),
    gap = longest(covered.gaps);
  const kinds = ['kernel', 'copy', 'set']
    .filter((kind) => of(kind).length)
    .map((kind) => counted(of(kind).length, kind).replace('copys', 'copies'));
  return [
    `${list(kinds)}: the GPU works ${percent(covered.busy / covered.us)} of ${time(covered.us)}, gaps are ${percent(1 - covered.busy / covered.us)}.`,
    kernel && `The longest kernel is ${kernel.name}${place(kernel) ? ` (${place(kernel)})` : ''}, ${time(kernel.us)}.`,
    gap && `The longest gap, before ${gap.before.name}, is ${time(gap.us)}.`,
    bars.length >= EVENTS_MAX && `Only the first ${whole(EVENTS_MAX)} are kept.`,
  ]
    .filter(Boolean)
    .join(' ');
}

function viewsOf(bars, covered) {
  const y = [0, 1],
    from = bars[0].start,
    first = Math.max(0, (bars.length - CLOSE) >> 1),
    near = bars.slice(first, first + CLOSE);
  return [
    {x: [from, from + covered.us], y, level: true, name: 'Whole'},
    ...(bars.length > 2 * CLOSE
      ? [{x: [near[0].start, near[near.length - 1].end], y, level: true, name: `${CLOSE} bars`}]
      : []),
  ];
}

function spanChart(t, span) {
  const bars = barsOf(span),
    covered = cover(bars),
    hue = colouring(bars),
    told = sentence(bars, covered);
  return chart({
    id: 'timeline-chart',
    title: `${TITLE}, ${span.span}`,
    height: 180,
    keys: hue.keys,
    views: viewsOf(bars, covered),
    option: optionOf(bars, covered, hue),
    caption: [
      h('span', {class: 'told'}, told),
      ` ${PASSES[span.pass]?.about || ''} ${shortLabel(t)}, step ${span.step}. The strip below the lane: in how much of the time nothing ran. A key turns its bars grey.`,
    ],
    label: `Gantt chart of the ${span.span} on one lane. ${told} The table below has its kernels by time.`,
  });
}

const WIDTH = 140;

/* Of the whole, as a bar; by its side the number. */
const shareBar = (share, ink) =>
  svg(
    'svg',
    {class: `share c-${ink}`, width: WIDTH, height: 9, viewBox: `0 0 ${WIDTH} 9`, 'aria-hidden': 'true'},
    svg('rect', {class: 'ground', width: WIDTH, height: 9}),
    svg('rect', {width: WIDTH * Math.min(1, share), height: 9}),
  );

/* The kernels of the span's phase; in its colours where it tells ops, as they do. */
function topKernels(t, span) {
  const phase = span.step === 0 ? 'prefill' : 'decode',
    hue = colouring(barsOf(span));
  const rows = t.device.top_kernels.filter((k) => k.phase === phase);
  const key = (k) => hue.keys.find((x) => x.key === k.op || x.key === k.name);
  if (!rows.length) return h('p', null, missing('No kernel of this phase was kept.'));
  return table(
    `Kernels by time, ${phase === 'prefill' ? 'prefill' : 'the last decode step that is kept'}: at most ten, shares of all that ran in it`,
    [{head: 'kernel'}, {head: 'op'}, {head: 'times'}, {head: 'ms', tag: 'timer'}, {head: 'share'}],
    rows.map((k) => [
      h('span', {class: 'kernel'}, key(k) && [mark(key(k)), ' '], k.name),
      k.op || '\u2014',
      whole(k.n),
      digits(k.ms),
      [percent(k.share), ' ', shareBar(k.share, key(k)?.colour || 'accent')],
    ]),
  );
}

/* How the steps ran comes first, and of them the last, when everything is warm. */
const order = (spans) =>
  [...spans].sort((a, b) => (a.pass === 'trace' ? 0 : 1) - (b.pass === 'trace' ? 0 : 1) || b.step - a.step);

export function timeline(doc, t) {
  const spans = order(t.device.timeline.filter((s) => s.events.length));
  if (!spans.length)
    return noChart('timeline-chart', TITLE, `Not drawn: no kernel of this trial was recorded: ${absence(doc, 'trace')}`);
  return choice(
    'Span',
    spans.map((s) => `${s.span}, ${PASSES[s.pass]?.name || s.pass}`),
    (i) => [spanChart(t, spans[i]), topKernels(t, spans[i])],
  );
}
