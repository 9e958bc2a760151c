// Before there are components: choose a recording, say how it is to be taken apart, watch it happen.

import { api } from './api.js';
import { announce, clamp, clock, colour, h, icon, iconButton, oncePerFrame, options, prepare, setIcon, toast } from './dom.js';
import { asSent, fileButton, freshSource, giveOrSpread, giveToAll, isKnown, knownCard, sendAll } from './known.js';
import { Others } from './others.js';
import { Player } from './player.js';
import * as data from './store.js';

const { store } = data;
const SHORTEST_RANGE = 0.05;
const MOST_RECENT = 4;
const COUNTS = [2, 3, 4, 5, 6]; // of sources that are found automatically

const STAGES = {
  start: 'Getting ready', open: 'Opening', read: 'Reading', factorise: 'Finding components', activate: 'Finding when they sound',
  adapt: 'Fitting them to the recording', vote: 'Finding what else the recording is made of', compare: 'Comparing that with the examples', draw: 'Drawing the spectrogram', align: 'Moving the score to the recording', group: 'Finding out what belongs together',
  'place in stereo': 'Finding where sources stand', strokes: 'Finding strokes', templates: 'Reading templates', 'fit the score': 'Fitting the notes', refine: 'Finding components again, with your marks',
  ready: 'Nearly done', render: 'Rendering', notes: 'Listening to each source',
};

export function stageName(stage) {
  const [verb, ...name] = stage.split(' ');
  const doing = { read: 'Reading', learn: 'Learning' }[verb];
  if (doing && name.length) return `${doing} ${name.join(' ')}`;
  return STAGES[stage] || stage.charAt(0).toUpperCase() + stage.slice(1);
}

async function upload(file, bar) {
  bar.hidden = false;
  try {
    return await api.upload(file, (share) => { bar.value = share; });
  } catch (error) {
    toast(error.message, 'error');
    return null;
  } finally {
    bar.hidden = true;
  }
}

// The first view: a place to drop a file.
export function startView(actions) {
  const bar = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Sending the file' });
  const input = h('input', { type: 'file', accept: 'audio/*,.wav,.flac,.aiff,.aif,.ogg,.mp3,.audionmf,.npz', class: 'visually-hidden', tabindex: -1, 'aria-hidden': 'true', onchange: () => take([...input.files]) });
  input.multiple = true;

  // Several recordings are taken apart in one way; of other files there is one at a time.
  async function take(files) {
    const opened = [];
    for (const file of files) {
      const made = await upload(file, bar);
      if (made && opens(made)) opened.push(made);
    }
    if (opened.length) await actions.opened(...opened);
  }

  async function pick(id, button) {
    button.disabled = true;
    try {
      const made = await api.pick(id);
      if (opens(made)) await actions.opened(made);
      else button.disabled = false;
    } catch (error) {
      toast(error.message, 'error');
      button.disabled = false;
    }
  }

  // A bank or a score says something of sources; it is kept until there is a recording.
  function opens(made) {
    if (!made.kind) return true;
    if (made.kind === 'project' || made.kind === 'model') {
      actions.openSaved(made);
      return false;
    }
    toast(`${made.name} is kept: open the recording, and give it to its sources there.`);
    return false;
  }

  const zone = h(
    'div',
    { class: 'drop' },
    icon('export'),
    h('p', { class: 'drop-title' }, 'Drop a recording here, or several'),
    h('p', { class: 'hint' }, `WAV, FLAC, AIFF, Ogg or MP3, or a project (.audionmf), up to ${size(store.state.max_upload)}. It stays on this machine.`),
    h('button', { type: 'button', class: 'primary', onclick: () => input.click() }, 'Choose a file'),
    input,
    bar,
  );
  const { items } = store.state.queue;
  const queue = items.length ? [h('button', { type: 'button', class: 'offer', onclick: () => actions.queue() }, h('span', {}, 'Several recordings'), h('span', { class: 'hint' }, `${items.filter((item) => item.course === 'done').length} of ${items.length} done`))] : [];
  const opened = store.state.recordings.map((item) => h('button', { type: 'button', class: 'offer', onclick: () => actions.opened(item) }, h('span', {}, item.name), h('span', { class: 'hint' }, `${item.left || item.kept ? 'worked on · ' : ''}${clock(item.duration, 0)}`)));
  const offered = store.state.offered.filter((item) => !item.opened).map((item) => {
    const button = h('button', { type: 'button', class: 'offer', onclick: () => pick(item.id, button) }, h('span', {}, item.name));
    return button;
  });
  const gone = () => { section.hidden = !section.querySelector('li'); };
  const [recent, earlier] = [store.state.kept.slice(0, MOST_RECENT), store.state.kept.slice(MOST_RECENT)].map((items) => items.map((item) => keptItem(item, actions, gone)));
  const section = h(
    'section',
    { 'aria-label': 'Go on with what you worked on', hidden: !recent.length },
    h('h2', {}, 'Go on where you were'),
    h('ul', { class: 'offers' }, ...recent),
    earlier.length ? h('details', {}, h('summary', {}, `Earlier work (${earlier.length})`), h('ul', { class: 'offers' }, ...earlier)) : null,
  );
  const view = h(
    'main',
    { class: 'start' },
    h('h1', {}, 'Take a recording apart'),
    h('p', { class: 'lead' }, 'The studio finds the sounds that a recording is made of. Hear each of them alone, put them together into instruments, and save the stems.'),
    section,
    zone,
    h('section', { 'aria-label': 'Recordings to pick' }, h('h2', {}, 'Or pick one'), h('div', { class: 'offers' }, ...queue, ...opened, ...offered)),
  );
  dropZone(view, zone, take);
  return view;
}

