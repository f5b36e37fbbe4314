// SPDX-License-Identifier: MIT
// The roofline: attainable FLOP/s against arithmetic intensity. Shape says phase, colour says cache, filled says that the work
// was counted rather than computed. The band around a main roof is its spread over the rounds.
import {above, axes, band, bars, below, chart, noChart, tip} from './chart.js';
import {digits, known, percent, range, scaled} from './format.js';
import {armName, opTrial, shortLabel} from './model.js';
import {colour} from './theme.js';

const TITLE = 'Roofline: where prefill and decode stand';
const GIGA = 1e9;
const log = Math.log10;

function pointsOf(doc) {
  return doc.trials.flatMap((t) =>
    ['prefill', 'decode'].flatMap((phase) => {
      const v = t[phase]?.verdict;
      return v && known(v.ai) && known(v.gflops) && v.ai > 0 && v.gflops > 0
        ? [{t, phase, v, kv: t.kv_cache, key: `${phase} ${t.kv_cache}`}]
        : [];
    }),
  );
}

/* The ops of one trial, in both phases; those without FLOPs have no place here. */
function opPointsOf(doc) {
  const t = opTrial(doc);
  return ['prefill', 'decode'].flatMap((phase) =>
    (t?.per_op[phase]?.ops || []).flatMap((o) => {
      const v = o.verdict;
      return v && known(v.ai) && known(v.gflops) && v.ai > 0 && v.gflops > 0
        ? [{t, o, phase, v, key: `ops of ${phase}`}]
        : [];
    }),
  );
}

/* The roofs worth a line: every compute roof, and reading from each level (copy and triad stand in the table). */
function linesOf(doc) {
  const good = doc.roofs.filter((r) => known(r.value) && r.value > 0);
  const bandwidth = good.filter((r) => r.kind === 'bandwidth');
  const reads = bandwidth.filter((r) => /read/.test(r.name));
  const byValue = (a, b) => b.value - a.value;
  return {
    compute: good.filter((r) => r.kind === 'compute').sort(byValue),
    bandwidth: (reads.length ? reads : bandwidth).sort(byValue),
  };
}

const roofName = (name) => name.replace(/^l(\d)/, 'L$1').replace(/^dram/, 'DRAM');

function viewOf(points, lines, ridge) {
  const xs = points.map((p) => p.v.ai),
    ys = points.map((p) => p.v.gflops);
  const centre = ridge ? ridge.ai : xs[0] || 1;
  const highest = Math.max(...ys, ...lines.bandwidth.map((r) => (r.value / GIGA) * centre));
  const peak = lines.compute.length ? lines.compute[0].value / GIGA : highest;
  const x = [below(Math.min(...xs, centre / 4) / 3), above(Math.max(...xs, centre * 4) * 5)];
  return {x, y: [below(Math.min(...ys, peak / 20) / 3), above(peak * 1.5)], logX: true, logY: true};
}

/* Where a slope is labelled: above its line near the left end; of lines close together the second further along, the third
 * below its line. */
function labelPlaces(roofs) {
  const places = [
    {position: 'insideStartTop', along: 0.08},
    {position: 'insideStartTop', along: 0.5},
    {position: 'insideStartBottom', along: 0.08},
  ];
  let next = 0;
  return roofs.map((r, i) => {
    next = i && roofs[i - 1].value / r.value < 1.6 ? (next + 1) % places.length : 0;
    return places[next];
  });
}

/* A roof's line with its label: `at` is where the label stands, empty when that is out of view. */
function roofLine({main, kind, data, label, at}) {
  return {
    type: 'line',
    silent: true,
    showSymbol: false,
    clip: true,
    z: main ? 3 : 2,
    data,
    lineStyle: {
      width: main ? 2.6 : 1.2,
      type: main ? 'solid' : [6, 4],
      color: colour(kind),
      opacity: main ? 1 : 0.7,
    },
    markLine: {
      silent: true,
      symbol: 'none',
      animation: false,
      lineStyle: {color: 'transparent'},
      label: {color: colour(kind), fontSize: 11.5, fontWeight: main ? 700 : 400, ...label},
      data: at,
    },
  };
}

function slope(roof, main, peak, view, place) {
  const gbs = roof.value / GIGA,
    end = peak / gbs;
  const x0 = Math.max(view.x[0], view.y[0] / gbs),
    x1 = Math.min(view.x[1], end, view.y[1] / gbs);
  const room = x1 > x0 * 1.3,
    start = 10 ** (log(x0) + (log(x1) - log(x0)) * place.along);
  return roofLine({
    main,
    kind: 'memory',
    data: [
      [view.x[0] / 10, (view.x[0] / 10) * gbs],
      [end, peak],
    ],
    label: {position: place.position, distance: 2, formatter: `${roofName(roof.name)} ${scaled(roof.value, 'B/s')}`},
    at: room ? [[{coord: [start, start * gbs]}, {coord: [x1, x1 * gbs]}]] : [],
  });
}

