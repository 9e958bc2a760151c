// Notes are taken away and added in the roll: there is none here, there is one here.

import { announce, clamp, clock, h, keyName, options, toast } from './dom.js';

const SHORTEST = 0.03; // seconds
const PLAIN = 0.25; // of a note that is added by the keyboard
const MIDDLE = 60;
const VELOCITY = 90;

export class Noting {
  constructor(roll, use) {
    Object.assign(this, { roll, use });
    this.on = false;
    this.note = null;
    this.steps = [];
    this.drawn = null;
    this.button = h('button', { type: 'button', 'aria-pressed': 'false', title: 'Take notes away and add some: the recording is taken apart again with them', onclick: () => this.set(!this.on) }, 'Edit notes');
    this.source = h('select', { 'aria-label': 'Source of the notes', onchange: () => { this.note = null; roll.light(this.own?.id ?? null); } });
    this.words = h('span', { class: 'hint' }, 'Click a note to take it away, drag to add one.');
    this.back = h('button', { type: 'button', disabled: true, onclick: () => this.undo() }, 'Take back');
    this.go = h('button', { type: 'button', class: 'primary', disabled: true, onclick: () => use(this.parts()) }, 'Take apart with these notes');
    this.more = h('span', { class: 'line', hidden: true }, this.source, this.back, this.go, this.words);
    this.element = h('div', { class: 'roll-tools line' }, this.button, this.more);
    const { canvas } = roll;
    canvas.addEventListener('pointerdown', (event) => this.press(event));
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  // Sources whose notes can be told: those that have a name.
  get sources() {
    return this.roll.sources.filter((source) => source.component === null && source.id !== 'rest');
  }

  get own() {
    return this.sources.find((source) => String(source.id) === this.source.value);
  }

  fill() {
    this.steps = [];
    this.set(false);
    this.source.replaceChildren(...options(this.sources.map((source) => [source.id, source.name]), this.source.value));
  }

  set(on) {
    if (on && !this.sources.length) {
      toast('Make a source first: notes belong to a source.');
      return;
    }
    this.on = on;
    this.note = null;
    this.button.setAttribute('aria-pressed', String(on));
    this.more.hidden = !on;
    const { canvas } = this.roll;
    canvas.classList.toggle('editing', on);
    if (on) canvas.setAttribute('tabindex', '0');
    else canvas.removeAttribute('tabindex');
    canvas.setAttribute('role', on ? 'application' : 'img');
    this.changed();
    if (on) canvas.focus();
  }

  changed() {
    this.back.disabled = this.go.disabled = !this.steps.length;
    if (this.roll.sources.length) this.roll.measure();
  }

  // What every source plays, as the server is told; strokes of drums are none of it.
  parts() {
    const pitched = this.sources.map((source) => [source.name, source.notes.filter((note) => !note.drum)]);
    return pitched.filter(([, notes]) => notes.length).map(([name, notes]) => [name, notes.map((note) => [note.onset, note.offset, note.key, note.velocity])]);
  }

  add(source, onset, offset, key) {
    const end = Math.min(this.roll.timeline.duration, Math.max(offset, onset + SHORTEST));
    const note = { onset: Math.min(onset, end - SHORTEST), offset: end, key, velocity: VELOCITY, drum: false, name: keyName(key) };
    source.notes.push(note);
    this.steps.push(() => source.notes.splice(source.notes.indexOf(note), 1));
    this.note = note;
    announce(`${note.name} at ${clock(note.onset)} in ${source.name}`);
    this.changed();
  }

  remove(source, note) {
    source.notes.splice(source.notes.indexOf(note), 1);
    this.steps.push(() => source.notes.push(note));
    this.note = null;
    announce(`${note.name} at ${clock(note.onset)} is gone from ${source.name}`);
    this.changed();
  }

  move(note, key) {
    const before = note.key;
    Object.assign(note, { key, name: keyName(key) });
    this.steps.push(() => Object.assign(note, { key: before, name: keyName(before) }));
    announce(note.name);
    this.changed();
  }

  undo() {
    this.steps.pop()?.();
    this.note = null;
    this.changed();
  }

  press(event) {
    if (!this.on || event.button) return;
    const { roll } = this;
    const found = roll.at(event);
    if (found) {
      if (found.drum || !this.sources.includes(found.source)) toast(`${found.source.name}: only notes that have a pitch, of sources that have names, can be edited.`);
      else this.remove(found.source, found.own);
      return;
    }
    const source = this.own;
    const box = roll.canvas.getBoundingClientRect();
    const key = roll.keyAt(event.clientY - box.top, box.height);
    if (!source || key === null || key < roll.range[0]) return;
    const seconds = (e) => clamp(roll.timeline.seconds(e.clientX - box.left, box.width), 0, roll.timeline.duration);
    const from = seconds(event);
    this.drawn = { onset: from, offset: from, key, source };
    roll.canvas.setPointerCapture(event.pointerId);
    const move = (e) => {
      Object.assign(this.drawn, { onset: Math.min(from, seconds(e)), offset: Math.max(from, seconds(e)) });
      roll.draw();
    };
    const up = () => {
      for (const name of ['pointermove', 'pointerup', 'pointercancel']) roll.canvas.removeEventListener(name, name === 'pointermove' ? move : up);
      const { onset, offset } = this.drawn;
      this.drawn = null;
      if (offset - onset >= SHORTEST) this.add(source, onset, offset, key);
      roll.draw();
    };
    for (const name of ['pointermove', 'pointerup', 'pointercancel']) roll.canvas.addEventListener(name, name === 'pointermove' ? move : up);
  }

  key(event) {
    if (!this.on || event.altKey) return;
    const source = this.own;
    if (!source) return;
    const undoing = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z';
    if ((event.ctrlKey || event.metaKey) && !undoing) return;
    const along = source.notes.filter((note) => !note.drum).sort((a, b) => a.onset - b.onset);
    const go = (step) => {
      const at = along.indexOf(this.note);
      this.note = along[at < 0 ? (step > 0 ? 0 : along.length - 1) : clamp(at + step, 0, along.length - 1)] || null;
      if (this.note) announce(`${this.note.name}, ${clock(this.note.onset)}`);
      this.roll.draw();
    };
    const shift = (step) => this.note && this.move(this.note, clamp(this.note.key + step, 0, 127));
    const calls = {
      ArrowLeft: () => go(-1), ArrowRight: () => go(1), ArrowUp: () => shift(1), ArrowDown: () => shift(-1),
      Delete: () => this.note && this.remove(source, this.note), Backspace: () => this.note && this.remove(source, this.note),
      n: () => this.add(source, this.roll.now(), this.roll.now() + PLAIN, this.note?.key ?? along[0]?.key ?? MIDDLE),
      Escape: () => this.set(false), z: () => undoing && this.undo(),
    };
    if (!calls[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    calls[event.key]();
  }

  // The note that is being drawn.
  paint(context, width, height) {
    if (!this.drawn) return;
    const { left, top, wide, tall } = this.roll.box(this.drawn, width, height);
    context.fillStyle = this.drawn.source.colour();
    context.globalAlpha = 0.6;
    context.fillRect(left, top + 0.5, wide, Math.max(2, tall - 1));
    context.globalAlpha = 1;
  }
}
