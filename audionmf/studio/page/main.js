// The start of the page: which view is shown, what all views share.

import { api } from './api.js';
import { h, iconButton, sayFromBefore, setIcon, showOver, toast } from './dom.js';
import { exportDialog, helpDialog } from './dialogs.js';
import { sendAll } from './known.js';
import { watchServer } from './presence.js';
import { QueueView } from './several.js';
import { Progress, Setup, startView } from './setup.js';
import * as data from './store.js';
import { Studio } from './studio.js';
import { startTour } from './tour.js';

const { store } = data;
const app = document.getElementById('app');
const dark = matchMedia('(prefers-color-scheme: dark)');
let studio = null;
let setup = null;
let themeButtons = [];
const setups = new Map(); // what was filled in is still there after a stop

// light and dark

function scheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem('scheme');
  } catch {
    chosen = null; // a browser that keeps nothing
  }
  return chosen || (dark.matches ? 'dark' : 'light');
}

function applyScheme() {
  document.documentElement.dataset.scheme = scheme();
  for (const button of themeButtons) setIcon(button, scheme() === 'dark' ? 'sun' : 'moon', scheme() === 'dark' ? 'Light colours' : 'Dark colours');
  studio?.recolour();
  setup?.fill();
}

function themeButton() {
  const button = iconButton('sun', 'Light colours', () => {
    try {
      localStorage.setItem('scheme', scheme() === 'dark' ? 'light' : 'dark');
    } catch {
      toast('The browser does not keep the choice.');
    }
    applyScheme();
  });
  themeButtons = themeButtons.filter((other) => other.isConnected);
  themeButtons.push(button);
  setIcon(button, scheme() === 'dark' ? 'sun' : 'moon', scheme() === 'dark' ? 'Light colours' : 'Dark colours');
  return button;
}

dark.addEventListener('change', applyScheme);

// views

function quiet() {
  studio?.player.close();
  setup?.player.close();
  studio = setup = null;
}

function frame(view) {
  quiet();
  app.replaceChildren(h('header', { class: 'bar plain' }, h('span', { class: 'brand' }, h('img', { src: '/static/icon.svg', alt: '', width: '24', height: '24' }), 'audionmf studio'), h('div', { class: 'group' }, themeButton())), view);
}

async function showStart() {
  await data.load().catch((error) => toast(error.message, 'error'));
  document.title = 'audionmf studio';
  frame(startView({ opened: showSetup, openSaved, goOn, queue: showQueue }));
}

async function showSetup(recording, ...others) {
  if (!store.state.recordings.some((item) => item.id === recording.id)) store.state.recordings.push(recording);
  document.title = `${recording.name} – audionmf studio`;
  if (!setups.has(recording.id)) {
    setups.set(recording.id, new Setup(recording, { leave: showStart, resume: () => backTo(recording), start: (body) => analyse(body, recording) }));
  }
  frame(setups.get(recording.id).element);
  setup = setups.get(recording.id);
  const { left, kept } = told(recording);
  setup.back.hidden = !left && !kept;
  for (const other of others) setup.others.add(other);
  setup.others.fill();
  setup.draw();
}

function showQueue() {
  document.title = 'Several recordings – audionmf studio';
  frame(new QueueView({ leave: showStart, open: resume }).element);
}

function told(recording) {
  return store.state.recordings.find((item) => item.id === recording.id);
}

// Go on with what is open of a recording, or was kept of it.
function backTo(recording) {
  const { left, kept } = told(recording);
  return left ? resume(recording) : goOn({ id: kept, name: recording.name });
}

async function goOn(kept) {
  await openBy(() => api.goOn(kept.id));
}

// Back to the account of the recording as it was taken apart, with more that is known.
async function knowMore(give, said) {
  const recording = data.recording();
  const { way } = data.model();
  const names = data.sources().map((source) => source.name);
  await store.sending;
  setups.delete(recording.id);
  await leave(async () => {
    await data.load();
    await showSetup(recording);
    setup.take(way, names);
    give();
    toast(said);
  });
}

// Tell more of a source, from the studio: the account of the recording, with what was dropped.
async function tell(files, name = '') {
  const given = [];
  await sendAll(files, document.createElement('progress'), (made) => given.push(made));
  if (!given.length) return;
  const named = given.map((made) => made.name).join(', ');
  await knowMore(
    () => given.forEach((made) => setup.give(made, name)),
    `${named} ${given.length > 1 ? 'are' : 'is'} known now: take it apart again with it, or go on where you left it.`,
  );
}

// Take it apart again with notes as they were written in the roll: what is not there is not played.
async function withNotes(parts) {
  let made;
  try {
    made = await api.score(data.recording().id, parts);
  } catch (error) {
    toast(error.message, 'error');
    return;
  }
  await knowMore(
    () => setup.know(made),
    'The notes are known now: take it apart with them, or go on where you left it.',
  );
}

async function analyse(body, recording) {
  let job;
  try {
    job = await api.start(body);
  } catch (error) {
    toast(error.message, 'error');
    return;
  }
  if (body.kind === 'queue') {
    showQueue();
    return;
  }
  await watch(job, recording);
}

// Go on with a project, or a model.
async function openSaved(made) {
  await openBy(() => api.start({ kind: 'open', file: made.id }));
}

async function openBy(start) {
  let job;
  try {
    job = await start();
  } catch (error) {
    toast(error.message, 'error');
    return;
  }
  await watch(job, null);
}

