// SPDX-License-Identifier: MIT
// The noise witness: how far each timed repetition lies from its trial's median, and what else ran on the machine meanwhile.
// Marked repetitions stay in the figures; they are shown so that a reader can judge an interval.
import {axes, chart, noChart, tip} from './chart.js';
import {h, missing, table} from './dom.js';
import {digits, known, ms, percent, whole} from './format.js';
import {marks, shortLabel, typicalFrequency} from './model.js';
import {colour} from './theme.js';

const median = (xs) => {
  const s = [...xs].sort((a, b) => a - b),
    m = s.length >> 1;
  return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
};

function repetitionsOf(doc) {
  const frequency = typicalFrequency(doc);
  return doc.trials.flatMap((t, row) => {
    const timed = (t.witness || []).filter((w) => w.pass === 'time' && known(w.wall_ms));
    const kept = timed.filter((w) => !w.warmup).map((w) => w.wall_ms);
    if (!kept.length) return [];
    const middle = median(kept);
    return timed.map((w) => ({
      t,
      row,
      w,
      found: marks(w, frequency),
      off: 100 * (w.wall_ms / middle - 1),
      kind: w.warmup ? 'warmup' : marks(w, frequency).length ? 'marked' : 'quiet',
    }));
  });
}

/* A longer table is folded away. */
const ROWS_SHOWN = 10;

const KINDS = {
  quiet: {name: 'quiet', symbol: 'circle', colour: 'accent'},
  marked: {name: 'something else ran', symbol: 'triangle', colour: 'bad'},
  warmup: {name: 'warm-up, not in the figures', symbol: 'circle', colour: 'muted', hollow: true},
};

export function noiseChart(doc) {
  const title = 'Repetitions against their median',
    points = repetitionsOf(doc);
  if (!points.length) return noChart('noise-chart', title, 'Not drawn: no timed repetition was finished.');
  const labels = doc.trials.map(shortLabel),
    offs = points.map((p) => p.off);
  const ends = [Math.min(-5, 5 * Math.floor(Math.min(...offs) / 5)), Math.max(5, 5 * Math.ceil(Math.max(...offs) / 5))];
  return chart({
    id: 'noise-chart',
    title,
    height: 80 + 26 * labels.length,
    keys: Object.entries(KINDS)
      .filter(([kind]) => points.some((p) => p.kind === kind))
      .map(([key, k]) => ({key, ...k})),
    caption:
      'One mark a repetition of the timing pass: its wall time, prefill to last token, as a difference from the median of its trial.',
    label: `Strip chart: ${points.length} repetitions, ${points.filter((p) => p.kind === 'marked').length} of them while something else ran.`,
    option: ({shown, width}) => {
      const longest = Math.max(...labels.map((l) => l.length));
      const base = axes({x: ends, y: [0, 1]}, '% from the median', '');
      return {
        ...base,
        grid: {left: Math.max(104, Math.min(6.6 * longest, 0.4 * width)), right: 18, top: 10, bottom: 44},
        yAxis: {
          type: 'category',
          data: labels,
          inverse: true,
          axisLabel: {color: colour('muted'), width: 0.4 * width - 12, overflow: 'truncate'},
          axisLine: {show: false},
          axisTick: {show: false},
          splitLine: {show: true, lineStyle: {color: colour('line')}},
        },
        tooltip: {formatter: (q) => repetitionTip(q.data.p)},
        series: Object.entries(KINDS)
          .filter(([kind]) => shown(kind))
          .map(([kind, k]) => ({
            type: 'scatter',
            symbol: k.symbol,
            symbolSize: kind === 'marked' ? 10 : 8,
            clip: true,
            itemStyle: k.hollow
              ? {color: colour('surface'), borderColor: colour(k.colour), borderWidth: 1.5}
              : {color: colour(k.colour), opacity: 0.75},
            data: points.filter((p) => p.kind === kind).map((p) => ({value: [p.off, p.row], p})),
          })),
      };
    },
  });
}

