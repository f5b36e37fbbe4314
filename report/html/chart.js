// SPDX-License-Identifier: MIT
// The frame of every chart: a figure with title, words, a legend whose keys switch series off and on, zoom and pan, redrawn
// when width or theme changes. Zooming moves the axes' own ends, in log space where an axis is logarithmic: the chart library's
// dataZoom is linear on log axes. Tooltips are elements, not markup, because the page's policy refuses inline styles.
import * as echarts from 'echarts/core';
import {BarChart, CustomChart, LineChart, ScatterChart} from 'echarts/charts';
import {GridComponent, MarkLineComponent, TooltipComponent} from 'echarts/components';
import {LabelLayout} from 'echarts/features';
import {SVGRenderer} from 'echarts/renderers';
import {h, svg} from './dom.js';
import {colour, onTheme} from './theme.js';

echarts.use([
  BarChart,
  CustomChart,
  LabelLayout,
  LineChart,
  ScatterChart,
  GridComponent,
  MarkLineComponent,
  TooltipComponent,
  SVGRenderer,
]);

const PRINT_WIDTH = 660;
const scale = (ends, at, k, log) =>
  ends.map((v) => (log ? 10 ** (Math.log10(at) + (Math.log10(v) - Math.log10(at)) * k) : at + (v - at) * k));
const middle = (ends, log) => (log ? Math.sqrt(ends[0] * ends[1]) : (ends[0] + ends[1]) / 2);
const copy = (view) => ({...view, x: [...view.x], y: [...view.y]});

/* title, caption: words above; label: what a screen reader is told; keys: [{key, name, symbol, colour, hollow}]; views: [{x, y,
 * logX, logY, level, name}], the first is shown, more get a button; none: no zoom; level: only x moves. option({view, shown,
 * width}) gives the chart. A chart that is taken out of the page rests until it is put back. */
export function chart({id, title, caption, label, keys = [], views = [], height = 380, option}) {
  const box = h('div', {class: 'chart', role: 'img', 'aria-label': label, 'data-height': height});
  const hidden = new Set();
  const state = {instance: null, view: views.length ? copy(views[0]) : null, home: 0, printing: false};

  box.style.height = `${height}px`;
  const draw = () => {
    if (!state.instance || box.clientWidth === 0) return;
    const context = {view: state.view, shown: (key) => !hidden.has(key), width: box.clientWidth};
    const base = frame(),
      own = option(context);
    state.instance.setOption({...base, ...own, tooltip: {...base.tooltip, ...own.tooltip}}, {notMerge: true});
  };
  const zoom = (k, x, y) => {
    const v = state.view;
    v.x = scale(v.x, x ?? middle(v.x, v.logX), k, v.logX);
    if (!v.level) v.y = scale(v.y, y ?? middle(v.y, v.logY), k, v.logY);
    draw();
  };
  const reset = () => {
    state.view = copy(views[state.home]);
    draw();
  };
  new ResizeObserver(() => {
    if (!state.instance && box.clientWidth > 0) {
      state.instance = echarts.init(box, null, {renderer: 'svg'});
      if (state.view) pointer(state, zoom, reset, draw);
    }
    if (!state.printing && box.clientWidth > 0) state.instance?.resize();
    draw();
  }).observe(box);
  onTheme(draw);
  printing(state, draw);

  const tools = views.length
    ? h(
        'div',
        {class: 'tools'},
        views.length > 1 && modeButton(views, state, reset),
        h('button', {type: 'button', 'aria-label': `Zoom in: ${title}`, onclick: () => zoom(0.7)}, '+'),
        h('button', {type: 'button', 'aria-label': `Zoom out: ${title}`, onclick: () => zoom(1.4)}, '\u2212'),
        h('button', {type: 'button', 'aria-label': `Reset zoom: ${title}`, onclick: reset}, 'Reset'),
      )
    : null;
  return h(
    'figure',
    {id, class: 'plot'},
    h('figcaption', null, h('h3', null, title), h('p', null, caption)),
    legend(keys, hidden, draw),
    box,
    h(
      'div',
      {class: 'bar'},
      views.length ? [h('p', {class: 'hint'}, 'Drag moves, Ctrl + wheel zooms, double-click resets.'), tools] : null,
    ),
  );
}

