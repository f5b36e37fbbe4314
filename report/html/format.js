// SPDX-License-Identifier: MIT
// Numbers as text: three significant digits, ms, GFLOP/s, GB/s. Every function gives null for a missing value, and the caller
// says in words why it is missing.

export const known = (x) => typeof x === 'number' && Number.isFinite(x);

export function digits(x) {
  if (!known(x)) return null;
  if (x !== 0 && Math.abs(x) < 1e-4) return x.toExponential(1).replace('-', '\u2212').replace('+', '');
  return x
    .toLocaleString('en-US', {minimumSignificantDigits: x === 0 ? 1 : 3, maximumSignificantDigits: 3})
    .replace('-', '\u2212');
}

export const whole = (x) => (known(x) ? Math.round(x).toLocaleString('en-US') : null);

export function scaled(x, unit) {
  if (!known(x)) return null;
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
  let p = 0;
  while (Math.abs(x) >= 999.5 && p < prefixes.length - 1) {
    x /= 1000;
    p++;
  }
  return `${p ? digits(x) : Number(x.toPrecision(3))} ${prefixes[p]}${unit}`;
}

export const bytes = (x) => scaled(x, 'B');
export const flops = (x) => scaled(x, 'FLOP');
export const ms = (x) => (known(x) ? `${digits(x)} ms` : null);
export const rate = (x) => (known(x) ? `${digits(x)} token/s` : null);
export const percent = (x) => (known(x) ? `${digits(100 * x)} %` : null);
export const signed = (x) => (known(x) ? `${x > 0 ? '+' : ''}${digits(100 * x)} %` : null);
export const roofValue = (x, unit) =>
  unit === 'kernels/s' ? scaled(x, ' kernels/s')?.replace('  ', ' ') : scaled(x, unit === 'B/s' ? 'B/s' : 'FLOP/s');

/* "4.24 [4.20, 4.29]" */
export function range(e, unit = '') {
  if (!e || !known(e.median)) return null;
  const tail = unit && ` ${unit}`;
  return known(e.lo) && known(e.hi)
    ? `${digits(e.median)}${tail} [${digits(e.lo)}, ${digits(e.hi)}]`
    : `${digits(e.median)}${tail}`;
}

export const date = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : null);

/* "13, 64 and 128" */
export function list(words) {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`;
}

/* A token or prompt on one line, with what cannot be seen made visible. */
export const visible = (text) => JSON.stringify(text);
