// SPDX-License-Identifier: MIT
// How cost grows with length: the time of each decode step, the time until each token with the fitted power laws, and what the
// cache gains at each length.
import {above, axes, axisTip, band, bars, below, chart, noChart, tip} from './chart.js';
import {h, missing, table, tag} from './dom.js';
import {digits, known, list, ms, range} from './format.js';
import {armName, fitOf, longestPair, mainTrials, pairs, roofOf, shortLabel, unusual} from './model.js';
import {colour} from './theme.js';

const ARMS = ['on', 'off'];

const line = (data, ink, extra = {}) => ({
  type: 'line',
  silent: true,
  showSymbol: data.length < 8,
  symbol: 'circle',
  symbolSize: 5,
  clip: true,
  z: 5,
  data,
  lineStyle: {width: 1.8, color: ink},
  itemStyle: {color: ink},
  ...extra,
});

/* What a step would take at the roofs of its trial, from its analytic work. */
function roofMs(doc, t, s) {
  const value = (name) => roofOf(doc, t, name)?.value;
  const ms = 1e3 * Math.max(s.flops / value(t.decode?.verdict?.compute_roof), s.bytes / value('dram read'));
  return known(s.flops) && known(s.bytes) && known(ms) ? ms : null;
}

export function latency(doc) {
  const title = 'Each decode step',
    pair = longestPair(doc);
  const arms = ARMS.filter((kv) => pair[kv])
    .map((kv) => ({kv, t: pair[kv], steps: pair[kv].steps.filter((s) => s.phase === 'decode' && known(s.ms))}))
    .filter((a) => a.steps.length);
  if (!arms.length)
    return noChart('latency-chart', title, 'Not drawn: no trial of this run has a measured decode step.');
  const steps = arms.flatMap((a) => a.steps);
  const view = {x: [0, Math.max(...steps.map((s) => s.step)) + 1], y: [0, 1.15 * Math.max(...steps.map((s) => s.ms))]};
  const roofs = doc.ridge ? [{key: 'roof', name: 'at the roof', symbol: 'dot', colour: 'muted'}] : [];
  return chart({
    id: 'latency-chart',
    title,
    height: 340,
    views: [view],
    keys: [...arms.map((a) => ({key: a.kv, name: armName(a.kv), symbol: 'line', colour: a.kv})), ...roofs],
    caption: `Median over repetitions with its 95 % interval, ${list(arms.map((a) => shortLabel(a.t)))} (cache · prompt → new tokens). With the cache a step reads all weights once and does the work of one token; without it, it is a pass over everything so far.`,
    label: `Line chart of milliseconds for each decode step, ${arms.map((a) => `${armName(a.kv)}: first ${ms(a.steps[0].ms)}, last ${ms(a.steps[a.steps.length - 1].ms)}`).join('; ')}.`,
    option: ({view: v, shown}) => ({
      ...axes(v, 'decode step', 'ms a step'),
      tooltip: axisTip((x) =>
        latencyTip(
          arms.filter((a) => shown(a.kv)),
          Math.round(x),
        ),
      ),
      series: arms
        .filter((a) => shown(a.kv))
        .flatMap((a) => [
          band(
            a.steps.filter((s) => known(s.lo) && known(s.hi)).map((s) => [s.step, s.lo, s.hi]),
            colour(a.kv),
            0.22,
          ),
          line(
            a.steps.map((s) => [s.step, s.ms]),
            colour(a.kv),
          ),
          ...(shown('roof') && doc.ridge
            ? [
                line(
                  a.steps.map((s) => [s.step, roofMs(doc, a.t, s)]),
                  colour(a.kv),
                  {showSymbol: false, lineStyle: {width: 1.2, type: [2, 3], color: colour(a.kv)}},
                ),
              ]
            : []),
        ]),
    }),
  });
}

function latencyTip(arms, step) {
  return tip(
    `decode step ${step}`,
    arms.flatMap((a) => {
      const s = a.steps.find((x) => x.step === step);
      return s
        ? [
            [armName(a.kv), range({median: s.ms, lo: s.lo, hi: s.hi}, 'ms')],
            ['attends to', `${s.kv_len} tokens`],
          ]
        : [];
    }),
  );
}

const curve = (f, from, to) =>
  [...Array(41)].map((_, i) => from * (to / from) ** (i / 40)).map((x) => [x, f.coefficient * x ** f.exponent]);
const power = (f) => [`${digits(f.coefficient)} ms × T`, h('sup', null, digits(f.exponent))];
const raised = (theory) => theory.replaceAll('^2', '²').replaceAll('^3', '³');

