// The studio itself: spectrogram, component rows and sources around one timeline.

import { api } from './api.js';
import { announce, clamp, clock, colour, h, iconButton, oncePerFrame, options, percent, prepare, setIcon, toast } from './dom.js';
import { Live } from './live.js';
import { Marking } from './marking.js';
import { Player } from './player.js';
import { Roll } from './roll.js';
import { Rows, sourceColour, title } from './rows.js';
import { Sources } from './sources.js';
import { Spectrogram } from './spectrogram.js';
import * as data from './store.js';
import { Timeline } from './timeline.js';

const { store } = data;
const DRAG_PIXELS = 6;

export class Studio {
  constructor(actions) {
    this.actions = actions;
    this.player = new Player();
    this.timeline = new Timeline(data.recording().duration);
    this.marking = new Marking(this);
    this.roll = new Roll(this.timeline, (note) => this.hearNote(note), (parts) => actions.withNotes(parts));
    this.roll.now = () => this.player.seconds;
    this.live = new Live(this);
    this.element = this.build();
    this.picture = new Spectrogram(this.canvas, this.axis, this.timeline);
    this.rows = new Rows(this.list, this.timeline, this.handlers());
    this.sources = new Sources(this.panel, this.handlers());
    this.paintOver = oncePerFrame(() => this.paintMarks());
    this.paintTime = oncePerFrame(() => this.paintRuler());
    this.paintHearing = oncePerFrame(() => {
      this.rows.hear();
      this.sources.hear();
    });
    this.timeline.addEventListener('change', () => {
      this.paintOver();
      this.paintTime();
      this.placeHead();
    });
    new ResizeObserver(() => {
      this.paintOver();
      this.paintTime();
      this.placeHead();
    }).observe(this.canvas);
    this.player.addEventListener('state', () => this.playState());
    this.player.addEventListener('position', () => this.placeHead());
    this.player.addEventListener('loop', () => {
      this.loopButton.setAttribute('aria-pressed', String(Boolean(this.player.loop)));
      this.paintTime();
      this.paintOver();
    });
  }

  handlers() {
    return {
      hear: (k) => this.hear(k),
      prepare: (k) => this.player.prepare(this.place(k), k),
      drag: (event, k) => this.drag(event, k),
      seek: (event, strip) => this.scrub(event, strip),
      choose: (components, id) => this.choose(components, id),
      digit: (components, n) => this.digit(components, n),
      faded: () => this.player.setGains(data.gains()),
      refine: () => this.refine(),
      addMark: () => this.marking.add(),
    };
  }

  // Take over the model of the store: after an analysis, a refinement, an undo across one.
  async show(keep = false) {
    const model = data.model();
    const recording = data.recording();
    const meta = store.state.spectrogram;
    this.sources.levels = null;
    this.picture.show(recording, meta);
    const loaded = this.player.load(model, recording, keep);
    this.rows.rebuild();
    this.sources.update();
    this.mix();
    const [templates, activations] = await Promise.all([api.templates(model.id), api.activations(model.id)]);
    if (model !== data.model()) return;
    const factors = { templates: new Float32Array(templates), activations: new Float32Array(activations), rows: meta.rows };
    const n = model.components.length;
    factors.tops = Array.from({ length: n }, (_, k) => {
      let top = 0;
      for (let t = 0; t < model.frames; t += 1) top = Math.max(top, factors.activations[k * model.frames + t]);
      return top;
    });
    this.picture.setFactors({ ...factors, components: n, frames: model.frames, energies: model.components.map((c) => c.energy) });
    this.rows.setFactors(factors, this.picture);
    this.lit();
    if (model.tried) this.sources.levels = null; // soon there is another
    else api.levels(model.id).then((levels) => {
      if (model === data.model()) this.sources.setLevels(new Float32Array(levels));
    }).catch(() => {}); // figures that are missing stop nothing
    await loaded;
  }

  sourcesChanged() {
    this.mix(); // what is heard comes before what is seen
    if (!this.roll.element.hidden && this.grouped !== this.grouping() && !this.live.own(data.model().id)) this.hideNotes();
    this.roll.draw();
    if (this.rows.order === 'source') this.rows.arrange();
    else this.rows.update();
    this.sources.update();
    this.marking.fill();
    this.paintOver();
    this.lit();
    this.undoButton.disabled = !store.past.length;
    this.redoButton.disabled = !store.future.length;
  }