/* The highest roof is labelled above its line, the next below, so that two near each other stay readable. */
function level(roof, index, main, widest, view, narrow) {
  const y = roof.value / GIGA,
    from = widest ? y / (widest / GIGA) : view.x[0] / 10;
  return roofLine({
    main,
    kind: 'compute',
    data: [
      [from, y],
      [view.x[1] * 10, y],
    ],
    label: {
      position: index === 0 ? 'insideEndTop' : 'insideEndBottom',
      show: index === 0 || !narrow,
      formatter: `${roof.name} ${scaled(roof.value, 'FLOP/s')}`,
    },
    at: y > view.y[0] && y < view.y[1] ? [{yAxis: y}] : [],
  });
}

function scatter(points, phase, kv) {
  const ink = colour(kv);
  return {
    type: 'scatter',
    name: `${phase} ${kv}`,
    symbol: phase === 'prefill' ? 'circle' : 'diamond',
    symbolSize: phase === 'prefill' ? 11 : 14,
    clip: true,
    z: 10,
    cursor: 'pointer',
    data: [...points]
      .sort((a, b) => (a.v.source === 'counter') - (b.v.source === 'counter'))
      .map((p) => ({
        value: [p.v.ai, p.v.gflops],
        p,
        itemStyle:
          p.v.source === 'counter'
            ? {color: ink, borderColor: colour('surface'), borderWidth: 1.2, opacity: 1}
            : {color: colour('surface'), borderColor: ink, borderWidth: 2, opacity: 1},
      })),
  };
}

/* Smaller than the phases, in one colour, named beside the point. */
function opScatter(points, phase) {
  const ink = colour('accent');
  return {
    type: 'scatter',
    name: `ops of ${phase}`,
    symbol: phase === 'prefill' ? 'circle' : 'diamond',
    symbolSize: phase === 'prefill' ? 6 : 8,
    clip: true,
    z: 12,
    cursor: 'pointer',
    label: {
      show: true,
      position: 'right',
      distance: 8,
      formatter: (q) => q.data.p.o.op,
      color: ink,
      fontSize: 11,
    },
    labelLayout: {hideOverlap: true},
    data: points.map((p) => ({
      value: [p.v.ai, p.v.gflops],
      p,
      itemStyle: p.v.source === 'counter' ? {color: ink, borderColor: colour('surface'), borderWidth: 0.8} : {color: colour('surface'), borderColor: ink, borderWidth: 1.6},
    })),
  };
}

const opTip = (p) =>
  tip(`${p.o.op}, ${p.phase}: ${shortLabel(p.t)}`, [
    ['time', range(p.o.ms, 'ms')],
    ['of the step', percent(p.o.share?.median)],
    ['intensity', `${digits(p.v.ai)} FLOP/byte (${digits(p.v.margin) || '?'} × ridge)`],
    ['speed', `${digits(p.v.gflops)} GFLOP/s, ${digits(p.v.gbps) || '?'} GB/s`],
    ['of its roof', known(p.v.efficiency) ? `${percent(p.v.efficiency)} of ${p.v.roof}` : null],
    ['verdict', p.v.kind],
    ['work', p.v.source === 'counter' ? 'counted' : 'analytic'],
  ]);

function pointTip(p) {
  const e = p.t[p.phase].ms;
  return tip(`${p.phase}, ${armName(p.kv)}: ${shortLabel(p.t)}`, [
    ['intensity', `${digits(p.v.ai)} FLOP/byte (${digits(p.v.margin) || '?'} × ridge)`],
    ['speed', `${digits(p.v.gflops)} GFLOP/s, ${digits(p.v.gbps) || '?'} GB/s`],
    [p.phase === 'prefill' ? 'time' : 'a step', range(e, 'ms')],
    [
      'of its roof',
      known(p.v.efficiency)
        ? `${percent(p.v.efficiency)} [${percent(p.v.efficiency_lo) || '?'}, ${percent(p.v.efficiency_hi) || '?'}]`
        : null,
    ],
    ['verdict', p.v.kind],
    ['data', known(p.v.ai) && p.v.cache ? `stays in ${p.v.cache.toUpperCase()}` : null],
    ['work', p.v.source === 'counter' ? 'counted' : 'analytic'],
  ]);
}

/* How far the speed reaches when the time's interval is taken at both ends. */
const spread = (p) =>
  known(p.v.efficiency_lo) && p.v.efficiency > 0
    ? [[p.v.ai, (p.v.gflops * p.v.efficiency_lo) / p.v.efficiency, (p.v.gflops * p.v.efficiency_hi) / p.v.efficiency]]
    : [];

