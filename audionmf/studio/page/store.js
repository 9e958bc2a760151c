// What the page knows: the state of the server, what is heard, what is selected, undo and redo.
// Changes show at once and are sent in order; the server refuses them if another tab was faster.

import { api } from './api.js';
import { sayNextTime, toast } from './dom.js';

const listeners = new Map();

export const store = {
  state: null,
  models: new Map(),
  past: [],
  future: [],
  soloed: new Set(),
  muted: new Set(),
  soloedSources: new Set(),
  mutedSources: new Set(),
  selected: new Set(),
  original: false, // whether the recording is heard as it is
  fading: null, // a fader that is being moved: { id, gain }
  lit: null,
  sending: Promise.resolve(),
  unsent: null, // the last change, while the server does not answer
  left: new Set(), // recordings that were left with sources that are in no file
  kept: true, // whether what was made of the sources is in a file
};

export const REST = 'rest';
const MOST_STEPS = 100;

export function on(event, listener) {
  if (!listeners.has(event)) listeners.set(event, []);
  listeners.get(event).push(listener);
}

export function emit(event) {
  for (const listener of listeners.get(event) || []) listener();
}

export async function load() {
  take(await api.state());
  store.kept = !store.state.sources.length && !store.state.marks.length;
  const { past = [], future = [], models = [] } = store.state.history || {};
  for (const made of models) store.models.set(made.id, made);
  Object.assign(store, { past, future });
  emit('state');
}

function take(state) {
  store.state = { ...store.state, ...state };
  if (state.model) store.models.set(state.model.id, state.model);
}

export function recording() {
  const { recordings, recording: id } = store.state;
  return recordings.find((item) => item.id === id) || null;
}

export function model() {
  return store.state.model;
}

export function sources() {
  return store.state.sources;
}

export function owner(component) {
  return sources().find((source) => source.components.includes(component)) || null;
}

export function rest() {
  const owned = new Set(sources().flatMap((source) => source.components));
  return model().components.map((c) => c.index).filter((k) => !owned.has(k));
}

function snapshot() {
  const { sources: groups, marks, gains: faders } = store.state;
  return structuredClone({ model: model().id, sources: groups, marks, gains: faders });
}

// Apply a change of sources and marks; `change` gets copies and returns false to do nothing.
export function edit(change) {
  const before = snapshot();
  const after = structuredClone(before);
  if (change(after) === false) return;
  for (const id of Object.keys(after.gains)) if (id !== REST && !after.sources.some((source) => source.id === id)) delete after.gains[id];
  store.past.push(before);
  store.past.splice(0, store.past.length - MOST_STEPS);
  store.future.length = 0;
  show(after, 'do');
}

// Hear other parts of the same arrangement; that is of one step with what it came from.
export function swap(made) {
  store.models.set(made.id, made);
  show({ ...snapshot(), model: made.id }, 'swap');
}

export function undo() {
  move(store.past, store.future, 'undo');
}

export function redo() {
  move(store.future, store.past, 'redo');
}

function move(from, to, step) {
  if (!from.length) return;
  to.push(snapshot());
  show(from.pop(), step);
}

function show(wanted, step) {
  const changed = wanted.model !== model().id;
  store.kept = false;
  const { model: id, sources: groups, marks, gains: faders } = wanted;
  Object.assign(store.state, { model: store.models.get(id), sources: groups, marks, gains: faders });
  if (changed) emit('model');
  emit('sources');
  store.sending = store.sending.then(() => send({ ...wanted, step }));
}

async function send(wanted) {
  try {
    const told = await api.edit({ version: store.state.version, ...wanted });
    store.state.version = told.version;
    store.unsent = null;
    for (const steps of [store.past, store.future]) forget(steps, new Set(told.held));
  } catch (error) {
    if (error.status === 0) {
      store.unsent = { ...wanted, step: store.unsent ? 'do' : wanted.step }; // the banner says so; it holds all that was changed before, too
      return;
    }
    store.unsent = null;
    toast(error.message, 'error');
    const before = store.state.recording;
    await load();
    if (!store.state.model || store.state.recording !== before) {
      store.kept = true; // nothing to ask about: it is gone already
      sayNextTime('Another tab has left this recording, so your last change came too late. Open the recording to go on where it was left.');
      window.location.reload();
      return;
    }
    emit('model');
    emit('sources');
  }
}

// Steps that took too much are gone, with their models: nothing leads to them, nor past them.
function forget(steps, held) {
  const gone = steps.findLastIndex((step) => !held.has(step.model));
  if (gone < 0) return;
  steps.splice(0, gone + 1);
  emit('sources');
}

// Send what could not be sent while the server did not answer.
export function resend() {
  store.sending = store.sending.then(() => (store.unsent ? send(store.unsent) : null));
}

// Whether leaving would lose something: sources that are in no file, or that the server does not know.
export function unsaved() {
  return Boolean(store.unsent) || store.left.size > 0 || (!store.kept && Boolean(store.state?.model));
}

// sources

let counter = 0;

export function freshId() {
  counter += 1;
  return `${Date.now().toString(36)}-${counter}`;
}