  // What is heard changed, and no source: it sounds first, and is seen with the next picture.
  hearing() {
    this.mix();
    this.paintHearing();
  }

  // Have the gains of all components as they are now.
  mix() {
    if (this.player.model === data.model() || !this.player.model) this.player.setGains(data.gains());
    const any = store.soloed.size + store.muted.size + store.soloedSources.size + store.mutedSources.size;
    this.everything.disabled = !any;
    this.originalButton.setAttribute('aria-pressed', String(store.original));
    this.element.classList.toggle('as-recorded', store.original);
    this.element.classList.toggle('whole', data.model().stems);
  }

  selection() {
    this.rows.update();
    const n = store.selected.size;
    this.selectionBar.hidden = !n;
    this.selectionText.textContent = `${n} selected`;
    this.selectionChoose.replaceChildren(...options([['', 'Put into…'], ...data.sources().map((s) => [s.id, s.name]), ['new', 'New source'], [data.REST, 'rest']], ''));
  }

  lit() {
    const { lit } = store;
    let lights = [];
    let name = ['Everything', 'Point at a component to see where it sits, click to hear it alone, drag it into a source.'];
    if (lit && lit.component !== undefined) {
      const source = data.owner(lit.component);
      lights = [{ components: [lit.component], colour: source ? sourceColour(source) : colour('--light') }];
      const component = data.model().components[lit.component];
      name = [`${title(component)} #${component.index}`, `${component.trust ? `${component.trust} · ` : ''}${source ? source.name : 'rest'} · ${component.brightness} · ${percent(component.energy)}`];
    } else if (lit) {
      const source = data.sources().find((item) => item.id === lit.source);
      const components = source ? source.components : data.rest();
      name = [source ? source.name : 'rest', `${components.length} components`];
      if (components.length) lights = [{ components, colour: source ? sourceColour(source) : colour('--light') }];
    }
    this.picture.setLights(lights);
    this.roll.light(lit ? this.sourceOf(lit) : null);
    this.litName.replaceChildren(h('strong', {}, name[0]), name[1]);
  }

  sourceOf(lit) {
    if (lit.component === undefined) return lit.source;
    if (!data.sources().length) return lit.component;
    const source = data.owner(lit.component);
    return source ? source.id : data.REST;
  }

  recolour() {
    this.roll.draw();
    this.picture.recolour();
    this.rows.update();
    this.sources.update();
    this.paintOver();
    this.paintTime();
    this.lit();
  }

  // building

  build() {
    this.canvas = h('canvas', { class: 'spectrogram' });
    this.over = h('canvas', { class: 'over' });
    this.axis = h('canvas', { class: 'axis', 'aria-hidden': 'true' });
    this.litName = h('div', { class: 'lit-name', 'aria-hidden': 'true' });
    this.ruler = h('canvas', { class: 'ruler' });
    this.list = h('ul', { class: 'rows', 'aria-label': 'Components' });
    this.panel = h('aside', { class: 'panel', 'aria-label': 'Sources and marks' });
    this.head = h('div', { class: 'playhead' });
    this.frame = h(
      'div',
      { class: 'picture', tabindex: '0', role: 'group', 'aria-label': 'Spectrogram. Left and right move the playhead, plus and minus zoom the time, F and Shift F the frequencies, up and down scroll them.' },
      this.canvas,
      this.over,
    );
    this.frame.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    this.frame.addEventListener('pointerdown', (event) => this.press(event));
    this.frame.addEventListener('keydown', (event) => this.frequencies(event));
    this.ruler.addEventListener('pointerdown', (event) => this.range(event));
    const tools = this.tools();
    new ResizeObserver(() => this.element?.style.setProperty('--tools', `${tools.offsetHeight}px`)).observe(tools);
    const stage = h(
      'section',
      { class: 'stage', 'aria-label': 'Spectrogram and components' },
      h(
        'div',
        { class: 'sticky' },
        tools,
        h('div', { class: 'band tall' }, h('div', { class: 'lit' }, this.axis, this.litName), this.frame),
        this.roll.element,
        h('div', { class: 'band thin' }, h('span', { class: 'ruler-label' }, 'Drag for a loop'), this.ruler),
        h('div', { class: 'head-lane', 'aria-hidden': 'true' }, this.head), // over the rows, however far they are scrolled
      ),
      this.list,
    );
    new ResizeObserver(() => stage.style.setProperty('--stage', `${stage.clientHeight}px`)).observe(stage);
    return h('div', { class: 'studio' }, this.bar(), h('main', { class: 'work' }, stage, this.panel));
  }

