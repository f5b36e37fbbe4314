// SPDX-License-Identifier: MIT
// A GPU's memory traffic against time, as it was sampled beside one execution: reading and writing under the read roof, and below
// them, on the same axis, how far multiprocessors and tensor cores were in use. Prefill is shaded.
import {axes, axisTip, band, chart, noChart, tip} from './chart.js';
import {missing, table} from './dom.js';
import {digits, known, ms, percent, scaled} from './format.js';
import {absence, roofOf, shortLabel} from './model.js';
import {colour} from './theme.js';

const TITLE = 'Memory traffic against time';
const GIGA = 1e9;
const STEPS_NEAR = 4; /* decode steps of a closer look */

const LINES = [
  {key: 'read', name: 'read', grid: 0, colour: 'memory', symbol: 'line'},
  {key: 'write', name: 'written', grid: 0, colour: 'c4', symbol: 'line'},
  {key: 'sm', name: 'multiprocessors active', grid: 1, colour: 'c1', symbol: 'line'},
  {key: 'tensor', name: 'tensor cores active', grid: 1, colour: 'c2', symbol: 'line'},
];

const pointsOf = ({points}) =>
  points.map(([at, span, read, write, sm, tensor]) => ({at, span, end: at + span, read, write, sm, tensor}));

/* Drawn at the middle of its time; a line ends where samples are missing. */
function lineData(points, line) {
  const factor = line.grid ? 100 : 1;
  return points.flatMap((p, i) => {
    const here = [p.at + p.span / 2, known(p[line.key]) ? factor * p[line.key] : null];
    return i && p.at - points[i - 1].end > p.span / 2 ? [[p.at, null], here] : [here];
  });
}

const lineSeries = (points, line) => ({
  type: 'line',
  silent: true,
  showSymbol: false,
  clip: true,
  z: 5,
  xAxisIndex: line.grid,
  yAxisIndex: line.grid,
  data: lineData(points, line),
  lineStyle: {width: 1.4, color: colour(line.colour)},
  itemStyle: {color: colour(line.colour)},
});

/* The roof, labelled on its line. */
const roofSeries = (roof, view) => ({
  type: 'line',
  silent: true,
  showSymbol: false,
  z: 6,
  data: view.x.map((x) => [x, roof.value / GIGA]),
  lineStyle: {width: 2, type: [6, 4], color: colour('memory')},
  tooltip: {show: false},
  markLine: {
    silent: true,
    symbol: 'none',
    animation: false,
    lineStyle: {color: 'transparent'},
    label: {position: 'insideEndTop', color: colour('memory'), fontSize: 11.5, fontWeight: 700, formatter: roofWords(roof)},
    data: [{yAxis: roof.value / GIGA}],
  },
});

const roofWords = (roof) => `${roof.name.replace(/^dram/, 'DRAM')} ${scaled(roof.value, 'B/s')}`;

const shade = (until, view, grid) => ({
  ...band([[view.x[0], ...view.y], [until, ...view.y]], colour('open-soft'), 1),
  z: 0,
  xAxisIndex: grid,
  yAxisIndex: grid,
});

/* Two grids above each other; only the lower one's axis is labelled. */
function grids(view, both) {
  const upper = axes(view, both ? '' : 'ms', 'GB/s'),
    lower = axes({...view, y: [0, 100]}, 'ms', '% active');
  const percentLabels = {...lower.yAxis.axisLabel, showMaxLabel: true};
  const x = (axis, i) => ({...axis, gridIndex: i, axisPointer: {snap: false}});
  if (!both) return {grid: [upper.grid], xAxis: [x(upper.xAxis, 0)], yAxis: [upper.yAxis]};
  return {
    grid: [
      {...upper.grid, bottom: 172},
      {...lower.grid, top: undefined, height: 76},
    ],
    xAxis: [x({...upper.xAxis, axisLabel: {show: false}}, 0), x(lower.xAxis, 1)],
    yAxis: [upper.yAxis, {...lower.yAxis, gridIndex: 1, splitNumber: 2, axisLabel: percentLabels}],
    axisPointer: {link: [{xAxisIndex: 'all'}]},
  };
}

function pointTip(points, roof, prefill, at) {
  const p = points.find((x) => x.at <= at && at <= x.end);
  if (!p) return '';
  const rate = (x) => (known(x) ? `${digits(x)} GB/s` : null);
  return tip(`${ms(p.at)}, ${known(prefill) ? (p.at < prefill ? 'prefill' : 'decode') : 'over ' + ms(p.span)}`, [
    ['read', rate(p.read)],
    ['of the roof', roof && known(p.read) ? percent((p.read * GIGA) / roof.value) : null],
    ['written', rate(p.write)],
    ['multiprocessors', percent(p.sm)],
    ['tensor cores', percent(p.tensor)],
  ]);
}

