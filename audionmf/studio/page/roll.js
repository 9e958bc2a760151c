// The notes of all sources as a piano roll under the spectrogram, on the same timeline.

import { clamp, clock, colour, h, keyName, oncePerFrame, prepare } from './dom.js';
import { Noting } from './noting.js';

const BLACK = [1, 3, 6, 8, 10];
const LEAST_KEYS = 12;
const NEAR_PIXELS = 4;
const DRUM_PIXELS = 14; // so that the names of drums do not lie over one another

export class Roll {
  constructor(timeline, hear, use) {
    Object.assign(this, { timeline, hear });
    this.sources = [];
    this.lit = null;
    this.axis = h('canvas', { class: 'axis', 'aria-hidden': 'true' });
    this.canvas = h('canvas', { class: 'roll', role: 'img', 'aria-label': 'Piano roll' });
    this.noting = new Noting(this, use);
    this.element = h('div', { hidden: true }, this.noting.element, h('div', { class: 'band rolls' }, h('div', { class: 'lit' }, this.axis), this.canvas));
    this.draw = oncePerFrame(() => this.paint());
    timeline.addEventListener('change', this.draw);
    new ResizeObserver(this.draw).observe(this.canvas);
    this.canvas.addEventListener('pointermove', (event) => this.point(event));
    this.canvas.addEventListener('click', (event) => {
      if (this.noting.on) return;
      const note = this.at(event);
      if (note) this.hear(note);
    });
  }

  // Show notes: a list of { id, name, colour(), notes: [{ onset, offset, key, velocity, drum, name }] }.
  show(sources) {
    this.sources = sources;
    this.noting.fill();
    this.measure();
    this.element.hidden = false;
    this.draw();
  }

  // Which keys are in view, and what is said of all of it.
  measure() {
    const { sources } = this;
    const pitches = sources.flatMap((s) => s.notes.filter((n) => !n.drum).map((n) => n.key));
    this.drums = [...new Map(sources.flatMap((s) => s.notes.filter((n) => n.drum).map((n) => [n.key, n.name])))].sort((a, b) => a[0] - b[0]);
    const low = Math.min(...pitches) - 2;
    const high = Math.max(...pitches) + 2;
    const short = Math.max(0, LEAST_KEYS - (high - low));
    this.range = pitches.length ? [low - Math.floor(short / 2), high + Math.ceil(short / 2)] : null;
    const count = sources.reduce((sum, s) => sum + s.notes.length, 0);
    this.canvas.setAttribute('aria-label', `Piano roll: ${count} notes. ${sources.map((s) => `${s.name} ${s.notes.length}`).join(', ')}${this.noting.on ? '. Left and right go through the notes, Delete takes one away, N adds one, up and down move it.' : ''}`);
    this.draw();
  }

  hide() {
    this.element.hidden = true;
    this.noting.set(false);
  }

  // Only the notes of one source stand out, or those of all.
  light(id) {
    this.lit = id;
    this.draw();
  }

  get keys() {
    return this.range ? this.range[1] - this.range[0] + 1 : 0;
  }

  // Drums lie below the keys, a row each: how tall a key is, how tall a drum, and where drums begin.
  rows(height) {
    const n = this.drums.length;
    const drum = n ? Math.max(height / (n + this.keys), Math.min(DRUM_PIXELS, height / 2 / n)) : 0;
    const border = height - n * drum;
    return { key: this.keys ? border / this.keys : 0, drum, border };
  }

  // The key at a height; below the lowest one where there are drums.
  keyAt(y, height) {
    return this.range && this.range[1] - Math.floor(y / this.rows(height).key);
  }

  box(note, width, height) {
    const left = this.timeline.x(note.onset, width);
    const right = this.timeline.x(note.offset, width);
    const { key, drum } = this.rows(height);
    const tall = note.drum ? drum : key;
    const top = note.drum ? height - (1 + this.drums.findIndex(([k]) => k === note.key)) * drum : (this.range[1] - note.key) * key;
    return { left, top, wide: Math.max(2, right - left - 1), tall };
  }

  paint() {
    if (this.element.hidden || !this.canvas.isConnected) return;
    const { context, width, height } = prepare(this.canvas);
    if (!width || !(this.keys + this.drums.length)) return;
    const { key, border } = this.rows(height);
    context.fillStyle = colour('--text');
    context.globalAlpha = 0.06;
    for (let row = 0; row < this.keys; row += 1) {
      if (BLACK.includes((this.range[1] - row) % 12)) context.fillRect(0, row * key, width, key);
    }
    context.globalAlpha = 0.2;
    if (this.keys && this.drums.length) context.fillRect(0, Math.round(border), width, 1);
    for (const source of this.sources) {
      context.fillStyle = source.colour();
      const faint = this.lit !== null && this.lit !== source.id;
      for (const note of source.notes) {
        const { left, top, wide, tall } = this.box(note, width, height);
        if (left > width || left + wide < 0) continue;
        context.globalAlpha = faint ? 0.15 : 0.65 + (0.35 * note.velocity) / 127;
        context.fillRect(left, top + 0.5, wide, Math.max(2, tall - 1));
        if (note !== this.noting.note) continue;
        context.globalAlpha = 1;
        context.strokeStyle = colour('--text');
        context.lineWidth = 2;
        context.strokeRect(left - 1, top - 0.5, wide + 2, Math.max(2, tall - 1) + 2);
      }
    }
    context.globalAlpha = 1;
    this.noting.paint(context, width, height);
    this.paintAxis();
  }

  paintAxis() {
    const { context, width, height } = prepare(this.axis);
    const { key: tall, drum, border } = this.rows(height);
    context.font = '11px system-ui, sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    context.fillStyle = colour('--quiet');
    const { keys } = this;
    const white = keys * 13 < border;
    const named = white ? [0, 2, 4, 5, 7, 9, 11] : keys > 30 ? [0] : [0, 7];
    for (let row = 0; row < keys; row += 1) {
      const key = this.range[1] - row;
      if (!named.includes(key % 12)) continue;
      const y = (row + 0.5) * tall;
      if (y < 7 || y > border - 7) continue;
      context.fillText(keyName(key), width - 10, y);
      context.fillRect(width - 6, Math.round(y), 6, 1);
    }
    if (drum >= 11) this.drums.forEach(([, name], i) => context.fillText(name, width - 10, height - (i + 0.5) * drum));
  }

  // The note under the pointer, or the nearest within a few pixels.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = NEAR_PIXELS;
    for (const source of this.sources) {
      for (const note of source.notes) {
        const { left, top, wide, tall } = this.box(note, box.width, box.height);
        const far = Math.hypot(x - clamp(x, left, left + wide), y - clamp(y, top, top + tall));
        if (far < least) {
          least = far;
          best = { ...note, source, own: note };
        }
      }
    }
    return best;
  }

  point(event) {
    const note = this.at(event);
    this.canvas.classList.toggle('on-note', Boolean(note));
    this.canvas.title = note ? `${note.source.name}: ${note.name}, ${clock(note.onset, 2)}` : '';
  }
}
