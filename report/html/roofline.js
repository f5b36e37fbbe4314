// SPDX-License-Identifier: MIT
// The roofline: attainable FLOP/s against arithmetic intensity. Shape says phase, colour says the axis by which trials differ
// first (the cache, or the type of weights, ...), filled says that the work was counted rather than computed. The band around a
// roof that verdicts rest on is its spread over the rounds. Trials of several thread counts stand each under their own roofs.
import {above, axes, band, bars, below, chart, noChart, tip} from './chart.js';
import {digits, known, list, percent, range, scaled} from './format.js';
import {armName, axisWords, opTrial, roofTimes, shortLabel, stands, unusual, valuesOf, varyingAxes} from './model.js';
import {colour} from './theme.js';

const TITLE = 'Roofline: where prefill and decode stand';
const GIGA = 1e9;
const log = Math.log10;

/* What the colour may say, the first that varies; the cache where nothing does. */
const COLOURED = ['kv_cache', 'dtype', 'kv_dtype', 'gemm', 'attention', 'launch', 'strategy', 'threads', 'batch'];
const INKS = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];

/* {axis, values, inks}: more values than inks share the last. */
function colouring(doc) {
  const varying = varyingAxes(doc),
    axis = COLOURED.find((name) => varying.includes(name)) || 'kv_cache';
  const values = axis === 'kv_cache' ? ['on', 'off'] : valuesOf(doc.trials, axis);
  const ink = (v) => (axis === 'kv_cache' ? v : INKS[Math.min(values.indexOf(v), INKS.length - 1)]);
  return {axis, values, ink, name: (v) => (axis === 'kv_cache' ? armName(v) : axisWords(axis, v))};
}

/* What else is not usual of a point, where the cache's colours do not say it all; threads are told by its size and its roofs. */
const besideOf = (doc, t, hue) => (hue.axis === 'kv_cache' ? '' : unusual(doc, t, [hue.axis, 'threads']).join(', '));