function growthArms(doc) {
  const pair = longestPair(doc);
  return ARMS.map((kv) => ({
    kv,
    t: pair[kv],
    fit: fitOf(doc, kv, 'total_ms'),
    steps: (pair[kv]?.steps || []).filter((s) => known(s.cumulative_ms)).map((s) => [s.step + 1, s.cumulative_ms]),
  })).filter((a) => a.steps.length);
}

function growthViews(arms) {
  const xs = arms.flatMap((a) => a.steps.map((p) => p[0])),
    ys = arms.flatMap((a) => a.steps.map((p) => p[1]));
  const maxX = Math.max(...xs),
    maxY = Math.max(...ys);
  return [
    {
      name: 'Log axes',
      x: [1, above(maxX * 1.2)],
      y: [below(Math.min(...ys)), above(maxY * 1.2)],
      logX: true,
      logY: true,
    },
    {name: 'Linear axes', x: [0, maxX * 1.05], y: [0, maxY * 1.1]},
  ];
}

export function cumulative(doc) {
  const title = 'Time until the T-th token',
    arms = growthArms(doc);
  if (!arms.length) return noChart('growth-chart', title, 'Not drawn: no trial of this run has measured steps.');
  const fitted = arms.filter((a) => a.fit && known(a.fit.exponent) && known(a.fit.coefficient));
  return chart({
    id: 'growth-chart',
    title,
    height: 340,
    views: growthViews(arms),
    keys: [
      ...arms.map((a) => ({key: a.kv, name: armName(a.kv), symbol: 'line', colour: a.kv})),
      ...(fitted.length ? [{key: 'fit', name: 'fit', symbol: 'dash', colour: 'muted'}] : []),
    ],
    caption: fitted.length
      ? [
          'Lines: sum of the step medians. Rings: measured totals of each length. Dashed: power law through the rings, ',
          fitted.map((a, i) => [
            i > 0 && '; ',
            `${armName(a.kv)}: `,
            power(a.fit),
            a.fit.theory ? ` (theory ${raised(a.fit.theory)})` : null,
          ]),
          '.',
        ]
      : 'Lines: sum of the step medians. No power law: too few lengths of an arm.',
    label: `Line chart of cumulative milliseconds against generated tokens. ${fitted.map((a) => `${armName(a.kv)} grows with exponent ${digits(a.fit.exponent)}`).join('; ')}`,
    option: ({view: v, shown}) => ({
      ...axes(v, 'generated tokens T', 'ms'),
      tooltip: axisTip((x) =>
        tip(
          `${Math.round(x)} tokens`,
          arms
            .filter((a) => shown(a.kv))
            .map((a) => [armName(a.kv), ms(a.steps.find((p) => p[0] === Math.round(x))?.[1])]),
        ),
      ),
      series: arms
        .filter((a) => shown(a.kv))
        .flatMap((a) => [
          line(a.steps, colour(a.kv)),
          ...(shown('fit') && fitted.includes(a)
            ? [
                line(curve(a.fit, a.fit.points[0]?.[0] || 1, v.x[1]), colour(a.kv), {
                  z: 4,
                  showSymbol: false,
                  tooltip: {show: false},
                  lineStyle: {width: 1.6, type: [6, 4], color: colour(a.kv), opacity: 0.9},
                }),
                {
                  type: 'scatter',
                  silent: true,
                  symbol: 'circle',
                  symbolSize: 8,
                  z: 6,
                  clip: true,
                  data: a.fit.points,
                  itemStyle: {color: colour('surface'), borderColor: colour(a.kv), borderWidth: 2},
                },
              ]
            : []),
        ]),
    }),
  });
}