const repetitionTip = (p) =>
  tip(`${shortLabel(p.t)}, ${p.w.warmup ? 'warm-up' : `repetition ${p.w.rep + 1}`}`, [
    ['wall', `${ms(p.w.wall_ms)} (${p.off > 0 ? '+' : ''}${p.off.toFixed(1)} %)`],
    ['other processes', known(p.w.other_busy) ? `${digits(p.w.other_busy)} CPUs` : null],
    ['switches', whole(p.w.switches_involuntary)],
    ['steal', known(p.w.steal_ticks) ? `${p.w.steal_ticks} ticks` : null],
    ['interrupts', known(p.w.interrupts) ? whole(p.w.interrupts) : null],
    ['frequency', known(p.w.frequency_hz) ? `${digits(p.w.frequency_hz / 1e9)} GHz` : null],
    ['heat slowed it', known(p.w.throttled) ? `${p.w.throttled} times` : null],
    ['threads beside ours', known(p.w.sibling_busy) ? `${digits(p.w.sibling_busy)} CPUs` : null],
    ['huge pages', percent(p.w.huge_share)],
    ['other NUMA nodes', percent(p.w.remote_share)],
    ['marked', p.found.join('; ') || 'no'],
  ]);

export function noiseTable(doc) {
  const frequency = typicalFrequency(doc);
  const marked = doc.trials.flatMap((t) =>
    (t.witness || []).filter((w) => !w.warmup && marks(w, frequency).length).map((w) => ({t, w})),
  );
  const all = doc.trials.flatMap((t) => (t.witness || []).filter((w) => !w.warmup)).length;
  if (!all) return h('p', null, missing('No repetition was finished, so there is nothing to mark.'));
  const sentence = h(
    'p',
    null,
    marked.length
      ? `${marked.length} of ${all} repetitions are marked. They were kept: a median with its interval bears them, and dropping by hand would be a choice about the result.`
      : `None of ${all} repetitions is marked: no steal time, no disk faults, fewer than 20 involuntary switches each, other processes under 0.2 CPUs, no heat, no slower core, no memory elsewhere.`,
  );
  if (!marked.length) return sentence;
  const cell = (x, text) => (known(x) ? text : missing('unknown'));
  const rows = table(
    'Marked repetitions: CPU time of other processes and on hardware threads beside ours, time taken by the hypervisor, involuntary context switches, page faults from disk, interrupts of the machine, the main core’s frequency, times that heat slowed it, memory in huge pages and on other NUMA nodes',
    [
      {head: 'trial'},
      {head: 'pass'},
      {head: 'repetition'},
      {head: 'wall, ms', tag: 'timer'},
      {head: 'others, CPUs', tag: 'os'},
      {head: 'steal', tag: 'os'},
      {head: 'switches', tag: 'os'},
      {head: 'major faults', tag: 'os'},
      {head: 'interrupts', tag: 'os'},
      {head: 'GHz', tag: 'timer'},
      {head: 'heat', tag: 'os'},
      {head: 'beside, CPUs', tag: 'os'},
      {head: 'huge', tag: 'os'},
      {head: 'elsewhere', tag: 'os'},
    ],
    marked.map(({t, w}) => [
      shortLabel(t),
      w.pass,
      w.rep + 1,
      cell(w.wall_ms, digits(w.wall_ms)),
      cell(w.other_busy, digits(w.other_busy)),
      cell(w.steal_ticks, whole(w.steal_ticks)),
      cell(w.switches_involuntary, whole(w.switches_involuntary)),
      cell(w.page_faults_major, whole(w.page_faults_major)),
      cell(w.interrupts, whole(w.interrupts)),
      cell(w.frequency_hz, digits(w.frequency_hz / 1e9)),
      cell(w.throttled, whole(w.throttled)),
      cell(w.sibling_busy, digits(w.sibling_busy)),
      cell(w.huge_share, percent(w.huge_share)),
      cell(w.remote_share, percent(w.remote_share)),
    ]),
  );
  return [
    sentence,
    marked.length > ROWS_SHOWN ? h('details', null, h('summary', null, 'The marked repetitions'), rows) : rows,
  ];
}
