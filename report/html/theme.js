// SPDX-License-Identifier: MIT
// Light and dark: follows the system until the reader presses the button; printing is always light. Colours live in page.css
// alone; charts read them from there.
import {h} from './dom.js';

const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = [];

function apply(theme) {
  if (root.dataset.theme === theme) return;
  root.dataset.theme = theme;
  listeners.forEach((f) => f());
}

export const onTheme = (f) => listeners.push(f);
export const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

export function themeButton() {
  let chosen = null;
  const wanted = () => chosen || (system.matches ? 'dark' : 'light');
  const button = h('button', {
    type: 'button',
    class: 'theme',
    onclick: () => {
      chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
      update();
    },
  });
  const update = () => {
    apply(wanted());
    button.textContent = root.dataset.theme === 'dark' ? 'Light theme' : 'Dark theme';
  };
  system.addEventListener('change', update);
  addEventListener('beforeprint', () => apply('light'));
  addEventListener('afterprint', update);
  update();
  return button;
}