  bar() {
    const recording = data.recording();
    this.playButton = iconButton('play', 'Play', () => this.toggle(), { class: 'icon-button play' });
    this.loopButton = iconButton('loop', 'Loop', () => this.toggleLoop(), { 'aria-pressed': 'false' });
    this.undoButton = iconButton('undo', 'Undo', () => data.undo(), { disabled: !store.past.length });
    this.redoButton = iconButton('redo', 'Redo', () => data.redo(), { disabled: !store.future.length });
    this.time = h('output', { class: 'time', 'aria-label': 'Time' }, '0:00.0');
    this.meter = h('div', { class: 'meter', role: 'meter', 'aria-label': 'Level in decibels', 'aria-valuemin': '-60', 'aria-valuemax': '0', 'aria-valuenow': '-60' }, h('span'));
    const volume = h('input', { type: 'range', class: 'volume', min: 0, max: 1.5, step: 0.01, value: 1, 'aria-label': 'Volume', title: 'Volume', oninput: () => this.player.setVolume(Number(volume.value) ** 2) });
    this.originalButton = h('button', { type: 'button', 'aria-pressed': 'false', title: 'Hear the recording as it is, to compare (A)', onclick: () => this.compare() }, 'Original');
    this.everything = h('button', { type: 'button', disabled: true, onclick: () => data.hearEverything() }, 'Hear all');
    return h(
      'header',
      { class: 'bar' },
      iconButton('home', 'Another recording', () => this.actions.leave()),
      h('h1', { class: 'track', title: recording.name }, recording.name),
      h('div', { class: 'transport', role: 'group', 'aria-label': 'Playing' }, iconButton('rewind', 'Back to the start', () => this.rewind()), this.playButton, this.loopButton, this.time, this.meter, volume, this.originalButton, this.everything),
      h('div', { class: 'group' }, this.undoButton, this.redoButton, h('button', { type: 'button', class: 'primary', onclick: () => this.actions.exports() }, 'Export'), this.actions.themeButton(), iconButton('help', 'Keys and mouse', () => this.actions.help())),
    );
  }

  tools() {
    const order = h('select', { 'aria-label': 'Order of the components', onchange: () => { this.rows.order = order.value; this.rows.arrange(); } }, ...options(Rows.orders(), 'energy'));
    this.notesButton = h('button', { type: 'button', 'aria-pressed': 'false', title: 'Hear which notes the sources play, and show them as a piano roll', onclick: () => this.notes() }, 'Notes');
    this.selectionText = h('span', {});
    this.selectionChoose = h('select', { 'aria-label': 'Put the selected components into', onchange: () => this.choose([...store.selected], this.selectionChoose.value) });
    const clear = h('button', { type: 'button', onclick: () => { store.selected.clear(); data.emit('selection'); } }, 'Clear');
    this.selectionBar = h('span', { class: 'selection', hidden: true }, this.selectionText, this.selectionChoose, clear);
    return h(
      'div',
      { class: 'tools' },
      order,
      this.selectionBar,
      h('span', { class: 'spacer' }),
      this.marking.tools,
      this.notesButton,
      this.marking.button,
      h('span', { class: 'zoom', role: 'group', 'aria-label': 'Zoom' }, iconButton('minus', 'Zoom out', () => this.timeline.zoom(2, this.player.seconds)), iconButton('plus', 'Zoom in', () => this.timeline.zoom(0.5, this.player.seconds)), iconButton('fit', 'Show everything', () => this.timeline.everything())),
    );
  }

  // hearing