async function watch(job, recording) {
  const progress = new Progress(recording ? recording.name : 'Working');
  frame(h('main', { class: 'setup' }, progress.element));
  try {
    const done = await api.follow(job, (told) => progress.show(told));
    if (!done && recording) {
      await showSetup(recording);
      return;
    }
    for (const note of done?.notes || []) toast(note);
    await data.load();
    fresh();
    showBest();
  } catch (error) {
    toast(error.message, 'error');
    if (recording) await showSetup(recording);
    else showBest();
  }
}

function showStudio() {
  document.title = `${data.recording().name} – audionmf studio`;
  quiet();
  studio = new Studio({ leave: () => leave(), tell, withNotes, exports: exportDialog, help, themeButton, run });
  app.replaceChildren(studio.element);
  studio.show().catch((error) => toast(error.message, 'error'));
  studio.sourcesChanged();
}

function help() {
  helpDialog(() => startTour(() => studio));
}

// A job that goes on over the studio, which stays as it is until the job is done.
async function run(body, name) {
  let job;
  try {
    job = await api.start(body);
  } catch (error) {
    toast(error.message, 'error');
    return false;
  }
  const progress = new Progress(name);
  const box = h('dialog', { class: 'dialog', 'aria-label': name }, progress.element);
  box.addEventListener('cancel', (event) => {
    event.preventDefault();
    progress.stop(false);
  });
  showOver(box);
  try {
    const done = await api.follow(job, (told) => progress.show(told));
    if (!done) return false;
    if (body.kind !== 'notes') { // which change nothing
      await data.load();
      data.emit('model');
      data.emit('sources');
    }
    return done;
  } catch (error) {
    toast(error.message, 'error');
    return false;
  } finally {
    box.close();
  }
}

// Go on with what was left of a recording, with its sources and marks.
async function resume(recording) {
  try {
    await api.resume(store.state.version, recording.id);
  } catch (error) {
    toast(error.message, 'error');
  }
  await data.load();
  if (store.state.model) store.left.delete(store.state.recording);
  fresh();
  showBest();
}

function fresh() {
  store.original = false;
  for (const set of [store.soloed, store.muted, store.soloedSources, store.mutedSources, store.selected]) set.clear();
}

async function leave(next = showStart) {
  studio?.live.rest();
  try {
    await store.sending;
    const { recording } = store.state;
    const lost = !store.kept;
    Object.assign(store.state, await api.close(store.state.version));
    if (lost) store.left.add(recording);
    quiet();
  } catch (error) {
    toast(error.message, 'error');
    await data.load();
  }
  await next();
}

function showBest() {
  const { state } = store;
  if (state.model) showStudio();
  else if (data.recording()) showSetup(data.recording());
  else showStart();
}

// keys

document.addEventListener('keydown', (event) => {
  if (setup && event.key === ' ' && !event.target.matches('button, input, select')) {
    event.preventDefault();
    setup.listen();
  }
  if (setup && event.key === 'Enter' && event.target.matches('body, input[type=radio], input[type=range]')) {
    event.preventDefault();
    setup.start();
  }
  const digit = /^[0-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (setup && digit && event.target.matches('body, button, input[type=radio]')) setup.expect(Number(event.key));
  if (!studio || document.querySelector('dialog[open]')) return;
  const field = event.target.matches('input:not([type=checkbox]):not([type=range]), textarea, select');
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && (key === 'z' || key === 'y')) {
    if (field) return;
    event.preventDefault();
    if (key === 'y' || event.shiftKey) data.redo();
    else data.undo();
    return;
  }
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === ' ' && event.target.matches('button, input, summary')) return;
  const range = event.target.matches('input[type=range]');
  const calls = {
    ' ': () => studio.toggle(),
    home: () => studio.rewind(),
    arrowleft: range ? null : () => studio.move(event.shiftKey ? -5 : -1),
    arrowright: range ? null : () => studio.move(event.shiftKey ? 5 : 1),
    '+': () => studio.timeline.zoom(0.5, studio.player.seconds),
    '=': () => studio.timeline.zoom(0.5, studio.player.seconds),
    '-': () => studio.timeline.zoom(2, studio.player.seconds),
    f: () => studio.timeline.zoomFrequencies(event.shiftKey ? 1.5 : 1 / 1.5),
    0: () => data.hearEverything(),
    l: () => studio.toggleLoop(),
    a: () => studio.compare(),
    b: () => studio.setMarking(!studio.marking.on),
    e: () => exportDialog(),
    '?': () => help(),
  };
  if (!calls[key]) return;
  event.preventDefault();
  calls[key]();
});

data.on('model', () => studio?.show(true).catch((error) => toast(error.message, 'error')));
data.on('sources', () => studio?.sourcesChanged());
data.on('hearing', () => studio?.hearing());
data.on('selection', () => studio?.selection());
data.on('lit', () => studio?.lit());

// A file that is dropped beside its place must not replace the page.
for (const name of ['dragover', 'drop']) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  const files = [...event.dataTransfer.files];
  if (studio && files.length) tell(files, studio.nameAt(event.target));
});

applyScheme();
watchServer();
try {
  await data.load();
  if (store.state.job?.kind === 'queue') showQueue();
  else if (store.state.job && !['export', 'notes', 'try'].includes(store.state.job.kind)) await watch(store.state.job, data.recording());
  else showBest();
  sayFromBefore();
} catch (error) {
  toast(error.message, 'error');
}