/* In place of a chart that has nothing to show. */
export function noChart(id, title, words) {
  return h(
    'figure',
    {id, class: 'plot empty'},
    h('figcaption', null, h('h3', null, title)),
    h('p', {class: 'missing'}, words),
  );
}

function frame() {
  return {
    animation: false,
    textStyle: {fontFamily: 'system-ui, sans-serif', color: colour('ink')},
    tooltip: {
      trigger: 'item',
      confine: true,
      className: 'tip',
      backgroundColor: colour('surface'),
      borderColor: colour('line-strong'),
      borderWidth: 1,
      padding: [8, 10],
      textStyle: {color: colour('ink'), fontSize: 13},
      transitionDuration: 0,
    },
  };
}

function modeButton(views, state, reset) {
  const button = h(
    'button',
    {
      type: 'button',
      onclick: () => {
        state.home = (state.home + 1) % views.length;
        button.textContent = views[(state.home + 1) % views.length].name;
        reset();
      },
    },
    views[1].name,
  );
  return button;
}

/* No script runs while the browser lays out a print, so the width of a page is set beforehand. */
function printing(state, draw) {
  addEventListener('beforeprint', () => {
    const width = state.instance?.getWidth();
    state.printing = true;
    if (width > PRINT_WIDTH) state.instance.resize({width: PRINT_WIDTH});
    draw();
  });
  addEventListener('afterprint', () => {
    state.printing = false;
    state.instance?.resize({width: 'auto'});
    draw();
  });
}

function pointer(state, zoom, reset, draw) {
  const zr = state.instance.getZr();
  const inside = (e) => state.instance.containPixel({gridIndex: 'all'}, [e.offsetX, e.offsetY]);
  const at = (e) => state.instance.convertFromPixel({gridIndex: 0}, [e.offsetX, e.offsetY]);
  let held = null;

  zr.on('mousewheel', (e) => {
    if (!inside(e) || !(e.event.ctrlKey || e.event.metaKey)) return;
    e.event.preventDefault();
    zoom(e.wheelDelta > 0 ? 0.8 : 1.25, ...at(e));
  });
  zr.on('mousedown', (e) => {
    held = inside(e) && !e.event.zrByTouch ? at(e) : null;
  });
  zr.on('mouseup', () => (held = null));
  zr.on('globalout', () => (held = null));
  zr.on('mousemove', (e) => {
    if (!held) return;
    const [x, y] = at(e),
      v = state.view;
    v.x = v.x.map((end) => (v.logX ? end * (held[0] / x) : end + held[0] - x));
    if (!v.level) v.y = v.y.map((end) => (v.logY ? end * (held[1] / y) : end + held[1] - y));
    draw();
  });
  zr.on('dblclick', reset);
}

function legend(keys, hidden, draw) {
  return h(
    'ul',
    {class: 'legend'},
    keys.map((k) => {
      const button = h(
        'button',
        {
          type: 'button',
          'aria-pressed': 'true',
          onclick: () => {
            if (!hidden.delete(k.key)) hidden.add(k.key);
            button.setAttribute('aria-pressed', String(!hidden.has(k.key)));
            draw();
          },
        },
        mark(k),
        k.name,
      );
      return h('li', null, button);
    }),
  );
}

/* The little picture of a key, coloured by class so that it follows the theme. */
export function mark(k) {
  const shape = {
    circle: () => svg('circle', {cx: 9, cy: 7, r: 5}),
    bar: () => svg('rect', {x: 2, y: 2, width: 14, height: 10}),
    diamond: () => svg('path', {d: 'M9 0.5 L15.5 7 L9 13.5 L2.5 7 Z'}),
    triangle: () => svg('path', {d: 'M9 1.5 L15 12.5 L3 12.5 Z'}),
    line: () => svg('path', {d: 'M0 7 H18'}),
    dash: () => svg('path', {d: 'M0 7 H18', 'stroke-dasharray': '5 3'}),
    dot: () => svg('path', {d: 'M0 7 H18', 'stroke-dasharray': '2 3'}),
  }[k.symbol]();
  const stroked = ['line', 'dash', 'dot'].includes(k.symbol) || k.hollow;
  return svg(
    'svg',
    {
      class: `mark ${stroked ? 'stroked' : 'solid'} c-${k.colour}`,
      width: 18,
      height: 14,
      viewBox: '0 0 18 14',
      'aria-hidden': 'true',
    },
    shape,
  );
}