  // Where a component is heard at its loudest.
  place(k) {
    return Math.max(0, data.model().components[k].loudest - 0.15);
  }

  async hear(k) {
    if (this.dragged) return;
    const alone = data.hearAlone(k);
    if (alone && !this.player.playing) {
      this.player.seek(this.place(k));
      this.placeHead();
      await this.player.playOrTell();
    }
    announce(alone ? `Component ${k} alone` : 'Everything');
  }

  toggle() {
    if (this.player.playing) this.player.pause();
    else this.player.playOrTell();
  }

  // Between the mix and the recording as it is: the sum of all components, so nothing stops.
  compare() {
    store.original = !store.original;
    data.emit('hearing');
    announce(store.original ? 'The recording as it is' : 'The mix');
  }

  playState() {
    const { playing } = this.player;
    setIcon(this.playButton, playing ? 'pause' : 'play', playing ? 'Pause' : 'Play');
    if (playing) this.tick();
    else this.showLevel(0);
  }

  tick() {
    if (this.ticking) return;
    this.ticking = true;
    const step = () => {
      this.placeHead();
      this.showLevel(this.player.peak);
      this.timeline.follow(this.player.seconds);
      if (this.player.playing && this.element.isConnected) requestAnimationFrame(step);
      else this.ticking = false;
    };
    requestAnimationFrame(step);
  }

  showLevel(peak) {
    this.level = peak ? Math.max(peak, (this.level || 0) * 0.92) : 0;
    const decibels = clamp(20 * Math.log10(Math.max(this.level, 1e-6)), -60, 0);
    this.meter.firstChild.style.transform = `scaleX(${1 + decibels / 60})`;
    this.meter.setAttribute('aria-valuenow', decibels.toFixed(0));
  }

  placeHead() {
    const width = this.canvas.clientWidth;
    const x = this.timeline.x(this.player.seconds, width);
    this.head.style.transform = `translateX(${clamp(x, -2, width + 2)}px)`;
    this.time.textContent = `${clock(this.player.seconds)} / ${clock(this.timeline.duration)}`;
  }

  rewind() {
    this.player.seek(this.player.loopSeconds ? this.player.loopSeconds[0] : 0);
    this.timeline.follow(this.player.seconds);
    this.placeHead();
  }

  move(seconds) {
    this.player.seek(clamp(this.player.seconds + seconds, 0, this.timeline.duration));
    this.timeline.follow(this.player.seconds);
    this.placeHead();
    announce(clock(this.player.seconds));
  }

  toggleLoop() {
    if (this.player.loop) this.player.setLoop(null);
    else this.player.setLoop([this.timeline.start, this.timeline.end]);
    announce(this.player.loop ? `Loop from ${clock(this.player.loopSeconds[0])} to ${clock(this.player.loopSeconds[1])}` : 'Loop off');
  }

  // notes

  // Which components are together: the notes are those of the sources as they were.
  grouping() {
    return JSON.stringify([data.model().id, data.sources().map((s) => [s.name, s.components])]);
  }

  async notes() {
    if (!this.roll.element.hidden) {
      this.hideNotes();
      return;
    }
    await store.sending;
    const done = await this.actions.run({ kind: 'notes' }, 'Hearing the notes');
    if (!done) return;
    const grouped = data.sources().length > 0; // or each component is one
    const lists = Object.entries(done.rolls).map(([name, rows], k) => {
      const source = () => data.sources().find((item) => item.name === name);
      const notes = rows.map(([onset, offset, key, velocity, drum, word]) => ({ onset, offset, key, velocity, drum, name: word }));
      return { id: grouped ? source()?.id || data.REST : k, component: grouped ? null : k, name, colour: () => sourceColour(source()), notes };
    });
    const without = lists.filter((list) => !list.notes.length).map((list) => list.name);
    if (without.length) toast(`No notes of ${without.join(', ')}: neither a pitch nor strokes were found.`);
    if (without.length === lists.length) return;
    this.grouped = this.grouping();
    this.roll.show(lists);
    this.notesButton.setAttribute('aria-pressed', 'true');
  }

  hideNotes() {
    this.roll.hide();
    this.notesButton.setAttribute('aria-pressed', 'false');
  }

