// What is known of each source: cards that take files and ranges, as the server wants to be told.

import { api } from './api.js';
import { clamp, clock, colour, h, iconButton, options, toast } from './dom.js';

const ANY = '.wav,.flac,.aiff,.aif,.ogg,.mp3,audio/*,.npz,.mid,.midi';

export function freshSource(n) {
  return { name: '', examples: [], banks: [], notes: null, alone: [], absent: [], voice: false, colour: n % 8 };
}

export function isKnown(source) {
  return source.examples.length > 0 || source.banks.length > 0 || Boolean(source.notes) || source.alone.length > 0 || source.voice;
}

// In words, for whoever only looks.
export function knownWords(source) {
  const words = [...source.examples.map((item) => item.name), ...source.banks.map(([bank, label]) => (label ? `${label} of ${bank.name}` : bank.name))];
  if (source.notes) words.push(`notes ${source.notes[1]} of ${source.notes[0].name}`);
  if (source.alone.length) words.push(`alone at ${source.alone.map(([a, b]) => `${clock(a)}–${clock(b)}`).join(', ')}`);
  if (source.absent.length) words.push(`silent at ${source.absent.map(([a, b]) => `${clock(a)}–${clock(b)}`).join(', ')}`);
  if (source.voice) words.push('leads');
  return words;
}

export function asSent(source, n) {
  return {
    name: source.name.trim() || `Source ${n + 1}`,
    examples: source.examples.map((item) => item.id),
    banks: source.banks.map(([bank, label]) => [bank.id, label]),
    notes: source.notes && [source.notes[0].id, source.notes[1]],
    alone: source.alone,
    absent: source.absent,
    voice: source.voice,
  };
}

function plainName(text) {
  return text.replace(/\.[^.]*$/, '').replace(/[=!]/g, ' ').trim();
}

function same(one, other) {
  return one.trim().toLowerCase() === other.trim().toLowerCase();
}

function refused(made) {
  const whole = made.kind === 'project' || made.kind === 'model';
  if (whole) toast(`${made.name} is a ${made.kind}: open it on the first page.`);
  return whole;
}

// A part of a bank, once.
function addBank(source, bank, label) {
  if (source.banks.some(([other, own]) => other.id === bank.id && own === label)) toast(`${bank.name} is there already.`);
  else source.banks.push([bank, label]);
}

// Give a source what was sent; a bank or a score with several parts gives the one of its name.
export function giveTo(source, made) {
  if (refused(made)) return;
  if (made.kind === 'bank') {
    const own = made.parts.find((part) => same(part, source.name));
    addBank(source, made, own || (made.parts.length === 1 ? made.parts[0] : ''));
    if (!source.name && made.parts.length === 1) [source.name] = made.parts;
  } else if (made.kind === 'score') {
    const own = made.parts.find((part) => same(part, source.name)) || made.parts[0];
    source.notes = [made, own];
    if (!source.name) source.name = own;
  } else {
    source.examples.push(made);
  }
  if (!source.name) source.name = plainName(made.name);
}

// What was dropped beside all sources: each of its parts goes to the source of its name, or a new one.
export function giveToAll(sources, made) {
  if (refused(made)) return;
  for (let i = sources.length - 1; i >= 0; i -= 1) if (!isKnown(sources[i]) && !sources[i].name && !sources[i].absent.length) sources.splice(i, 1);
  const names = made.parts || [plainName(made.name)];
  for (const name of names) {
    let source = sources.find((item) => same(item.name, name));
    if (!source) {
      source = { ...freshSource(sources.length), name: plainName(`${name}.`) };
      sources.push(source);
    }
    if (made.kind === 'bank') addBank(source, made, name);
    else if (made.kind === 'score') source.notes = [made, name];
    else source.examples.push(made);
  }
}

// A score of several parts of which none is called like the source says what all of them are.
export function giveOrSpread(sources, source, made) {
  const several = made.kind === 'score' && made.parts.length > 1;
  if (several && !made.parts.some((part) => same(part, source.name))) giveToAll(sources, made);
  else giveTo(source, made);
}

export async function sendAll(files, bar, take) {
  for (const file of files) {
    bar.hidden = false;
    try {
      take(await api.upload(file, (share) => { bar.value = share; }));
    } catch (error) {
      toast(error.message, 'error');
    } finally {
      bar.hidden = true;
    }
  }
}

export function fileButton(label, take) {
  const bar = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Sending the file' });
  const input = h('input', { type: 'file', accept: ANY, class: 'visually-hidden', tabindex: -1, 'aria-hidden': 'true', onchange: () => sendAll([...input.files], bar, take) });
  input.multiple = true;
  return [h('button', { type: 'button', onclick: () => input.click() }, label), input, bar];
}

