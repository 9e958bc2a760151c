// One row a component: its spectrum, its name and pitch, how much energy it has, when it sounds.

import { announce, clamp, colour, h, icon, oncePerFrame, options, percent, prepare } from './dom.js';
import * as data from './store.js';

const { store } = data;

const DWELL_MS = 60;

const ORDERS = {
  energy: ['Loudest first', (a, b) => b.energy - a.energy],
  pitch: ['Highest first', (a, b) => (b.hertz || 0) - (a.hertz || 0) || b.energy - a.energy],
  source: ['By source', (a, b) => rank(a) - rank(b) || b.energy - a.energy],
  number: ['By number', (a, b) => a.index - b.index],
};

function rank(component) {
  const place = data.sources().findIndex((source) => source.components.includes(component.index));
  return place < 0 ? 999 : place;
}

// A whole source is called as its person calls it.
export function title(component) {
  const source = component.name && data.owner(component.index);
  if (source && source.components.length === 1) return source.name;
  return component.name || component.note || 'Noise';
}

// A whole source has a name that says it; a component is struck, or held.
function manner(component) {
  return component.name ? '' : `${component.manner}, `;
}

// What a component sounds like, in words: "E1, struck, dark".
export function words(component) {
  return `${title(component)}, ${manner(component)}${component.brightness}`;
}

export function sourceColour(source) {
  return source ? colour(`--source-${source.colour}`) : colour('--rest');
}

export class Rows {
  constructor(list, timeline, actions) {
    Object.assign(this, { list, timeline, actions });
    this.order = 'energy';
    this.items = new Map();
    this.factors = null;
    this.draw = oncePerFrame(() => this.paint());
    timeline.addEventListener('change', this.draw);
    new ResizeObserver(this.draw).observe(list);
    list.addEventListener('keydown', (event) => this.key(event));
  }

  static orders() {
    return Object.entries(ORDERS).map(([key, [text]]) => [key, text]);
  }

  setFactors(factors, picture) {
    this.factors = factors;
    this.picture = picture;
    this.draw();
  }

  rebuild() {
    this.items.clear();
    for (const component of data.model().components) this.items.set(component.index, this.make(component));
    this.arrange();
  }

  arrange() {
    const ordered = [...data.model().components].sort(ORDERS[this.order][1]);
    const focused = document.activeElement;
    this.list.replaceChildren(...ordered.map((component) => this.items.get(component.index).row));
    if (focused && this.list.contains(focused)) focused.focus({ preventScroll: true });
    this.update();
  }

  make(component) {
    const k = component.index;
    const said = `${words(component)}, number ${k}, ${percent(component.energy)} of the sound`;
    const shape = h('canvas', { class: 'shape', 'aria-hidden': 'true' });
    const strip = h('canvas', { class: 'strip', 'aria-hidden': 'true' });
    const name = h('span', { class: 'title' }, title(component), component.name ? null : h('span', { class: 'number' }, ` #${k}`));
    const hear = h(
      'button',
      { type: 'button', class: 'hear', 'aria-pressed': 'false', title: `${words(component)}: hear it alone (Enter)`, onclick: () => this.actions.hear(k) },
      shape,
      h(
        'span',
        { class: 'words' },
        name,
        h('span', { class: 'sub' }, percent(component.energy), h('span', { class: 'more' }, ` · ${manner(component)}${component.brightness}`)),
      ),
      h('span', { class: 'visually-hidden' }, ` ${manner(component)}${component.brightness}, hear alone`),
    );
    const check = h('input', { type: 'checkbox', class: 'check', 'aria-label': `Select ${said}`, onchange: () => this.select(k, check.checked) });
    const solo = this.toggle('S', `Solo component ${k}`, store.soloed, k);
    const mute = this.toggle('M', `Mute component ${k}`, store.muted, k);
    const choose = h('select', { class: 'choose', 'aria-label': `Source of component ${k}`, title: 'Source', onchange: () => this.actions.choose([k], choose.value) });
    const grip = h('span', { class: 'grip', 'aria-hidden': 'true', title: 'Drag into a source' }, icon('grip'));
    const head = h('div', { class: 'head' }, grip, check, hear, h('span', { class: 'toggles' }, solo, mute), choose);
    const row = h('li', { class: 'row', 'data-component': String(k) }, head, strip);
    for (const handle of [grip, hear]) handle.addEventListener('pointerdown', (event) => this.actions.drag(event, k));
    row.addEventListener('pointerenter', () => this.near(k));
    row.addEventListener('pointerleave', () => data.light(null));
    row.addEventListener('focusin', () => this.near(k));
    row.addEventListener('focusout', () => data.light(null));
    strip.addEventListener('pointerdown', (event) => this.actions.seek(event, strip));
    return { row, hear, title: name, check, solo, mute, choose, shape, strip, component };
  }

