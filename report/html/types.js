// SPDX-License-Identifier: MIT
// In what the model was computed: the bytes of its weights by type, and how far each way of computing takes the logits from
// those in float32.
import {h, missing, section, table} from './dom.js';
import {bytes, digits, known, percent, whole} from './format.js';
import {axisWords, unusual, valuesOf} from './model.js';

const ARITHMETIC = {
  f32: 'float32',
  f16: 'float16 products, float32 sums',
  bf16: 'bfloat16 products, float32 sums',
  int8: '8-bit products, scaled and summed in float32',
};

/* Those of which no earlier one agrees in the axes. */
const distinct = (trials, axes) =>
  trials.filter((t, i) => !trials.slice(0, i).some((o) => axes.every((a) => o[a] === t[a])));

const weights = (doc) =>
  table(
    'Weights in memory',
    [{head: 'type'}, {head: 'bytes'}, {head: 'of float32'}, {head: 'multiplied in', wide: true}, {head: 'trials'}],
    distinct(doc.trials, ['dtype', 'arithmetic']).map((t) => {
      const full = doc.trials.find((o) => o.dtype === 'f32')?.weight_bytes || 4 * doc.model.parameters;
      return [
        t.dtype,
        bytes(t.weight_bytes) || missing('not recorded'),
        percent(t.weight_bytes / full) || missing('unknown'),
        ARITHMETIC[t.arithmetic] || t.arithmetic || missing('not recorded'),
        whole(doc.trials.filter((o) => o.dtype === t.dtype && o.arithmetic === t.arithmetic).length),
      ];
    }),
  );

const LOGIT_AXES = ['dtype', 'kv_dtype', 'gemm', 'attention'];

function accuracy(doc) {
  const measured = distinct(
    doc.trials.filter((t) => t.accuracy),
    LOGIT_AXES,
  );
  if (!measured.length)
    return h('p', null, missing('How far the logits are from those in float32 was not measured: measure.accuracy: on does it.'));
  return table(
    `Logits against those of the same model in float32, over ${measured[0].accuracy.positions} positions of a prompt; “of the deviation”: of the float32 logits’ standard deviation`,
    [
      {head: 'computed with'},
      {head: 'absolute', group: 'largest error'},
      {head: 'of the deviation', group: 'largest error'},
      {head: 'absolute', group: 'mean error'},
      {head: 'of the deviation', group: 'mean error'},
      {head: 'same largest logit'},
    ],
    measured.map((t) => {
      const a = t.accuracy;
      const cell = (x, text) => (known(x) ? text(x) : missing('unknown'));
      return [
        [axisWords('dtype', t.dtype), ...unusual(doc, t, ['batch', 'strategy', 'threads', 'dtype'])].join(' · '),
        cell(a.max_error, digits),
        cell(a.max_error / a.spread, percent),
        cell(a.mean_error, digits),
        cell(a.mean_error / a.spread, percent),
        cell(a.top1, percent),
      ];
    }),
  );
}

export function types(doc) {
  if (!valuesOf(doc.trials, 'dtype').length)
    return section('types', 'Types and accuracy', h('p', null, missing('No trial was begun.')));
  return section('types', 'Types and accuracy', weights(doc), accuracy(doc));
}
