// Marks on the spectrogram: what belongs to a source and what does not, as rectangles, painted or encircled.

import { clamp, colour, h, options, toast } from './dom.js';
import { sourceColour } from './rows.js';
import * as data from './store.js';

const { store } = data;
const COLUMN = 4; // pixels; a brush and a lasso leave columns of this width
const MOST_SPANS = 256;
const SNAP = 8; // pixels within which an edge is drawn to that of a note
const PARTIALS = 24;
const NEAR = 3; // pixels that two columns may differ by, to be one
const TOOLS = [['rectangle', 'Rectangle'], ['brush', 'Brush'], ['lasso', 'Lasso'], ['eraser', 'Eraser']];

export class Marking {
  constructor(studio) {
    this.studio = studio;
    this.on = false;
    this.drawing = null;
    this.button = h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.set(!this.on) }, 'Mark');
    this.tool = h('select', { 'aria-label': 'Tool', onchange: () => this.fill() }, ...options(TOOLS, 'rectangle'));
    this.size = h('input', { type: 'range', class: 'short', min: 4, max: 60, value: 16, 'aria-label': 'Size of the brush', title: 'Size of the brush' });
    this.kind = h('select', { 'aria-label': 'What a mark says' }, ...options([['yes', 'belongs to'], ['no', 'is not in']], 'yes'));
    this.source = h('select', { 'aria-label': 'Source of the next mark' });
    const force = h('input', { type: 'range', class: 'short', min: 1, max: 20, value: 10, 'aria-label': 'How firmly, from soft to firm', title: 'From soft to firm' });
    this.force = force;
    this.says = h('span', { class: 'says' }, this.kind, this.source, h('span', {}, 'soft'), force, h('span', {}, 'firm'));
    this.live = h('input', { type: 'checkbox', checked: true });
    this.state = h('span', { class: 'hint', role: 'status' });
    const atOnce = h('label', { class: 'field tight', title: 'Find the components again after each stroke: around it at once, in all of the recording a little later' }, this.live, 'hear at once');
    this.tools = h('span', { class: 'mark-tools', hidden: true }, this.tool, this.size, this.says, atOnce, this.state);
  }

  set(on) {
    if (on && data.model().stems) {
      toast('Marks move components, and there are none here. For marks, go back (the house, top left) and take the recording apart into components.');
      return;
    }
    if (on && data.sources().length < 1) {
      toast('Make a source first: a mark says what belongs to it.');
      return;
    }
    this.on = on;
    this.button.setAttribute('aria-pressed', String(on));
    this.tools.hidden = !on;
    this.studio.frame.classList.toggle('marking', on);
    this.fill();
  }

  fill() {
    this.source.replaceChildren(...options(data.sources().map((s) => [s.id, s.name]), this.source.value));
    const tool = this.tool.value;
    this.size.hidden = tool !== 'brush' && tool !== 'eraser';
    this.says.hidden = tool === 'eraser';
  }

  fields() {
    return { source: this.source.value || data.sources()[0].id, belongs: this.kind.value === 'yes', strength: Number(this.force.value) };
  }

  push(place) {
    const fields = this.fields();
    data.edit((next) => {
      next.marks.push({ ...fields, ...place });
    });
    this.hear(place.start, place.end);
  }

  hear(start, end) {
    if (this.live.checked) this.studio.live.drew(start, end);
  }

  // One by numbers, for the keyboard.
  add() {
    if (!data.sources().length) {
      toast('Make a source first: a mark says what belongs to it.');
      return;
    }
    const { timeline, player, panel } = this.studio;
    const { low, high } = store.state.spectrogram;
    const { start, span } = timeline;
    const from = +clamp(player.seconds, start, start + 0.9 * span).toFixed(2);
    const note = this.notes().find((item) => item.onset <= from && from < item.offset);
    if (note) this.push(this.wholeNote(note));
    else this.push({ start: from, end: +Math.min(timeline.duration, from + Math.min(1, span / 4)).toFixed(2), low: Math.ceil(low), high: Math.round(Math.min(high, 1000)) });
    panel.querySelector('.mark:last-child select')?.focus();
  }

  // drawing

  press(event) {
    const { canvas, frame, paintOver } = this.studio;
    const box = canvas.getBoundingClientRect();
    const at = (e) => [clamp(e.clientX - box.left, 0, box.width), clamp(e.clientY - box.top, 0, box.height)];
    const points = [at(event)];
    this.drawing = { tool: this.tool.value, points, radius: Number(this.size.value), width: box.width, height: box.height };
    paintOver();
    this.drawing.free = event.altKey; // not drawn to notes
    this.studio.capture(event, frame, (e) => {
      for (const one of e.getCoalescedEvents?.() || []) points.push(at(one));
      points.push(at(e));
      paintOver();
    }, () => {
      const done = this.drawing;
      this.drawing = null;
      this.finish(done);
      paintOver();
    });
  }

  // Notes that a mark is drawn to: those of its source that are in the roll.
  notes() {
    const { roll } = this.studio;
    if (roll.element.hidden) return [];
    return (roll.sources.find((source) => source.id === this.fields().source)?.notes || []).filter((note) => !note.drum);
  }

  // All of a note: its partials, each as wide as a semitone.
  wholeNote(note) {
    const { low, high } = store.state.spectrogram;
    const spans = [];
    for (const [a, b] of partials(note)) if (b > low && a < high && spans.length < MOST_SPANS) spans.push([+note.onset.toFixed(3), +Math.min(this.studio.timeline.duration, note.offset).toFixed(3), +a.toFixed(1), +b.toFixed(1)]);
    return { ...around(spans), spans };
  }

  // The note whose partial is at a place.
  noteAt(x, y, width, height) {
    const { timeline, picture } = this.studio;
    const [seconds, hertz] = [timeline.seconds(x, width), picture.frequencyAt(y, height)];
    return this.notes().find((note) => note.onset <= seconds && seconds < note.offset && partials(note).some(([a, b]) => a <= hertz && hertz <= b));
  }

  // A place with its edges on those of notes that are near.
  snapped(place, width, height) {
    const { timeline, picture } = this.studio;
    const near = (value, candidates, at) => {
      const [best] = candidates.map((c) => [Math.abs(at(c) - at(value)), c]).sort((a, b) => a[0] - b[0]);
      return best && best[0] <= SNAP ? best[1] : value;
    };
    const notes = this.notes();
    const x = (seconds) => timeline.x(seconds, width);
    const y = (hertz) => picture.y(hertz, height);
    const [start, end] = [near(place.start, notes.map((n) => n.onset), x), near(place.end, notes.map((n) => n.offset), x)];
    const bands = notes.filter((note) => note.onset < end && note.offset > start).flatMap(partials);
    const snap = { start, end, low: near(place.low, bands.map((b) => b[0]), y), high: near(place.high, bands.map((b) => b[1]), y) };
    return snap.start < snap.end && snap.low < snap.high ? snap : place;
  }

  finish({ tool, points, radius, width, height, free }) {
    if (tool === 'rectangle') {
      const [first, last] = [points[0], points.at(-1)];
      const note = Math.hypot(last[0] - first[0], last[1] - first[1]) < NEAR && !free && this.noteAt(...first, width, height);
      if (note) {
        this.push(this.wholeNote(note));
        return;
      }
      const place = this.rectangle(points, width, height, free);
      if (place.end - place.start > 0.02 && place.high > place.low * 1.02) this.push(place);
      return;
    }
    const columns = tool === 'lasso' ? encircled(points, width) : painted(points, radius, width, height);
    const spans = this.spans(columns, width, height);
    if (!spans.length) return;
    if (tool === 'eraser') this.erase(spans);
    else if (spans.length > MOST_SPANS) toast('The mark is too fine: zoom in, or draw it in parts.');
    else this.push({ ...around(spans), spans });
  }

  rectangle(points, width, height, free = false) {
    const [a, b] = [points[0], points.at(-1)];
    const { timeline, picture } = this.studio;
    const times = [a, b].map(([x]) => clamp(timeline.seconds(x, width), 0, timeline.duration)).sort((m, n) => m - n);
    const hertz = [a, b].map(([, y]) => picture.frequencyAt(y, height)).sort((m, n) => m - n);
    const place = { start: times[0], end: times[1], low: hertz[0], high: hertz[1] };
    return free ? place : this.snapped(place, width, height);
  }

  // Columns of pixels, each [left, right, top, bottom], as [start, end, low, high].
  spans(columns, width, height) {
    const { timeline, picture } = this.studio;
    const time = (x) => +clamp(timeline.seconds(x, width), 0, timeline.duration).toFixed(3);
    const hertz = (y) => +picture.frequencyAt(y, height).toFixed(1);
    return columns.map(([left, right, top, bottom]) => [time(left), time(right), hertz(bottom), hertz(top)]).filter(([start, end, low, high]) => start < end && low < high);
  }

  erase(spans) {
    let fine = false;
    data.edit((next) => {
      const before = JSON.stringify(next.marks);
      for (const mark of next.marks) {
        let left = mark.spans || [[mark.start, mark.end, mark.low, mark.high]];
        const n = left.length;
        for (const hole of spans) left = left.flatMap((span) => without(span, hole));
        if (left.length === n && !mark.spans && left[0].every((value, i) => value === [mark.start, mark.end, mark.low, mark.high][i])) continue;
        fine ||= left.length > MOST_SPANS;
        if (left.length) Object.assign(mark, around(left));
        mark.spans = left;
      }
      next.marks = next.marks.filter((mark) => !mark.spans || mark.spans.length);
      return !fine && JSON.stringify(next.marks) !== before;
    });
    if (fine) toast('What is left would be too fine: erase with a larger brush.');
    else this.hear(...Object.values(around(spans)).slice(0, 2));
  }

  // painting

  paint(context, width, height) {
    for (const mark of store.state.marks) this.paintMark(context, width, height, mark);
    const { drawing } = this;
    if (!drawing) return;
    if (drawing.tool === 'rectangle') {
      this.paintMark(context, width, height, { ...this.fields(), ...this.rectangle(drawing.points, width, height, drawing.free) });
      return;
    }
    const source = data.sources().find((item) => item.id === this.fields().source);
    context.strokeStyle = drawing.tool === 'eraser' ? colour('--text') : sourceColour(source);
    context.globalAlpha = drawing.tool === 'lasso' ? 1 : 0.4;
    context.lineWidth = drawing.tool === 'lasso' ? 2 : 2 * drawing.radius;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    for (const [x, y] of drawing.points) context.lineTo(x, y);
    if (drawing.tool === 'lasso') context.closePath();
    else context.lineTo(drawing.points[0][0] + 0.01, drawing.points.length > 1 ? drawing.points.at(-1)[1] : drawing.points[0][1]);
    context.stroke();
    context.globalAlpha = 1;
  }

  paintMark(context, width, height, mark) {
    const { timeline, picture } = this.studio;
    const source = data.sources().find((item) => item.id === mark.source);
    const own = sourceColour(source);
    const box = ([start, end, low, high]) => [timeline.x(start, width), picture.y(high, height), timeline.x(end, width), picture.y(low, height)];
    const whole = box([mark.start, mark.end, mark.low, mark.high]);
    context.globalAlpha = 0.14 + 0.012 * Math.min(20, mark.strength);
    context.fillStyle = own;
    for (const span of mark.spans || [[mark.start, mark.end, mark.low, mark.high]]) {
      const [left, top, right, bottom] = box(span);
      context.fillRect(left, top, right - left, bottom - top);
    }
    context.globalAlpha = 1;
    context.strokeStyle = own;
    context.lineWidth = mark.spans ? 1 : 2;
    context.setLineDash(mark.belongs ? [] : [6, 4]);
    context.globalAlpha = mark.spans ? 0.5 : 1;
    context.strokeRect(whole[0], whole[1], whole[2] - whole[0], whole[3] - whole[1]);
    context.globalAlpha = 1;
    context.setLineDash([]);
    const [left, top] = whole;
    const text = `${mark.belongs ? '' : 'not '}${source ? source.name : ''}`;
    context.font = '600 11px system-ui, sans-serif';
    const wide = context.measureText(text).width + 10;
    context.fillStyle = own;
    context.fillRect(left, top - (top > 17 ? 17 : 0), wide, 17);
    context.fillStyle = colour('--on-colour');
    context.textBaseline = 'middle';
    context.fillText(text, left + 5, top - (top > 17 ? 8 : -9));
  }
}