export function speedup(doc) {
  const title = 'What the cache gains',
    found = pairs(doc).filter((p) => p.speedup);
  if (!found.length)
    return noChart('speedup-chart', title, 'Not drawn: no length was finished both with and without the cache.');
  const lengths = found.map((p) => String(p.new_tokens)),
    s = found.map((p) => p.speedup);
  return chart({
    id: 'speedup-chart',
    title,
    height: 300,
    keys: [],
    caption: `Total time without the cache over total time with it, by generated tokens. Bars: the widest ratio that both 95 % intervals allow. Above 1 the cache wins.`,
    label: `Chart of speed-up by length: ${found.map((p) => `${digits(p.speedup.median)} at ${p.new_tokens} tokens`).join(', ')}.`,
    option: () => {
      const base = axes(
        {x: [0, 1], y: [0, Math.max(1.1, ...s.flatMap((x) => [x.median, x.hi ?? 0])) * 1.2]},
        'generated tokens',
        '× faster',
      );
      return {
        ...base,
        xAxis: {
          ...base.xAxis,
          type: 'category',
          data: lengths,
          min: undefined,
          max: undefined,
          axisLabel: {color: colour('muted')},
          splitLine: {show: false},
        },
        tooltip: {formatter: (q) => (found[q.dataIndex] ? speedupTip(found[q.dataIndex]) : '')},
        series: [
          {
            type: 'line',
            symbol: 'circle',
            symbolSize: 10,
            z: 5,
            data: s.map((x) => x.median),
            lineStyle: {width: 1.8, color: colour('accent')},
            itemStyle: {color: colour('accent')},
            markLine: {
              silent: true,
              symbol: 'none',
              animation: false,
              lineStyle: {color: colour('line-strong'), type: 'dashed'},
              label: {position: 'insideEndBottom', formatter: 'no gain', color: colour('muted')},
              data: [{yAxis: 1}],
            },
          },
          {
            type: 'scatter',
            silent: true,
            symbolSize: 1,
            itemStyle: {color: 'transparent'},
            z: 6,
            data: s.map((x) => Math.max(x.median, x.hi ?? 0)),
            label: {
              show: true,
              position: 'top',
              distance: 9,
              formatter: (q) => `${digits(s[q.dataIndex].median)}×`,
              color: colour('ink'),
              fontWeight: 600,
            },
          },
          bars(
            s.flatMap((x, i) => (known(x.lo) ? [[i, x.lo, x.hi]] : [])),
            colour('accent'),
          ),
        ],
      };
    },
  });
}

/* The same as a table, with both times. */
export function speedupTable(doc) {
  const found = pairs(doc);
  const cell = (e) =>
    e && known(e.median)
      ? [digits(e.median), known(e.lo) && h('small', null, ` [${digits(e.lo)}, ${digits(e.hi)}]`)]
      : missing('not measured');
  if (!found.length) return null;
  return table(
    'Total time with and without the cache',
    [{head: 'new tokens'}, {head: 'off, ms', tag: 'timer'}, {head: 'on, ms', tag: 'timer'}, {head: 'speed-up'}],
    found.map((p) => [String(p.new_tokens), cell(p.off.total_ms), cell(p.on.total_ms), cell(p.speedup)]),
  );
}

const speedupTip = (p) =>
  tip(`${p.new_tokens} new tokens`, [
    ['speed-up', range(p.speedup)],
    ['without', range(p.off.total_ms, 'ms')],
    ['with', range(p.on.total_ms, 'ms')],
  ]);

const METRIC = {
  total_ms: 'total time',
  flops: 'FLOPs',
  bytes: 'bytes',
  decode_ms: 'decode time',
  prefill_ms: 'prefill time',
};

/* The exponents beside the theory. */
export function exponents(doc) {
  if (!doc.fits.length)
    return h('p', null, missing('No growth exponents: too few lengths of an arm were finished for a fit.'));
  const cell = (x) => (known(x) ? digits(x) : missing('not known'));
  const rows = doc.fits.map((f) => [
    [armName(f.arm.kv_cache), `prompt ${f.arm.prompt_tokens}`, ...unusual(doc, f.arm)].join(', '),
    METRIC[f.metric] || f.metric,
    tag(f.source),
    known(f.exponent)
      ? [
          digits(f.exponent),
          known(f.lo) && known(f.hi) ? h('small', null, ` [${digits(f.lo)}, ${digits(f.hi)}]`) : null,
        ]
      : missing('too few lengths'),
    cell(f.theory_here),
    f.theory ? raised(f.theory) : missing('none stated'),
    known(f.theory_lo) ? `${f.theory_lo} to ${f.theory_hi}` : missing('none stated'),
  ]);
  const spans = mainTrials(doc).map((t) => t.new_tokens);
  return [
    table(
      'Growth with length: exponents of y = c × T^exponent',
      [
        {head: 'arm'},
        {head: 'quantity'},
        {head: 'from'},
        {head: 'exponent'},
        {head: 'FLOPs here', tag: 'analytic'},
        {head: 'theory'},
        {head: 'its exponent'},
      ],
      rows,
    ),
    spans.length
      ? h(
          'p',
          {class: 'note'},
          `The theory's exponents are limits: the lower where the weights' share of the work dominates, the upper for very long texts. ` +
            `At ${Math.min(...spans)} to ${Math.max(...spans)} tokens the prompt and the vocabulary head, which the theory leaves out, still count, so “FLOPs here”, the slope of the analytic FLOPs at these very lengths, is the one to compare with.`,
        )
      : null,
  ];
}