export function freshName(groups, wanted = 'Source', from = 1) {
  const taken = new Set(groups.map((source) => source.name));
  for (let i = from; ; i += 1) if (!taken.has(`${wanted} ${i}`)) return `${wanted} ${i}`;
}

function freshColour(groups) {
  for (let i = 0; i < 8; i += 1) if (!groups.some((source) => source.colour === i)) return i;
  return groups.length % 8;
}

export function assign(components, sourceId) {
  edit((next) => {
    place(next.sources, components, sourceId);
  });
}

function place(groups, components, sourceId) {
  for (const source of groups) {
    source.components = source.components.filter((k) => !components.includes(k));
    if (source.id === sourceId) source.components = [...source.components, ...components].sort((a, b) => a - b);
  }
}

export function addSource(components = [], name = null) {
  const id = freshId();
  edit((next) => {
    place(next.sources, components, null);
    next.sources.push({ id, name: name || freshName(next.sources), colour: freshColour(next.sources), components });
  });
  return id;
}

export function addSources(groups) {
  edit((next) => {
    for (const components of groups) {
      place(next.sources, components, null);
      next.sources.push({ id: freshId(), name: freshName(next.sources), colour: freshColour(next.sources), components });
    }
  });
}

export function removeSource(id) {
  edit((next) => {
    next.sources = next.sources.filter((source) => source.id !== id);
    next.marks = next.marks.filter((mark) => mark.source !== id);
  });
}

export function mergeSources(id, into) {
  edit((next) => {
    const from = next.sources.find((source) => source.id === id);
    place(next.sources, from.components, into);
    next.sources = next.sources.filter((source) => source.id !== id);
    for (const mark of next.marks) if (mark.source === id) mark.source = into;
  });
}

export async function splitSource(id) {
  const source = sources().find((item) => item.id === id);
  const { groups } = await api.suggest(model().id, source.components, 2);
  edit((next) => {
    const kept = next.sources.find((item) => item.id === id);
    kept.components = groups[0];
    const place = next.sources.indexOf(kept) + 1;
    const name = freshName(next.sources, source.name.replace(/ \d+$/, ''), 2);
    next.sources.splice(place, 0, { id: freshId(), name, colour: freshColour(next.sources), components: groups[1] });
  });
}

export function changeSource(id, change) {
  edit((next) => {
    Object.assign(next.sources.find((source) => source.id === id), change);
  });
}

// Call a source so; returns what speaks against it, or nothing.
export function nameSource(id, wanted) {
  const name = wanted.trim();
  const source = sources().find((item) => item.id === id);
  if (!source || name === source.name) return '';
  if (sources().some((other) => other.id !== id && other.name === name)) return `There is a source ${name} already.`;
  if (!name || name.includes('=') || name.startsWith('!') || name.toLowerCase() === REST) return 'A name cannot be empty or "rest", contain "=", or begin with "!".';
  changeSource(id, { name });
  return '';
}

// hearing

// The gain of a source, or of the rest, in decibels.
export function gainOf(id) {
  if (store.fading?.id === id) return store.fading.gain;
  return store.state.gains[id] || 0;
}

export function factor(decibels) {
  return 10 ** (decibels / 20);
}

export function setGain(id, gain) {
  edit((next) => {
    if ((next.gains[id] || 0) === gain) return false;
    if (gain) next.gains[id] = gain;
    else delete next.gains[id];
    return true;
  });
}

// Ids of the sources that are not heard: muted, or others are soloed.
export function silent() {
  const ids = [...sources().map((source) => source.id), REST];
  const solo = store.soloedSources.size > 0;
  return ids.filter((id) => store.mutedSources.has(id) || (solo && !store.soloedSources.has(id)));
}

export function gains() {
  if (store.original) return model().components.map(() => 1);
  const anySolo = store.soloed.size + store.soloedSources.size > 0;
  return model().components.map(({ index }) => {
    const source = owner(index);
    const key = source ? source.id : REST;
    const wanted = !anySolo || store.soloed.has(index) || store.soloedSources.has(key);
    const silenced = store.muted.has(index) || store.mutedSources.has(key);
    return wanted && !silenced ? factor(gainOf(key)) : 0;
  });
}

export function toggle(set, key) {
  if (!set.delete(key)) set.add(key);
  emit('hearing');
}

export function hearAlone(component) {
  const already = store.soloed.size === 1 && store.soloed.has(component) && !store.soloedSources.size;
  store.soloed.clear();
  store.soloedSources.clear();
  if (!already) {
    store.soloed.add(component);
    store.muted.delete(component);
    const source = owner(component);
    store.mutedSources.delete(source ? source.id : REST);
  }
  emit('hearing');
  return !already;
}

// Hear one source, or one component, whatever was soloed or muted before.
export function hearOnly(id, component = null) {
  for (const set of [store.soloed, store.muted, store.soloedSources, store.mutedSources]) set.clear();
  if (component === null) store.soloedSources.add(id);
  else store.soloed.add(component);
  emit('hearing');
}

export function hearEverything() {
  for (const set of [store.soloed, store.muted, store.soloedSources, store.mutedSources]) set.clear();
  emit('hearing');
}

export function light(lit) {
  if (JSON.stringify(lit) === JSON.stringify(store.lit)) return;
  store.lit = lit;
  emit('lit');
}