/* The next 1, 2 or 5 times a power of ten: ends of a log axis that read well. */
const nice = (v, choose) => {
  const decade = 10 ** Math.floor(Math.log10(v));
  return choose([1, 2, 5, 10].map((d) => d * decade));
};
export const below = (v) => nice(v, (steps) => steps.filter((s) => s <= v * 1.0001).pop());
export const above = (v) => nice(v, (steps) => steps.find((s) => s >= v * 0.9999));

/* "1", "0.5", "1,000" on an axis. */
const tick = (v) => Number(v.toPrecision(3)).toLocaleString('en-US', {maximumSignificantDigits: 3});

/* Two value axes of a view; the y name stands above the axis, where it can be read. */
export function axes(view, xName, yName) {
  const one = (ends, log, name) => ({
    type: log ? 'log' : 'value',
    min: ends[0],
    max: ends[1],
    name,
    nameTextStyle: {color: colour('muted'), fontSize: 12},
    axisLabel: {
      color: colour('muted'),
      hideOverlap: true,
      formatter: tick,
      showMinLabel: log ? undefined : Number.isInteger(ends[0]),
      showMaxLabel: log ? undefined : false,
    },
    axisLine: {show: true, onZero: false, lineStyle: {color: colour('line-strong')}},
    splitLine: {show: true, lineStyle: {color: colour('line')}},
    ...(log
      ? {
          minorTick: {show: true, splitNumber: 9},
          minorSplitLine: {show: true, lineStyle: {color: colour('line-faint')}},
        }
      : {}),
  });
  return {
    grid: {left: 52, right: 18, top: 30, bottom: 44},
    xAxis: {...one(view.x, view.logX, xName), nameLocation: 'middle', nameGap: 26},
    yAxis: {
      ...one(view.y, view.logY, yName),
      nameLocation: 'end',
      nameGap: 12,
      nameTextStyle: {color: colour('muted'), fontSize: 12, align: 'left', padding: [0, 0, 0, -46]},
    },
  };
}

/* A filled stretch between lo and hi: points [[x, lo, hi], ...]. Drawn by hand, as stacking is wrong on a log axis. */
export function band(points, fill, opacity = 0.16) {
  return {
    type: 'custom',
    silent: true,
    clip: true,
    z: 1,
    data: [0],
    tooltip: {show: false},
    renderItem: (_, api) => ({
      type: 'polygon',
      silent: true,
      style: {fill, opacity},
      shape: {
        points: [
          ...points.map((p) => api.coord([p[0], p[1]])),
          ...[...points].reverse().map((p) => api.coord([p[0], p[2]])),
        ],
      },
    }),
  };
}

/* Upright bars from lo to hi: points [[x, lo, hi], ...]. */
export function bars(points, stroke) {
  return {
    type: 'custom',
    silent: true,
    clip: true,
    z: 8,
    data: points,
    tooltip: {show: false},
    renderItem: (_, api) => {
      const [x, lo] = api.coord([api.value(0), api.value(1)]),
        hi = api.coord([api.value(0), api.value(2)])[1];
      const line = (x1, y1, x2, y2) => ({
        type: 'line',
        silent: true,
        shape: {x1, y1, x2, y2},
        style: {stroke, lineWidth: 1.4},
      });
      return {
        type: 'group',
        silent: true,
        children: [line(x, lo, x, hi), line(x - 4, lo, x + 4, lo), line(x - 4, hi, x + 4, hi)],
      };
    },
  };
}

/* Points at x wherever the mouse is, and says what render(x) says. */
export const axisTip = (render) => ({
  trigger: 'axis',
  formatter: (q) => (q.length ? render(q[0].axisValue) : ''),
  axisPointer: {type: 'line', lineStyle: {color: colour('line-strong')}, label: {show: false}},
});

/* The inside of a tooltip: a heading and rows of [name, value]; rows without a value are left out. */
export function tip(heading, rows) {
  return h(
    'div',
    null,
    h('strong', null, heading),
    h(
      'dl',
      null,
      rows
        .filter((r) => r[1] !== null && r[1] !== undefined)
        .map(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
    ),
  );
}