function bands(doc, lines, peak, view) {
  const main = (r) =>
    doc.ridge && (r.name === doc.ridge.compute || r.name === doc.ridge.bandwidth) && known(r.lo) && known(r.hi);
  const left = view.x[0] / 10,
    right = view.x[1] * 10;
  return [
    ...lines.compute.filter(main).map((r) =>
      band(
        [
          [doc.ridge.ai, r.lo / GIGA, r.hi / GIGA],
          [right, r.lo / GIGA, r.hi / GIGA],
        ],
        colour('compute'),
      ),
    ),
    ...lines.bandwidth.filter(main).map((r) =>
      band(
        [left, peak / (r.value / GIGA)].map((x) => [x, (x * r.lo) / GIGA, (x * r.hi) / GIGA]),
        colour('memory'),
      ),
    ),
  ];
}

function optionOf(doc, points, opPoints, lines) {
  const peak = (doc.ridge?.peak_flops || lines.compute[0]?.value || 1e15) / GIGA;
  const ridge = (narrow) =>
    doc.ridge && {
      type: 'scatter',
      silent: true,
      symbol: 'triangle',
      symbolSize: 11,
      z: 9,
      clip: true,
      itemStyle: {color: colour('ridge')},
      label: {
        show: true,
        position: 'top',
        distance: narrow ? 20 : 4,
        formatter: `ridge ${digits(doc.ridge.ai)}`,
        color: colour('ridge'),
        fontWeight: 700,
        fontSize: 12,
      },
      data: [[doc.ridge.ai, peak]],
    };
  const places = labelPlaces(lines.bandwidth);
  return ({view, shown, width}) => {
    const visible = points.filter((p) => shown(p.key)),
      narrow = width < 560;
    return {
      ...axes(view, 'arithmetic intensity, FLOP per byte of memory traffic', 'GFLOP/s'),
      tooltip: {formatter: (q) => (q.data?.p ? (q.data.p.o ? opTip : pointTip)(q.data.p) : '')},
      series: [
        ...bands(doc, lines, peak, view),
        ...lines.bandwidth.map((r, i) => slope(r, r.name === doc.ridge?.bandwidth, peak, view, places[i])),
        ...lines.compute.map((r, i) =>
          level(r, i, r.name === doc.ridge?.compute, lines.bandwidth[0]?.value, view, narrow),
        ),
        ...['on', 'off'].flatMap((kv) => [
          bars(visible.filter((p) => p.kv === kv).flatMap(spread), colour(kv)),
          ...['prefill', 'decode'].map((phase) =>
            scatter(
              visible.filter((p) => p.kv === kv && p.phase === phase),
              phase,
              kv,
            ),
          ),
        ]),
        ...['prefill', 'decode'].map((phase) =>
          opScatter(
            opPoints.filter((p) => p.phase === phase && shown(p.key)),
            phase,
          ),
        ),
        ...(doc.ridge ? [ridge(narrow)] : []),
      ],
    };
  };
}

export function roofline(doc) {
  const points = pointsOf(doc),
    opPoints = opPointsOf(doc),
    lines = linesOf(doc);
  if (!points.length && !doc.roofs.length)
    return noChart('roofline-chart', TITLE, 'Not drawn: this run holds neither a measured roof nor a measured trial.');
  const keys = ['prefill', 'decode']
    .flatMap((phase) =>
      ['on', 'off'].map((kv) => ({
        key: `${phase} ${kv}`,
        name: `${phase}, ${armName(kv)}`,
        symbol: phase === 'prefill' ? 'circle' : 'diamond',
        colour: kv,
      })),
    )
    .concat(
      ['prefill', 'decode'].map((phase) => ({
        key: `ops of ${phase}`,
        name: `ops of ${phase}`,
        symbol: phase === 'prefill' ? 'circle' : 'diamond',
        colour: 'accent',
      })),
    )
    .filter((k) => [...points, ...opPoints].some((p) => p.key === k.key));
  const ridge = doc.ridge
    ? `The ridge, where memory and compute take equally long, is at ${digits(doc.ridge.ai)} FLOP/byte (${doc.ridge.compute} over ${doc.ridge.bandwidth}).`
    : 'No ridge: a compute roof and a bandwidth roof are needed for it and this run did not measure both.';
  return chart({
    id: 'roofline-chart',
    title: TITLE,
    height: 470,
    keys,
    views: [viewOf([...points, ...opPoints], lines, doc.ridge)],
    option: optionOf(doc, points, opPoints, lines),
    caption: `Left of the ridge memory limits, right of it arithmetic does; the distance below the roof is what is lost. ${ridge} Filled points: work counted by hardware; hollow: computed from shapes. Upright bars: 95 % interval. Bands: lowest and highest round of a main roof; dashed: other roofs. ${opPoints.length ? `Small points: the ops of ${shortLabel(opTrial(doc))}. ` : ''}${[...points, ...opPoints].some((p) => p.v.cache) ? 'What stays in a cache stands at the intensity of what that cache sends. ' : ''}Some points coincide: the keys hide the ones on top.`,
    label: `Roofline chart: ${points.length} points of prefill and decode, ${opPoints.length} of their ops, and ${doc.roofs.length} measured roofs; the numbers are in the tables of trials and roofs.`,
  });
}