// The partials of a note, each from a quarter of a tone below it to one above, in hertz.
function partials(note) {
  const hertz = 440 * 2 ** ((note.key - 69) / 12);
  return Array.from({ length: PARTIALS }, (_, i) => [hertz * (i + 1) * 2 ** (-1 / 24), hertz * (i + 1) * 2 ** (1 / 24)]);
}

// What a round brush leaves along a path: columns, each [left, right, top, bottom].
export function painted(points, radius, width, height) {
  const step = Math.max(COLUMN, width / 240);
  const columns = new Map();
  const dab = (x, y) => {
    for (let c = Math.floor((x - radius) / step); c * step < x + radius; c += 1) {
      const far = Math.abs((c + 0.5) * step - x);
      if (far >= radius) continue;
      const half = Math.sqrt(radius * radius - far * far);
      if (!columns.has(c)) columns.set(c, []);
      columns.get(c).push([Math.max(0, y - half), Math.min(height, y + half)]);
    }
  };
  points.forEach(([x, y], i) => {
    const [px, py] = points[Math.max(0, i - 1)];
    const n = Math.max(1, Math.ceil(Math.hypot(x - px, y - py) / step));
    for (let k = 1; k <= n; k += 1) dab(px + ((x - px) * k) / n, py + ((y - py) * k) / n);
  });
  return joined(columns, step, width);
}