function size(bytes) {
  const megabytes = Math.round(bytes / 2 ** 20);
  return megabytes % 1024 ? `${megabytes} MB` : `${megabytes / 1024} GB`;
}

// Work that was kept on the disk: to be gone on with, or forgotten.
function keptItem(item, actions, gone) {
  const when = new Date(1000 * item.when).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  const what = item.sources.length ? item.sources.join(', ') : 'no sources yet';
  const go = h('button', { type: 'button', class: 'resume', onclick: () => actions.goOn(item) }, h('span', { class: 'two' }, h('span', { class: 'ends' }, h('span', {}, item.name)), h('span', { class: 'hint', title: what }, `${when} · ${what}`)));
  const forget = iconButton('close', `Forget ${item.name} of ${when}`, async () => {
    try {
      await api.forget(item.id);
      element.remove();
      gone();
      toast(`${item.name} of ${when} is forgotten.`);
    } catch (error) {
      toast(error.message, 'error');
    }
  });
  const element = h('li', { class: 'kept' }, go, forget);
  return element;
}

function dropZone(view, zone, take, sign = 'over') {
  view.addEventListener('dragover', (event) => {
    event.preventDefault();
    zone.classList.add(sign);
  });
  view.addEventListener('dragleave', () => zone.classList.remove(sign));
  view.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove(sign);
    take([...event.dataTransfer.files]);
  });
}

// The second view: how the recording is to be taken apart.
export class Setup {
  constructor(recording, actions) {
    Object.assign(this, { recording, actions });
    this.way = 'auto';
    this.sources = [freshSource(0), freshSource(1)];
    this.result = 'stems';
    this.outline = null;
    this.marking = null;
    this.player = new Player();
    this.player.loadWhole(recording).catch((error) => toast(error.message, 'error'));
    for (const name of ['state', 'position']) this.player.addEventListener(name, () => this.playState());
    this.element = this.build();
    this.load();
  }

  // What the command line offered, and is not this recording: examples, banks, scores.
  offered() {
    return store.state.offered.filter((item) => !item.sample && item.name !== this.recording.name);
  }

  // Take over what was said before: how a model was asked for, or the sources that were made of it.
  take(way, names = []) {
    if (!way) return;
    this.sources = way.sources.map((source, i) => ({ ...structuredClone(source), colour: i % 8 }));
    for (const name of names) if (!this.sources.some((source) => source.name === name)) this.sources.push({ ...freshSource(this.sources.length), name });
    while (this.sources.length < 1) this.sources.push(freshSource(this.sources.length));
    this.result = way.sources.length ? way.result : 'stems';
    this.free = way.free;
    if (way.sources.length) this.each = way.components || this.each;
  }