/* The whole execution, and a few decode steps. */
function viewsOf(t, points, prefill, roof) {
  const end = points[points.length - 1].end,
    step = t.decode?.ms?.median,
    most = Math.max(...points.flatMap((p) => [p.read, p.write]).filter(known), (roof?.value || 0) / GIGA) || 1;
  const view = {y: [0, 1.14 * most], level: true};
  const near = [prefill, prefill + STEPS_NEAR * step];
  return [
    {...view, x: [Math.min(0, points[0].at), end], name: 'Whole'},
    ...(known(prefill) && known(step) && near[1] < end ? [{...view, x: near, name: `${STEPS_NEAR} steps`}] : []),
  ];
}

/* The mean over a phase, each sample by its time; null where nothing is known of it. */
function mean(points, key) {
  const seen = points.filter((p) => known(p[key])),
    span = seen.reduce((a, p) => a + p.span, 0);
  return span > 0 ? seen.reduce((a, p) => a + p[key] * p.span, 0) / span : null;
}

function phases(points, prefill) {
  if (!known(prefill)) return [['whole execution', points]];
  return [
    ['prefill', points.filter((p) => p.at < prefill)],
    ['decode', points.filter((p) => p.at >= prefill)],
  ].filter(([, of]) => of.length);
}

function phaseTable(points, prefill, roof) {
  return table(
    'Sampled traffic and use by phase: means over time of the GPU’s own counters',
    [
      {head: 'phase'},
      {head: 'read', group: 'GB/s'},
      {head: 'written', group: 'GB/s'},
      {head: 'read, of its roof'},
      {head: 'multiprocessors', group: 'active'},
      {head: 'tensor cores', group: 'active'},
    ],
    phases(points, prefill).map(([name, of]) => {
      const read = mean(of, 'read');
      return [
        name,
        digits(read) || missing('not sampled'),
        digits(mean(of, 'write')) || missing('not sampled'),
        roof && known(read) ? percent((read * GIGA) / roof.value) : missing('no roof'),
        percent(mean(of, 'sm')) || missing('not sampled'),
        percent(mean(of, 'tensor')) || missing('not sampled'),
      ];
    }),
  );
}

function optionOf({points, lines, both, roof, prefill}) {
  return ({view, shown}) => ({
    ...grids(view, both),
    tooltip: axisTip((at) => pointTip(points, roof, prefill, at)),
    series: [
      ...(known(prefill) && shown('prefill')
        ? [shade(prefill, view, 0), ...(both ? [shade(prefill, {...view, y: [0, 100]}, 1)] : [])]
        : []),
      ...(roof && shown('roof') ? [roofSeries(roof, view)] : []),
      ...lines.filter((l) => shown(l.key)).map((l) => lineSeries(points, l)),
    ],
  });
}

export function traffic(doc, t) {
  if (!t.device.samples?.points.length)
    return noChart('traffic-chart', TITLE, `Not drawn: nothing was sampled beside this trial: ${absence(doc, 'pm')}`);
  const points = pointsOf(t.device.samples),
    prefill = t.device.samples.prefill_ms,
    verdict = t.decode?.verdict || t.prefill?.verdict,
    roof = roofOf(doc, t, verdict?.bandwidth_roof || 'dram read');
  const lines = LINES.filter((l) => points.some((p) => known(p[l.key]))),
    both = lines.some((l) => l.grid === 1);
  return [
    chart({
      id: 'traffic-chart',
      title: TITLE,
      height: both ? 430 : 300,
      keys: [
        ...lines,
        ...(roof ? [{key: 'roof', name: 'read roof', symbol: 'dash', colour: 'memory'}] : []),
        ...(known(prefill) ? [{key: 'prefill', name: 'prefill', symbol: 'bar', colour: 'shade'}] : []),
      ],
      views: viewsOf(t, points, prefill, roof),
      option: optionOf({points, lines, both, roof, prefill}),
      caption: `Sampled by the GPU beside one execution that nothing else watched: ${shortLabel(t)}. All that ran on the device is in it.`,
      label: `Line chart of ${points.length} samples over ${ms(points[points.length - 1].end)}: memory read and written${roof ? ` under the roof ${roofWords(roof)}` : ''}${both ? ', multiprocessors and tensor cores active below' : ''}; the means by phase are in the table below.`,
    }),
    phaseTable(points, prefill, roof),
  ];
}