  // Hear the source of a note alone, from the note on.
  async hearNote(note) {
    data.hearOnly(note.source.id, note.source.component);
    this.player.seek(Math.max(0, note.onset - 0.02));
    this.placeHead();
    announce(`${note.source.name} alone, from ${note.name}`);
    if (!this.player.playing) await this.player.playOrTell();
  }

  // pointer

  wheel(event) {
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    const amount = event.deltaMode ? 30 : 1;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      const delta = (event.deltaX || event.deltaY) * amount;
      this.timeline.pan((delta / box.width) * this.timeline.span);
    } else if (event.altKey) {
      this.timeline.zoomFrequencies(Math.exp(event.deltaY * amount * 0.002), 1 - (event.clientY - box.top) / box.height);
    } else {
      const at = this.timeline.seconds(event.clientX - box.left, box.width);
      this.timeline.zoom(Math.exp(event.deltaY * amount * 0.002), at);
    }
  }

  // Up and down on the spectrogram scroll its frequencies.
  frequencies(event) {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    const { low, high } = this.timeline;
    this.timeline.showFrequencies(low + (way * (high - low)) / 8);
    event.preventDefault();
  }

  press(event) {
    if (event.button) return;
    if (this.marking.on) this.marking.press(event);
    else this.pan(event);
  }

  // A click moves the playhead, a drag the view.
  pan(event) {
    const box = this.canvas.getBoundingClientRect();
    const { start, end, low, high } = this.timeline;
    let moved = false;
    this.capture(event, this.frame, (e) => {
      const delta = e.clientX - event.clientX;
      const rise = e.clientY - event.clientY;
      moved ||= Math.hypot(delta, rise) > DRAG_PIXELS;
      if (moved) this.timeline.showFrequencies(low + (rise / box.height) * (high - low));
      if (moved) this.timeline.show(start - (delta / box.width) * (end - start), end - (delta / box.width) * (end - start));
    }, () => {
      if (!moved) {
        this.player.seek(this.timeline.seconds(event.clientX - box.left, box.width));
        this.placeHead();
      }
    });
  }

  scrub(event, strip) {
    if (event.button) return;
    const box = strip.getBoundingClientRect();
    this.player.seek(this.timeline.seconds(event.clientX - box.left, box.width));
    this.placeHead();
  }

  range(event) {
    const box = this.ruler.getBoundingClientRect();
    const time = (e) => clamp(this.timeline.seconds(e.clientX - box.left, box.width), 0, this.timeline.duration);
    const from = time(event);
    let moved = false;
    this.capture(event, this.ruler, (e) => {
      moved ||= Math.abs(e.clientX - event.clientX) > DRAG_PIXELS;
      if (moved) this.player.setLoop([Math.min(from, time(e)), Math.max(from, time(e))]);
    }, () => {
      if (!moved) {
        this.player.seek(from);
        this.placeHead();
      }
    });
  }

  capture(event, element, move, up) {
    element.setPointerCapture(event.pointerId);
    const end = () => {
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', end);
      element.removeEventListener('pointercancel', end);
      up();
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
  }

  // Drag a component, with all others that are selected, onto a source.
  drag(event, k) {
    if (event.button) return;
    this.dragged = false;
    const members = store.selected.has(k) ? [...store.selected] : [k];
    const element = event.currentTarget;
    element.setPointerCapture(event.pointerId); // or a quick hand is out of it at once
    let ghost = null;
    let target = null;
    const move = (e) => {
      if (!ghost) {
        if (Math.hypot(e.clientX - event.clientX, e.clientY - event.clientY) < DRAG_PIXELS) return;
        this.dragged = true;
        ghost = h('div', { class: 'ghost' }, this.named(members), h('span', {}));
        document.body.append(ghost);
        document.body.classList.add('dragging');
      }
      ghost.style.transform = `translate(${e.clientX + 12}px, ${e.clientY + 8}px)`;
      const under = document.elementFromPoint(e.clientX, e.clientY)?.closest('.source[data-source], .panel');
      if (under !== target) {
        target?.classList.remove('target');
        target = under;
        target?.classList.add('target');
        const source = data.sources().find((item) => item.id === target?.dataset.source);
        ghost.lastChild.textContent = target ? ` → ${source ? source.name : target.dataset.source || 'new source'}` : '';
      }
    };
    const end = (e) => {
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', end);
      element.removeEventListener('pointercancel', end);
      ghost?.remove();
      target?.classList.remove('target');
      document.body.classList.remove('dragging');
      if (!ghost) return;
      if (e.type === 'pointerup' && target) this.drop(members, target.dataset.source || 'new');
      setTimeout(() => { this.dragged = false; }, 0); // after the click that ends the drag
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
  }

  // sources

  // The name of the source whose card something is over.
  nameAt(target) {
    const id = target.closest?.('.source[data-source]')?.dataset.source;
    return data.sources().find((item) => item.id === id)?.name || '';
  }

  named(components) {
    if (components.length > 1) return `${components.length} components`;
    return `${title(data.model().components[components[0]])} #${components[0]}`;
  }

  // A drop always says what it did, also where it changed nothing.
  drop(components, id) {
    const source = data.sources().find((item) => item.id === id);
    const stays = id !== 'new' && components.every((k) => (data.owner(k)?.id || data.REST) === id);
    if (stays && id === data.REST) toast(`${this.named(components)} is in rest already: rest is what is in no source. Drop it on a source, or beside all of them for a new one.`);
    else if (stays) toast(`${this.named(components)} is in ${source.name} already.`);
    else this.choose(components, id);
    if (id === 'new') toast(`${data.sources().at(-1).name} was made, with ${this.named(components)}. Write its name.`);
  }

  choose(components, id) {
    if (!id) return;
    if (id === 'new') {
      const made = data.addSource(components);
      this.sources.rename(made);
      announce(`${data.sources().at(-1).name} was made, with ${this.named(components)}`);
    } else {
      data.assign(components, id === data.REST ? null : id);
      const source = data.sources().find((item) => item.id === id);
      announce(`${this.named(components)} in ${source ? source.name : 'rest'}`);
    }
    store.selected.clear();
    data.emit('selection');
  }

  digit(components, n) {
    const source = n ? data.sources()[n - 1] : null;
    if (n && !source) toast(`There is no source ${n}; N makes a new one.`);
    else this.choose(components, source ? source.id : data.REST);
  }

  // marks

  setMarking(on) {
    this.marking.set(on);
  }

  async refine() {
    this.live.rest();
    await store.sending;
    const done = await this.actions.run({ kind: 'refine', version: store.state.version }, 'Refining');
    if (!done) return;
    store.kept = false;
    toast('The components were found again with your marks. Undo brings the old ones back.');
  }

  // painting

  paintMarks() {
    const { context, width, height } = prepare(this.over);
    const range = this.player.loopSeconds;
    if (range) {
      const [a, b] = range.map((s) => this.timeline.x(s, width));
      context.fillStyle = colour('--veil');
      context.fillRect(0, 0, Math.max(0, a), height);
      context.fillRect(b, 0, Math.max(0, width - b), height);
    }
    this.marking.paint(context, width, height);
  }

  paintRuler() {
    const { context, width, height } = prepare(this.ruler);
    const range = this.player.loopSeconds;
    if (range) {
      const [a, b] = range.map((s) => this.timeline.x(s, width));
      context.fillStyle = colour('--accent');
      context.globalAlpha = 0.35;
      context.fillRect(a, 0, b - a, height);
      context.globalAlpha = 1;
      context.fillRect(a, 0, 2, height);
      context.fillRect(b - 2, 0, 2, height);
    }
    context.font = '11px system-ui, sans-serif';
    context.textBaseline = 'middle';
    const { ticks, digits } = this.timeline.ticks(width);
    for (const tick of ticks) {
      const x = this.timeline.x(tick, width);
      context.fillStyle = colour('--line');
      context.fillRect(Math.round(x), 0, 1, 5);
      context.fillStyle = colour('--quiet');
      const text = clock(tick, digits);
      const half = context.measureText(text).width / 2;
      context.fillText(text, clamp(x - half, 2, width - 2 * half - 2), height / 2 + 3);
    }
  }
}