// What a closed line encircles: columns, each [left, right, top, bottom].
export function encircled(points, width) {
  const step = Math.max(COLUMN, width / 240);
  const columns = new Map();
  const xs = points.map(([x]) => x);
  for (let c = Math.floor(Math.min(...xs) / step); c * step <= Math.max(...xs); c += 1) {
    const x = (c + 0.5) * step;
    const crossings = [];
    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length];
      if (ax <= x !== bx <= x) crossings.push(ay + ((by - ay) * (x - ax)) / (bx - ax));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) columns.set(c, [...(columns.get(c) || []), [crossings[i], crossings[i + 1]]]);
  }
  return joined(columns, step, width);
}

// Join what overlaps in a column, and neighbouring columns that are alike.
function joined(columns, step, width) {
  const made = [];
  let open = [];
  for (const c of [...columns.keys()].sort((a, b) => a - b)) {
    const parts = [];
    for (const [top, bottom] of columns.get(c).sort((a, b) => a[0] - b[0])) {
      if (parts.length && top <= parts.at(-1)[1]) parts.at(-1)[1] = Math.max(parts.at(-1)[1], bottom);
      else parts.push([top, bottom]);
    }
    const [left, right] = [Math.max(0, c * step), Math.min(width, (c + 1) * step)];
    const next = [];
    for (const [top, bottom] of parts) {
      const same = open.find((item) => item[1] === left && Math.abs(item[2] - top) <= NEAR && Math.abs(item[3] - bottom) <= NEAR);
      if (same) {
        same[1] = right;
        next.push(same);
      } else {
        const item = [left, right, top, bottom];
        made.push(item);
        next.push(item);
      }
    }
    open = next;
  }
  return made;
}

// A rectangle [start, end, low, high] without another: what is left of it, in up to four parts.
export function without([start, end, low, high], [s, e, l, u]) {
  if (s >= end || e <= start || l >= high || u <= low) return [[start, end, low, high]];
  const parts = [];
  if (s > start) parts.push([start, s, low, high]);
  if (e < end) parts.push([e, end, low, high]);
  const [from, to] = [Math.max(s, start), Math.min(e, end)];
  if (l > low) parts.push([from, to, low, l]);
  if (u < high) parts.push([from, to, u, high]);
  return parts;
}

function around(spans) {
  return {
    start: Math.min(...spans.map((span) => span[0])), end: Math.max(...spans.map((span) => span[1])),
    low: Math.min(...spans.map((span) => span[2])), high: Math.max(...spans.map((span) => span[3])),
  };
}