  // Give files to the source of a name, or to whichever they name.
  give(made, name = '') {
    const source = this.sources.find((item) => name && item.name === name);
    if (source) giveOrSpread(this.sources, source, made);
    else giveToAll(this.sources, made);
    this.pick('known');
  }

  // Take over the notes of sources, by their names.
  know({ given, parts }) {
    for (const [name, part] of Object.entries(parts)) {
      let source = this.sources.find((item) => item.name === name);
      if (!source) this.sources.push(source = { ...freshSource(this.sources.length), name });
      source.notes = [given, part];
    }
    this.sources = this.sources.filter((source) => source.name || isKnown(source));
    this.pick('known');
  }

  pick(way) {
    const box = this.element.querySelector(`input[name="way"][value="${way}"]`);
    box.checked = true;
    this.choose(way);
  }

  async load() {
    try {
      this.outline = new Int8Array(await api.waveform(this.recording.id));
      this.draw();
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  build() {
    const { name, duration, sample_rate: rate, channels } = this.recording;
    this.canvas = h('canvas', { class: 'waveform', 'aria-label': 'Waveform', role: 'img' });
    this.draw = oncePerFrame(() => this.paint());
    new ResizeObserver(this.draw).observe(this.canvas);
    this.canvas.addEventListener('pointerdown', (event) => this.press(event));
    this.playButton = iconButton('play', 'Play', () => this.listen(), { class: 'icon-button play' });
    this.time = h('output', { class: 'time', 'aria-label': 'Time' }, `0:00.0 / ${clock(duration)}`);
    this.head = h('div', { class: 'playhead' });
    const wave = h('div', { class: 'wave' }, h('div', { class: 'wave-line' }, this.playButton, h('div', { class: 'wave-box' }, this.canvas, h('div', { class: 'wave-head', 'aria-hidden': 'true' }, this.head)), this.time));
    this.form = h('div', { class: 'form' });
    const ways = [
      ['auto', 'Automatically', 'Nothing need be known: stems with names, to hear, rename and join.'],
      ['known', 'By what you know', 'Examples, banks, notes, where each is alone: any of them together.'],
      ['parts', 'Into components', 'You do the grouping, by ear. Works for anything.'],
    ].map(([value, title, text]) => h('label', { class: 'way' }, h('input', { type: 'radio', name: 'way', value, checked: value === 'auto', onchange: () => this.choose(value) }), h('span', {}, h('strong', {}, title), h('span', { class: 'hint' }, text))));
    this.back = h('button', { type: 'button', class: 'big', hidden: true, onclick: () => this.actions.resume() }, 'Go on where you left it');
    this.go = h('button', { type: 'button', class: 'primary big', title: 'Enter', onclick: () => this.start() }, 'Take it apart');
    this.others = new Others(this);
    const view = h(
      'main',
      { class: 'setup' },
      h('h1', {}, name),
      h('p', { class: 'hint' }, `${clock(duration)} · ${rate / 1000} kHz · ${channels === 1 ? 'mono' : channels === 2 ? 'stereo' : `${channels} channels`}`),
      wave,
      h('fieldset', { class: 'ways' }, h('legend', {}, 'How should it be taken apart?'), ...ways),
      this.form,
      this.others.element,
      h('div', { class: 'line end' }, h('button', { type: 'button', onclick: () => this.actions.leave() }, 'Another recording'), this.back, this.go),
    );
    this.choose('auto');
    dropZone(view, view, (files) => sendAll(files, h('progress'), (made) => this.give(made)), 'over');
    return view;
  }

  choose(way) {
    this.way = way;
    this.marking = null;
    this.fill();
  }

  fill() {
    const { way } = this;
    const parts = { auto: () => this.autoForm(), known: () => this.knownForm(), parts: () => this.partsForm() };
    this.form.replaceChildren(...parts[way]());
    this.draw();
  }

  autoForm() {
    const what = h('select', { 'aria-label': 'What the recording is', onchange: () => { this.what = what.value; this.fill(); } }, ...options([['', 'any music or sound'], ['lead', 'one voice that leads, and its accompaniment'], ['kit', 'drums'], ['textures', 'anything, into what holds a tone and what is struck']], this.what || ''));
    const number = h('select', { 'aria-label': 'Number of sources', onchange: () => { this.number = Number(number.value); } }, ...options([[0, 'as many as are heard'], ...COUNTS.map((n) => [n, String(n)])], this.number || 0));
    return [h('div', { class: 'line fields' }, h('label', { class: 'field' }, h('span', {}, 'It is'), what), this.what ? null : h('label', { class: 'field' }, h('span', {}, 'Sources'), number))];
  }

  // Take so many sources, by a key: 0 stands for as many as are heard.
  expect(n) {
    if (this.way !== 'auto' || this.what || (n && !COUNTS.includes(n))) return;
    this.number = n;
    this.fill();
    announce(n ? `${n} sources` : 'As many sources as are heard');
  }

  partsForm() {
    const value = h('output', { class: 'figure' }, String(this.count || 16));
    const slider = h('input', { type: 'range', min: 2, max: 48, value: this.count || 16, 'aria-label': 'Number of components', oninput: () => { this.count = Number(slider.value); value.textContent = slider.value; } });
    return [h('label', { class: 'field' }, h('span', {}, 'Components'), slider, value), h('p', { class: 'hint' }, 'About three or four for each instrument, more where many notes are played: every component is one sound, such as a note or a drum.')];
  }

  knownForm() {
    return [
      h('ul', { class: 'known', 'aria-label': 'Sources' }, ...this.sources.map((source, i) => knownCard(this, source, i))),
      h('div', { class: 'line' }, h('button', { type: 'button', onclick: () => { this.sources.push(freshSource(this.sources.length)); this.fill(); } }, 'Add a source'), ...fileButton('Add files to all', (made) => this.give(made))),
      h('p', { class: 'hint' }, 'Drop audio on a source as an example, a bank (.npz) or its notes (.mid); beside all of them, each part becomes a source. One source is enough: all that it leaves is the rest.'),
      this.numbers(),
    ];
  }

  numbers() {
    const plain = this.sources.every((source) => !source.banks.length && !source.notes && !source.voice);
    if (!plain) this.result = 'stems';
    const result = h('select', { 'aria-label': 'What comes out', onchange: () => { this.result = result.value; this.fill(); } }, ...options([['stems', 'stems, as good as the command line makes them'], ['components', 'components, to group and correct by hand']].slice(0, plain ? 2 : 1), this.result));
    const each = h('select', { 'aria-label': 'Components for each source', onchange: () => { this.each = Number(each.value); } }, ...options([[4, '4'], [6, '6'], [8, '8'], [12, '12'], [16, '16']], this.each || 8));
    const free = h('select', { 'aria-label': 'Further components for everything else', onchange: () => { this.free = Number(free.value); } }, ...options([[0, 'none'], [2, '2'], [4, '4'], [8, '8']], this.free || 0));
    const field = (text, input) => h('label', { class: 'field' }, h('span', {}, text), input);
    return h('div', { class: 'line fields' }, field('Make', result), ...(this.result === 'components' ? [field('Components for each source', each)] : []), field('Further ones, for all else', free));
  }

  // Play or pause; or play a range again and again.
  async listen(range = null) {
    if (range) {
      this.player.setLoop(range);
      this.player.seek(range[0]);
    } else if (this.player.playing) {
      this.player.pause();
      return;
    } else {
      this.player.setLoop(null);
    }
    await this.player.playOrTell();
  }

  playState() {
    const { playing } = this.player;
    setIcon(this.playButton, playing ? 'pause' : 'play', playing ? 'Pause' : 'Play');
    const step = () => {
      const { seconds } = this.player;
      this.head.style.transform = `translateX(${(seconds / this.recording.duration) * this.canvas.clientWidth}px)`;
      this.time.textContent = `${clock(seconds)} / ${clock(this.recording.duration)}`;
      this.ticking = this.player.playing && this.element.isConnected;
      if (this.ticking) requestAnimationFrame(step);
    };
    if (!this.ticking) step();
  }

  // A click on the waveform moves the playhead; a drag marks where a source is alone.
  press(event) {
    if (event.button) return;
    const box = this.canvas.getBoundingClientRect();
    const time = (e) => clamp((e.clientX - box.left) / box.width, 0, 1) * this.recording.duration;
    const from = time(event);
    const ranges = this.way === 'known' && this.marking ? this.sources[this.marking.i][this.marking.kind] : null;
    const span = [from, from];
    ranges?.push(span);
    this.canvas.setPointerCapture(event.pointerId);
    const move = (e) => {
      span[0] = Math.min(from, time(e));
      span[1] = Math.max(from, time(e));
      this.draw();
    };
    const up = () => {
      this.canvas.removeEventListener('pointermove', move);
      this.canvas.removeEventListener('pointerup', up);
      this.canvas.removeEventListener('pointercancel', up);
      const marked = span[1] - span[0] >= SHORTEST_RANGE;
      if (ranges && !marked) ranges.splice(ranges.indexOf(span), 1);
      if (ranges && marked) {
        this.fill();
      } else {
        this.player.setLoop(null);
        this.player.seek(from);
        this.draw();
      }
    };
    this.canvas.addEventListener('pointermove', move);
    this.canvas.addEventListener('pointerup', up);
    this.canvas.addEventListener('pointercancel', up);
  }

  paint() {
    if (!this.outline || !this.canvas.isConnected) return;
    const { context, width, height } = prepare(this.canvas);
    const n = this.outline.length / 2;
    if (this.way === 'known') {
      for (const source of this.sources) {
        context.fillStyle = colour(`--source-${source.colour}`);
        const bar = ([a, b], top, high) => context.fillRect((a / this.recording.duration) * width, top, ((b - a) / this.recording.duration) * width, high);
        context.globalAlpha = 0.35;
        for (const span of source.alone) bar(span, 0, height);
        context.globalAlpha = 0.8;
        for (const span of source.absent) bar(span, height - 6, 6); // a line below where it is silent
      }
      context.globalAlpha = 1;
    }
    context.fillStyle = colour('--wave');
    for (let x = 0; x < width; x += 1) {
      const from = Math.floor((x / width) * n);
      const to = Math.max(from + 1, Math.floor(((x + 1) / width) * n));
      let low = 0;
      let high = 0;
      for (let i = from; i < to; i += 1) {
        low = Math.min(low, this.outline[i]);
        high = Math.max(high, this.outline[n + i]);
      }
      const top = height / 2 - (high / 127) * (height / 2 - 4);
      const bottom = height / 2 - (low / 127) * (height / 2 - 4);
      context.fillRect(x, top, 1, Math.max(1, bottom - top));
    }
  }

  start() {
    const several = this.others.chosen.size > 0;
    const body = { ...(several ? { kind: 'queue', recordings: this.others.ids } : { kind: 'analyse', recording: this.recording.id }), result: 'stems', components: 0, free: 0, number: 0, kit: false, sources: [] };
    if (this.way === 'parts') {
      this.actions.start({ ...body, result: 'components', components: this.count || 16 });
      return;
    }
    if (this.way === 'auto') {
      const lead = this.what === 'lead' ? [asSent({ ...freshSource(0), name: 'lead', voice: true }, 0)] : [];
      this.actions.start({ ...body, number: this.what ? 0 : this.number || 0, kit: this.what === 'kit', harmonic_percussive: this.what === 'textures', sources: lead });
      return;
    }
    const known = this.sources.filter(isKnown);
    if (!known.length) {
      toast('Give at least one source something: an example, a bank, its notes, or where it plays alone.');
      return;
    }
    const silent = this.sources.find((source) => !isKnown(source) && source.absent.length);
    if (silent) {
      toast(`All that is known of ${silent.name || 'a source'} is where it is silent: give it an example, a bank, notes or where it is alone, too.`);
      return;
    }
    this.actions.start({ ...body, result: this.result, components: this.result === 'components' ? this.each || 8 : 0, free: this.free || 0, sources: known.map(asSent) });
  }
}

// Where passes over more and more of the recording begin: within one the divergence never rises.
export function passes(values) {
  const starts = [0];
  for (let i = 1; i < values.length; i += 1) if (values[i] > values[i - 1] * (1 + 1e-6)) starts.push(i);
  return starts;
}

// While a job runs: what it does, how the divergence falls, and a way to stop it.
export class Progress {
  constructor(name) {
    this.stage = h('p', { class: 'stage-name', 'aria-live': 'polite' }, 'Getting ready');
    this.bar = h('progress', { max: 1, value: 0, 'aria-label': 'Progress' });
    this.canvas = h('canvas', { class: 'curve', role: 'img', 'aria-label': 'How the divergence falls', hidden: true });
    this.figure = h('p', { class: 'hint' });
    this.enough = h('button', { type: 'button', hidden: true, onclick: () => this.stop(true) }, 'Enough: use what is found');
    this.cancel = h('button', { type: 'button', onclick: () => this.stop(false) }, 'Stop');
    this.values = [];
    this.draw = oncePerFrame(() => this.paint());
    this.element = h('div', { class: 'progress', role: 'group', 'aria-label': 'Progress' }, h('h1', {}, name), this.stage, this.bar, this.canvas, this.figure, h('div', { class: 'line end' }, this.enough, this.cancel));
  }

  show(told) {
    this.job = told.id;
    this.values = told.divergence;
    const name = stageName(told.stage);
    if (this.stage.textContent !== name) this.stage.textContent = name;
    this.bar.value = told.share;
    this.canvas.hidden = this.enough.hidden = !told.divergence.length;
    this.figure.textContent = this.words();
    this.draw();
  }

  words() {
    const { values } = this;
    if (!values.length) return '';
    const now = Number(values.at(-1).toPrecision(4)).toLocaleString('en', { maximumSignificantDigits: 4 });
    const n = passes(values).length;
    return `Divergence after ${values.length} iterations: ${now}${n > 1 ? ` · pass ${n}, each looks at more of the recording` : ''}`;
  }

  async stop(keep) {
    if (!this.job) return;
    this.cancel.disabled = this.enough.disabled = true;
    try {
      await api.stop(this.job, keep);
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  paint() {
    if (!this.canvas.isConnected) return;
    const { context, width, height } = prepare(this.canvas);
    const { values } = this;
    context.strokeStyle = colour('--line');
    for (let i = 1; i < 4; i += 1) context.strokeRect(-1, (i * height) / 4, width + 2, 0);
    if (values.length < 2) return;
    const logs = values.map((v) => Math.log(Math.max(v, 1e-30)));
    const x = (i) => (i / (logs.length - 1)) * (width - 8) + 4;
    const starts = passes(values);
    context.font = '12px system-ui, sans-serif';
    context.lineJoin = 'round';
    starts.forEach((start, n) => {
      const end = starts[n + 1] ?? logs.length;
      const part = logs.slice(start, end);
      const [low, high] = [Math.min(...part), Math.max(...part)];
      if (n) {
        context.fillStyle = colour('--line');
        context.fillRect(Math.round(x(start)) - 4, 0, 1, height);
      }
      if (starts.length > 1 && (n < starts.length - 1 || x(end - 1) - x(start) > 60)) {
        context.fillStyle = colour('--quiet');
        context.fillText(`pass ${n + 1}`, x(start) + 10, 18);
      }
      context.strokeStyle = colour('--accent');
      context.lineWidth = 2.5;
      context.beginPath();
      part.forEach((value, i) => {
        const y = 8 + (1 - (value - low) / Math.max(1e-9, high - low)) * (height - 16);
        if (i) context.lineTo(x(start + i), y);
        else context.moveTo(x(start), y);
      });
      context.stroke();
    });
  }
}