function pointsOf(doc, hue) {
  return doc.trials.flatMap((t) =>
    ['prefill', 'decode'].flatMap((phase) => {
      const v = t[phase]?.verdict,
        value = t[hue.axis];
      return v && known(v.ai) && known(v.gflops) && v.ai > 0 && v.gflops > 0
        ? [{t, phase, v, value, key: `${phase} ${value}`, fewer: t.threads < doc.run.threads, beside: besideOf(doc, t, hue)}]
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

/* The roofs worth a line. With one thread count: every compute roof, and reading from each level (copy and triad stand in the
 * table). With several: those that verdicts rest on, or the lines would hide each other. */
function linesOf(doc, resting) {
  const good = doc.roofs.filter((r) => known(r.value) && r.value > 0);
  const counts = [...new Set(resting.map((s) => s.threads))],
    several = counts.length > 1;
  const main = (r) => resting.some((s) => s.compute === r || s.bandwidth === r);
  const shown = several ? good.filter(main) : good.filter((r) => r.threads === (counts[0] ?? doc.run.threads));
  const bandwidth = shown.filter((r) => r.kind === 'bandwidth');
  const reads = bandwidth.filter((r) => /read/.test(r.name));
  const byValue = (a, b) => b.value - a.value;
  return {
    several,
    main,
    full: (r) => r.threads === doc.run.threads,
    compute: shown.filter((r) => r.kind === 'compute').sort(byValue),
    bandwidth: (reads.length ? reads : bandwidth).sort(byValue),
  };
}

/* "DRAM read 85.6 GB/s", with the threads where there are several counts of them. */
const roofWords = (r, several) =>
  `${r.name.replace(/^l(\d)/, 'L$1').replace(/^dram/, 'DRAM')}${several ? `, ${axisWords('threads', r.threads)}` : ''} ${scaled(r.value, r.kind === 'compute' ? 'FLOP/s' : 'B/s')}`;

function viewOf(points, lines, ridges) {
  const xs = [...points.map((p) => p.v.ai), ...ridges.map((r) => r.ai)],
    ys = points.map((p) => p.v.gflops);
  const centre = ridges.length ? ridges[0].ai : xs[0] || 1;
  const highest = Math.max(...ys, ...lines.bandwidth.map((r) => (r.value / GIGA) * centre));
  const peak = lines.compute.length ? lines.compute[0].value / GIGA : highest;
  const x = [below(Math.min(...xs, centre / 4) / 3), above(Math.max(...xs, centre * 4) * (lines.several ? 40 : 5))]; // room for the names of many roofs
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

/* A roof's line with its label: `at` is where the label stands, empty when that is out of view. Thin: of fewer threads. */
function roofLine({main, thin, kind, data, label, at}) {
  return {
    type: 'line',
    silent: true,
    showSymbol: false,
    clip: true,
    z: main ? 3 : 2,
    data,
    lineStyle: {
      width: !main ? 1.2 : thin ? 1.6 : 2.6,
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

/* Ends where the highest compute roof of its thread count begins. */
function slope(roof, lines, view, place) {
  const gbs = roof.value / GIGA,
    peak = (lines.compute.find((r) => r.threads === roof.threads)?.value || 1e15) / GIGA,
    end = peak / gbs;
  const x0 = Math.max(view.x[0], view.y[0] / gbs),
    x1 = Math.min(view.x[1], end, view.y[1] / gbs);
  const room = x1 > x0 * 1.3,
    start = 10 ** (log(x0) + (log(x1) - log(x0)) * place.along);
  return roofLine({
    main: lines.main(roof),
    thin: !lines.full(roof),
    kind: 'memory',
    data: [
      [view.x[0] / 10, (view.x[0] / 10) * gbs],
      [end, peak],
    ],
    label: {position: place.position, distance: 2, formatter: roofWords(roof, lines.several)},
    at: room ? [[{coord: [start, start * gbs]}, {coord: [x1, x1 * gbs]}]] : [],
  });
}

/* Labelled above its line, or below where the next higher roof is near, so that two near each other stay readable. */
function level(roof, index, lines, view, narrow) {
  const y = roof.value / GIGA,
    widest = lines.bandwidth.find((r) => r.threads === roof.threads)?.value,
    from = widest ? y / (widest / GIGA) : view.x[0] / 10;
  const above = index === 0 || (lines.several && lines.compute[index - 1].value / roof.value > 1.35);
  return roofLine({
    main: lines.main(roof),
    thin: !lines.full(roof),
    kind: 'compute',
    data: [
      [from, y],
      [view.x[1] * 10, y],
    ],
    label: {
      position: above ? 'insideEndTop' : 'insideEndBottom',
      show: index === 0 || !narrow,
      formatter: roofWords(roof, lines.several),
    },
    at: y > view.y[0] && y < view.y[1] ? [{yAxis: y}] : [],
  });
}

function scatter(points, phase, value, hue, narrow) {
  const ink = colour(hue.ink(value));
  return {
    type: 'scatter',
    name: `${phase} ${value}`,
    symbol: phase === 'prefill' ? 'circle' : 'diamond',
    symbolSize: (_, q) => (phase === 'prefill' ? 11 : 14) * (q.data.p.fewer ? 0.65 : 1),
    clip: true,
    z: 10,
    cursor: 'pointer',
    label: {
      show: !narrow,
      position: 'right',
      distance: 7,
      formatter: (q) => q.data.p.beside,
      color: ink,
      fontSize: 10.5,
    },
    labelLayout: {hideOverlap: true},
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

function pointTip(p, hue) {
  const e = p.t[p.phase].ms;
  return tip(`${p.phase}, ${hue.name(p.value)}: ${shortLabel(p.t)}`, [
    ['intensity', `${digits(p.v.ai)} FLOP/byte (${digits(p.v.margin) || '?'} × ridge)`],
    ['speed', `${digits(p.v.gflops)} GFLOP/s, ${digits(p.v.gbps) || '?'} GB/s`],
    [p.phase === 'prefill' ? 'time' : 'a step', range(e, 'ms')],
    [
      'of its roof',
      known(p.v.efficiency)
        ? `${percent(p.v.efficiency)} [${percent(p.v.efficiency_lo) || '?'}, ${percent(p.v.efficiency_hi) || '?'}] of ${p.v.roof}`
        : null,
    ],
    ['verdict', p.v.kind],
    ['at the roofs', roofTimes(p.v)],
    ['data', known(p.v.ai) && p.v.cache ? `stays in ${p.v.cache.toUpperCase()}` : null],
    ['work', p.v.source === 'counter' ? 'counted' : 'analytic'],
  ]);
}

/* How far the speed reaches when the time's interval is taken at both ends. */
const spread = (p) =>
  known(p.v.efficiency_lo) && p.v.efficiency > 0
    ? [[p.v.ai, (p.v.gflops * p.v.efficiency_lo) / p.v.efficiency, (p.v.gflops * p.v.efficiency_hi) / p.v.efficiency]]
    : [];

function bands(lines, view) {
  const left = view.x[0] / 10,
    right = view.x[1] * 10;
  const wide = (r) => lines.main(r) && known(r.lo) && known(r.hi);
  const peak = (r) => lines.compute.find((c) => c.threads === r.threads)?.value || 1e15,
    widest = (r) => lines.bandwidth.find((c) => c.threads === r.threads)?.value;
  return [
    ...lines.compute.filter(wide).map((r) =>
      band(
        [widest(r) ? r.value / widest(r) : left, right].map((x) => [x, r.lo / GIGA, r.hi / GIGA]),
        colour('compute'),
      ),
    ),
    ...lines.bandwidth.filter(wide).map((r) =>
      band(
        [left, peak(r) / r.value].map((x) => [x, (x * r.lo) / GIGA, (x * r.hi) / GIGA]),
        colour('memory'),
      ),
    ),
  ];
}

/* Where the pairs of roofs meet; with one of them its intensity stands beside the mark. */
function ridgeMarks(ridges, narrow) {
  return {
    type: 'scatter',
    silent: true,
    symbol: 'triangle',
    symbolSize: ridges.length > 1 ? 8 : 11,
    z: 9,
    clip: true,
    itemStyle: {color: colour('ridge')},
    label: {
      show: ridges.length === 1,
      position: 'top',
      distance: narrow ? 20 : 4,
      formatter: `ridge ${digits(ridges[0].ai)}`,
      color: colour('ridge'),
      fontWeight: 700,
      fontSize: 12,
    },
    data: ridges.map((r) => [r.ai, r.peak / GIGA]),
  };
}

function optionOf({points, opPoints, lines, ridges, hue}) {
  const places = labelPlaces(lines.bandwidth);
  return ({view, shown, width}) => {
    const visible = points.filter((p) => shown(p.key)),
      narrow = width < 560;
    return {
      ...axes(view, 'arithmetic intensity, FLOP per byte of memory traffic', 'GFLOP/s'),
      tooltip: {formatter: (q) => (q.data?.p ? (q.data.p.o ? opTip(q.data.p) : pointTip(q.data.p, hue)) : '')},
      series: [
        ...bands(lines, view),
        ...lines.bandwidth.map((r, i) => slope(r, lines, view, places[i])),
        ...lines.compute.map((r, i) => level(r, i, lines, view, narrow)),
        ...hue.values.flatMap((value) => [
          bars(visible.filter((p) => p.value === value).flatMap(spread), colour(hue.ink(value))),
          ...['prefill', 'decode'].map((phase) =>
            scatter(
              visible.filter((p) => p.value === value && p.phase === phase),
              phase,
              value,
              hue,
              narrow,
            ),
          ),
        ]),
        ...['prefill', 'decode'].map((phase) =>
          opScatter(
            opPoints.filter((p) => p.phase === phase && shown(p.key)),
            phase,
          ),
        ),
        ...(ridges.length ? [ridgeMarks(ridges, narrow)] : []),
      ],
    };
  };
}

/* "The ridge ... is at 6.23 FLOP/byte (f32 fma over dram read).", of each pair of roofs where there are several. */
function ridgeWords(ridges, several) {
  if (!ridges.length)
    return 'No ridge: a compute roof and a bandwidth roof are needed for it and this run did not measure both.';
  const at = (r) =>
    `${digits(r.ai)} FLOP/byte (${r.compute.name} over ${r.bandwidth.name}${several ? `, ${axisWords('threads', r.threads)}` : ''})`;
  return `The ridge${ridges.length > 1 ? 's' : ''}, where memory and compute take equally long, ${ridges.length > 1 ? 'are' : 'is'} at ${list(ridges.map(at))}.`;
}

/* What verdicts rest on; a run whose every trial lacks a roof still has its ridge. */
function ridgesOf(doc, resting) {
  const met = resting.filter((s) => s.compute && s.bandwidth);
  const all = met.map((s) => ({...s, peak: s.compute.value, ai: s.compute.value / s.bandwidth.value}));
  if (all.length || !doc.ridge) return all;
  const {compute, bandwidth, peak_flops: peak, ai} = doc.ridge;
  return [{compute: {name: compute}, bandwidth: {name: bandwidth}, threads: doc.run.threads, peak, ai}];
}

export function roofline(doc) {
  const hue = colouring(doc),
    resting = stands(doc);
  const points = pointsOf(doc, hue),
    opPoints = opPointsOf(doc),
    lines = linesOf(doc, resting),
    ridges = ridgesOf(doc, resting);
  if (!points.length && !doc.roofs.length)
    return noChart('roofline-chart', TITLE, 'Not drawn: this run holds neither a measured roof nor a measured trial.');
  const keys = ['prefill', 'decode']
    .flatMap((phase) =>
      hue.values.map((value) => ({
        key: `${phase} ${value}`,
        name: `${phase}, ${hue.name(value)}`,
        symbol: phase === 'prefill' ? 'circle' : 'diamond',
        colour: hue.ink(value),
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
  return chart({
    id: 'roofline-chart',
    title: TITLE,
    height: 470,
    keys,
    views: [viewOf([...points, ...opPoints], lines, ridges)],
    option: optionOf({points, opPoints, lines, ridges, hue}),
    caption: `Left of the ridge memory limits, right of it arithmetic does; the distance below the roof is what is lost. ${ridgeWords(ridges, lines.several)} Filled points: work counted by hardware; hollow: computed from shapes. Upright bars: 95 % interval. Bands: lowest and highest round of a roof that verdicts rest on; ${lines.several ? 'thin lines, small points: fewer threads; ' : ''}dashed: other roofs. ${opPoints.length ? `Small points: the ops of ${shortLabel(opTrial(doc))}. ` : ''}${[...points, ...opPoints].some((p) => p.v.cache) ? 'What stays in a cache stands at the intensity of what that cache sends. ' : ''}Some points coincide: the keys hide the ones on top.`,
    label: `Roofline chart: ${points.length} points of prefill and decode, ${opPoints.length} of their ops, and ${doc.roofs.length} measured roofs; the numbers are in the tables of trials and roofs.`,
  });
}