// The card of a source. `view` is the setup: its recording, its sources, what is being marked.
export function knownCard(view, source, i) {
  const name = h('input', { type: 'text', class: 'name', value: source.name, placeholder: `Name of source ${i + 1}`, maxlength: '60', 'aria-label': `Name of source ${i + 1}`, oninput: () => { source.name = name.value; } });
  const remove = iconButton('close', `Remove source ${i + 1}`, () => { view.sources.splice(i, 1); view.fill(); });
  const take = (made) => { giveOrSpread(view.sources, source, made); view.fill(); };
  const card = h(
    'li',
    { class: 'source', vars: { '--own': colour(`--source-${source.colour}`) } },
    h('div', { class: 'source-head' }, h('span', { class: 'swatch' }), name, view.sources.length > 1 ? remove : null),
    h('div', { class: 'chips' }, ...fileChips(view, source), ...rangeChips(view, source, 'alone'), ...rangeChips(view, source, 'absent')),
    h('div', { class: 'line' }, ...fileButton('Add files', take), offers(view, take), ...rangeButtons(view, source, i), leads(source, view)),
  );
  card.addEventListener('dragover', (event) => { event.preventDefault(); event.stopPropagation(); card.classList.add('target'); });
  card.addEventListener('dragleave', () => card.classList.remove('target'));
  card.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    card.classList.remove('target');
    sendAll([...event.dataTransfer.files], h('progress'), take);
  });
  return card;
}

function offers(view, take) {
  const found = view.offered();
  if (!found.length) return null;
  const pick = h('select', { 'aria-label': 'Pick an example', onchange: async () => {
    try {
      take(await api.pick(pick.value));
    } catch (error) {
      toast(error.message, 'error');
    }
  } }, ...options([['', 'Pick one…'], ...found.map((item) => [item.id, item.name])], ''));
  return pick;
}

function leads(source, view) {
  const box = h('input', { type: 'checkbox', checked: source.voice, onchange: () => { source.voice = box.checked; view.fill(); } });
  return h('label', { class: 'field tight', title: 'One voice with one pitch at a time, such as a singer' }, box, 'leads');
}

function fileChips(view, source) {
  const chip = (words, label, remove, ...more) => h('span', { class: 'chip' }, words, ...more, iconButton('close', `Remove ${label}`, () => { remove(); view.fill(); }));
  const part = (item, chosen, take) => {
    const pairs = [...(item.kind === 'bank' ? [['', 'all of it']] : []), ...item.parts.map((p) => [p, p])];
    const choice = h('select', { 'aria-label': `Part of ${item.name}`, onchange: () => take(choice.value) }, ...options(pairs, chosen));
    return item.parts.length > 1 ? choice : null;
  };
  return [
    ...source.examples.map((item, j) => chip(`${item.name} · ${clock(item.duration, 0)}`, item.name, () => source.examples.splice(j, 1))),
    ...source.banks.map((pair, j) => chip(`bank ${pair[0].name}`, pair[0].name, () => source.banks.splice(j, 1), part(pair[0], pair[1], (label) => { pair[1] = label; }))),
    ...(source.notes ? [chip(`notes ${source.notes[0].name}`, source.notes[0].name, () => { source.notes = null; }, part(source.notes[0], source.notes[1], (label) => { source.notes[1] = label; }))] : []),
  ];
}

const KINDS = { alone: 'alone', absent: 'silent' };

function rangeChips(view, source, kind) {
  return source[kind].map((span, j) => {
    const time = (place, label) => {
      const input = h('input', { type: 'number', class: 'small-number', min: '0', max: String(view.recording.duration), step: '0.1', value: String(+span[place].toFixed(2)), 'aria-label': label, onchange: () => {
        span[place] = clamp(Number(input.value) || 0, 0, view.recording.duration);
        view.draw();
      } });
      return input;
    };
    return h('span', { class: 'chip' }, KINDS[kind], iconButton('play', 'Hear the range', () => view.listen(span)), time(0, 'Start in seconds'), '–', time(1, 'End in seconds'), 's', iconButton('close', 'Remove the range', () => { source[kind].splice(j, 1); view.fill(); }));
  });
}

function rangeButtons(view, source, i) {
  const marking = view.marking && view.marking.i === i ? view.marking.kind : '';
  const choice = h('select', { 'aria-label': `Ranges of source ${i + 1}`, onchange: () => {
    const [how, kind] = choice.value.split(':');
    view.marking = null;
    if (how === 'mark') view.marking = { i, kind };
    if (how === 'add') source[kind].push([0, Math.min(2, view.recording.duration)]);
    view.fill();
  } }, ...options([['', 'Ranges…'], ['mark:alone', 'Drag where it plays alone'], ['add:alone', 'Alone, by numbers'], ['mark:absent', 'Drag where it is silent'], ['add:absent', 'Silent, by numbers']], marking ? `mark:${marking}` : ''));
  return [choice, marking ? h('span', { class: 'hint' }, 'Drag on the waveform') : null];
}