  // Light a component up; one that is looked at may be heard next.
  near(k) {
    data.light({ component: k });
    clearTimeout(this.dwell);
    this.dwell = setTimeout(() => this.actions.prepare(k), DWELL_MS);
  }

  toggle(letter, label, set, key) {
    return h('button', { type: 'button', class: `toggle ${letter}`, 'aria-label': label, title: label, 'aria-pressed': 'false', onclick: () => data.toggle(set, key) }, letter);
  }

  select(k, on) {
    if (on) store.selected.add(k);
    else store.selected.delete(k);
    data.emit('selection');
  }

  update() {
    const list = data.sources();
    const pairs = [[data.REST, 'rest'], ...list.map((source) => [source.id, source.name]), ['new', 'New source…']];
    const offered = JSON.stringify(pairs);
    for (const [k, item] of this.items) {
      const source = data.owner(k);
      item.row.style.setProperty('--own', sourceColour(source));
      item.title.firstChild.data = title(item.component);
      item.row.classList.toggle('selected', store.selected.has(k));
      item.check.checked = store.selected.has(k);
      if (item.offered !== offered) item.choose.replaceChildren(...options(pairs, ''));
      item.offered = offered;
      item.choose.value = source ? source.id : data.REST;
    }
    this.hear();
    this.draw();
  }

  // Show which are heard.
  hear() {
    const heard = data.gains();
    for (const [k, item] of this.items) {
      item.row.classList.toggle('silent', !heard[k]);
      item.hear.setAttribute('aria-pressed', String(store.soloed.has(k)));
      item.solo.setAttribute('aria-pressed', String(store.soloed.has(k)));
      item.mute.setAttribute('aria-pressed', String(store.muted.has(k)));
    }
  }

  paint() {
    if (!this.factors || !this.list.isConnected) return;
    const box = this.list.closest('.stage').getBoundingClientRect();
    for (const item of this.items.values()) {
      const place = item.row.getBoundingClientRect();
      if (place.bottom < box.top || place.top > box.bottom) continue;
      this.paintShape(item);
      this.paintStrip(item);
    }
  }

  paintShape({ shape, component }) {
    const { context, width, height } = prepare(shape);
    const { templates, rows } = this.factors;
    const first = component.index * rows;
    let top = 1e-12;
    for (let i = 0; i < rows; i += 1) top = Math.max(top, templates[first + i]);
    context.fillStyle = sourceColour(data.owner(component.index));
    context.beginPath();
    context.moveTo(0, height);
    for (let i = 0; i < rows; i += 1) {
      const decibels = 20 * Math.log10(Math.max(templates[first + rows - 1 - i] / top, 1e-6));
      context.lineTo((i / (rows - 1)) * width, height - clamp(1 + decibels / 50, 0.02, 1) * height);
    }
    context.lineTo(width, height);
    context.fill();
  }

  paintStrip({ strip, component }) {
    const { context, width, height } = prepare(strip);
    if (!width) return;
    const columns = Math.ceil(Math.min(width, 1200));
    const levels = this.picture.pooled(component.index, columns);
    const top = this.factors.tops[component.index] || 1;
    context.fillStyle = sourceColour(data.owner(component.index));
    const step = width / columns;
    context.beginPath();
    context.moveTo(0, height);
    for (let i = 0; i < columns; i += 1) {
      context.lineTo((i + 0.5) * step, height - 1 - Math.sqrt(levels[i] / top) * (height - 5));
    }
    context.lineTo(width, height);
    context.fill();
  }

  // Keys on a row: arrows move, Shift with them selects, digits give it to a source.
  key(event) {
    const row = event.target.closest('.row');
    if (!row || event.target.matches('select') || event.ctrlKey || event.metaKey || event.altKey) return;
    const k = Number(row.dataset.component);
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const other = event.key === 'ArrowDown' ? row.nextElementSibling : row.previousElementSibling;
      if (!other) return;
      event.preventDefault();
      const next = Number(other.dataset.component);
      if (event.shiftKey) {
        this.select(k, true);
        this.select(next, true);
      }
      this.items.get(next).hear.focus();
      other.scrollIntoView({ block: 'nearest' });
    } else if (/^[0-9]$/.test(event.key)) {
      event.preventDefault();
      this.actions.digit(this.chosen(k), Number(event.key));
    } else if (event.key === 's' || event.key === 'S') {
      data.toggle(store.soloed, k);
    } else if (event.key === 'm' || event.key === 'M') {
      data.toggle(store.muted, k);
    } else if (event.key === 'x' || event.key === 'X') {
      this.select(k, !store.selected.has(k));
      announce(store.selected.has(k) ? 'selected' : 'not selected');
    } else if (event.key === 'n' || event.key === 'N') {
      this.actions.choose(this.chosen(k), 'new');
    } else {
      return;
    }
    event.preventDefault(); // or the letter is written into what gets the focus
    event.stopPropagation();
  }

  chosen(k) {
    return store.selected.has(k) ? [...store.selected] : [k];
  }
}
