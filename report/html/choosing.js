// SPDX-License-Identifier: MIT
// What choosing the next token takes of a decode step: one bar a strategy, and the table of all trials.
import {axes, chart, tip} from './chart.js';
import {h, missing, section, table} from './dom.js';
import {digits, known, ms, percent, range} from './format.js';
import {shortLabel, strategyTrials} from './model.js';
import {colour} from './theme.js';

const GREEDY = 'the largest logit';
const PARTS = [
  {key: 'pass', name: 'the pass through the model', symbol: 'circle', colour: 'muted'},
  {key: 'choosing', name: 'choosing the token', symbol: 'circle', colour: 'bad'},
];

const parts = (t) => ({choosing: t.sample.ms.median, pass: Math.max(0, t.decode.ms.median - t.sample.ms.median)});

function stepChart(trials) {
  const names = trials.map((t) => t.strategy);
  const most = Math.max(...trials.map((t) => t.decode.ms.median));
  return chart({
    id: 'choosing-chart',
    title: 'Where a decode step goes',
    height: 90 + 34 * trials.length,
    keys: PARTS,
    caption: `Medians of a decode step, ${shortLabel(trials[0])} (cache · prompt → new tokens), and the part of it that chooses its tokens.`,
    label: `Bar chart of a decode step by strategy: ${trials.map((t) => `${t.strategy} ${ms(t.decode.ms.median)}, of it choosing ${ms(t.sample.ms.median)}`).join('; ')}.`,
    option: ({shown}) => ({
      ...axes({x: [0, 1.1 * most], y: [0, 1]}, 'ms a step', ''),
      grid: {left: 72, right: 18, top: 10, bottom: 44},
      yAxis: {
        type: 'category',
        data: names,
        inverse: true,
        axisLabel: {color: colour('muted')},
        axisLine: {show: false},
        axisTick: {show: false},
      },
      tooltip: {formatter: (q) => stepTip(trials[q.dataIndex])},
      series: PARTS.filter((p) => shown(p.key)).map((p) => ({
        type: 'bar',
        stack: 'step',
        barWidth: 18,
        itemStyle: {color: colour(p.colour)},
        data: trials.map((t) => parts(t)[p.key]),
      })),
    }),
  });
}

const stepTip = (t) =>
  tip(`${t.strategy}: ${t.sampling || GREEDY}`, [
    ['a step', range(t.decode.ms, 'ms')],
    ['choosing', range(t.sample.ms, 'ms')],
    ['of the step', percent(t.sample.share?.median)],
  ]);

function row(t) {
  const none = t.decode ? missing('not measured') : missing('one token: no decode');
  const share = t.sample?.share;
  return [
    shortLabel(t),
    t.sampling || GREEDY,
    range(t.sample?.ms) || none,
    known(t.sample?.us_per_token) ? digits(t.sample.us_per_token) : none,
    share && known(share.median)
      ? [
          percent(share.median),
          known(share.lo) && share.n > 1
            ? h('small', null, ` [${digits(100 * share.lo)}, ${digits(100 * share.hi)}]`)
            : null,
        ]
      : none,
  ];
}

export function choosing(doc) {
  const compared = strategyTrials(doc);
  return section(
    'choosing',
    'Choosing the next token',
    h(
      'p',
      {class: 'note'},
      'The time of the op “sample” within each decode step: from logits to tokens, with beams also the caches that change rows. A token counts once for each sequence, however many beams it took. End-of-text tokens do not end a run.',
    ),
    compared.length > 1 ? stepChart(compared) : null,
    doc.trials.length
      ? table(
          'Choosing, of a decode step',
          [
            {head: 'trial'},
            {head: 'chooses by', wide: true},
            {head: 'ms a step', tag: 'timer'},
            {head: 'µs a token'},
            {head: 'of the step'},
          ],
          doc.trials.map(row),
        )
      : h('p', null, missing('No trial was begun.')),
  );
}
