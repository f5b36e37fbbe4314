// SPDX-License-Identifier: MIT
// Joules and watts of the phases, of the GPU's board or the CPU's packages, where the machine tells; its reason where it does not.
import {h, missing, table} from './dom.js';
import {digits, known, range} from './format.js';
import {shortLabel} from './model.js';

const cells = (e) => [
  range(e?.joules) || missing('not measured'),
  known(e?.joules_per_token) ? digits(e.joules_per_token) : missing('unknown'),
  range(e?.watts) || missing('not measured'),
];

export function energy(doc) {
  const trials = doc.trials.filter((t) => t.energy);
  const absent = doc.absent.find((a) => a.what === (doc.device ? 'nvml' : 'rapl')),
    board = trials[0]?.energy.of === 'GPU board';
  if (!trials.length)
    return h(
      'p',
      null,
      missing(`Energy was not measured: ${absent ? absent.why : 'the suite asked for no probe of it'}.`.replace('..', '.')),
    );
  return table(
    `Energy of the ${board ? 'GPU’s board' : 'CPU packages'}, other processes’ share included; a token of prefill is one of the prompt`,
    [
      {head: 'trial'},
      ...['Prefill', 'Decode'].flatMap((group) => [
        {head: 'J', group, tag: board ? 'vendor' : 'os'},
        {head: 'J a token', group},
        {head: 'W', group},
      ]),
    ],
    trials.map((t) => [shortLabel(t), ...cells(t.energy.prefill), ...cells(t.energy.decode)]),
  );
}
