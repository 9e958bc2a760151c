// Export, and help.

import { api } from './api.js';
import { announce, h, iconButton, showOver, toast } from './dom.js';
import { pickFolder, writeFiles } from './folder.js';
import { sourceColour } from './rows.js';
import { gainOf, model, nameSource, recording, REST, silent, sources, store } from './store.js';

function dialog(name, ...children) {
  const box = h('dialog', { class: 'dialog', 'aria-label': name });
  box.append(h('div', { class: 'heading' }, h('h2', {}, name), iconButton('close', 'Close', () => box.close())), ...children.filter(Boolean));
  box.addEventListener('click', (event) => {
    if (event.target === box) box.close();
  });
  showOver(box);
  return box;
}

// A link to something on this server, followed at once: the browser saves what it leads to.
export function save(href) {
  const link = h('a', { href, download: '' });
  document.body.append(link);
  link.click();
  link.remove();
}

// The scores that the present parts were found with.
function scores() {
  const found = model().way.sources.flatMap((source) => (source.notes ? [source.notes[0]] : []));
  return [...new Map(found.map((item) => [item.id, item])).values()];
}

export async function exportDialog() {
  await store.sending;
  const lines = h('pre', { class: 'commands', tabindex: '0', 'aria-label': 'Command line that makes the same stems' });
  const code = h('pre', { class: 'commands', tabindex: '0', 'aria-label': 'Python script that makes the same stems' });
  const format = h('select', { 'aria-label': 'Format of the stems', onchange: () => showCommands() }, h('option', { value: 'wav' }, 'WAV'), h('option', { value: 'flac' }, 'FLAC'));
  const progress = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Export' });
  const buttons = [];

  async function showCommands() {
    try {
      const told = await api.commands(format.value, silent());
      code.textContent = told.script;
      const remixed = told.remix.length ? ['# the remix', ...told.remix] : [];
      const text = [...told.lines, ...remixed].join('\n') || 'No command line says all of it; the script below does.';
      // Lines break between words only, not after the dashes of an option.
      lines.replaceChildren(...text.split(/([ \n])/).map((word) => (word.trim() ? h('span', { class: 'word' }, word) : word)));
    } catch (error) {
      lines.textContent = error.message;
    }
  }

  // Where it is seen, however long the names of the stems are.
  function say(text) {
    done.textContent = text;
    done.scrollIntoView({ block: 'nearest' });
    announce(text);
  }

  async function make(what) {
    for (const button of buttons) button.disabled = true;
    progress.hidden = false;
    try {
      await store.sending;
      const job = await api.start({ kind: 'export', what, format: format.value, silent: silent() });
      const made = await api.follow(job, (told) => { progress.value = told.share; });
      if (made) {
        save(`/api/deliveries/${made.id}`);
        say(`Saved ${made.name}`);
        if (['stems', 'model', 'project'].includes(what)) store.kept = true;
      }
    } catch (error) {
      toast(error.message, 'error');
    } finally {
      for (const button of buttons) button.disabled = false;
      progress.hidden = true;
    }
  }

  // Where the browser lets a page write: each stem as a file in a folder that one picks.
  async function toFolder() {
    for (const button of buttons) button.disabled = true;
    try {
      const folder = await pickFolder();
      if (!folder) return;
      progress.hidden = false;
      await store.sending;
      const job = await api.start({ kind: 'export', what: 'files', format: format.value });
      const made = await api.follow(job, (told) => { progress.value = told.share; });
      if (made) {
        await writeFiles(folder, made.files);
        say(`Saved ${made.files.length} files in ${folder.name || 'the folder'}`);
        store.kept = true;
      }
    } catch (error) {
      toast(error.message, 'error');
    } finally {
      for (const button of buttons) button.disabled = false;
      progress.hidden = true;
    }
  }

  function folderButton() {
    if (!window.showDirectoryPicker) return null;
    const button = h('button', { type: 'button', title: 'Files that are there already under these names are replaced', onclick: () => toFolder() }, 'To a folder…');
    buttons.push(button);
    return button;
  }

  // What the stems are called, to be written here once more: Enter in a name saves them.
  function nameField({ id, name, colour }, n) {
    const rename = () => {
      const trouble = nameSource(id, input.value);
      input.setCustomValidity(trouble);
      if (trouble) input.reportValidity();
      else store.sending.then(showCommands);
      return !trouble;
    };
    const input = h('input', {
      type: 'text', class: 'stem-name', value: name, maxlength: '60', 'aria-label': `Name of stem ${n + 1}`, spellcheck: 'false', vars: { '--own': sourceColour({ colour }) },
      onfocus: () => input.select(),
      oninput: () => input.setCustomValidity(''),
      onchange: rename,
      onkeydown: (event) => {
        if (event.key !== 'Enter') return;
        event.preventDefault();
        if (rename()) make('stems');
      },
    });
    return input;
  }

  function item(what, label, text, ...more) {
    const button = h('button', { type: 'button', onclick: () => make(what) }, label);
    buttons.push(button);
    return h('div', { class: 'export' }, h('div', {}, h('h3', {}, text[0]), h('p', { class: 'hint' }, text[1])), h('div', { class: 'line' }, ...more, button));
  }

  function also(what, label) {
    const button = h('button', { type: 'button', onclick: () => make(what) }, label);
    buttons.push(button);
    return button;
  }

  const done = h('p', { class: 'done' });
  const copier = (from, label) => h('button', { type: 'button', 'aria-label': label, onclick: async () => {
    try {
      await navigator.clipboard.writeText(from.textContent);
      toast('Copied.');
    } catch {
      toast('The browser does not let this page copy: select the text, and copy it yourself.', 'error');
    }
  } }, 'Copy');
  const stems = item('stems', 'Save the stems', ['Stems', 'One file for each source and the rest. They sum to the recording.'], format, folderButton());
  const names = sources().filter((source) => source.components.length).map(nameField);
  if (names.length) stems.append(h('div', { class: 'stem-names' }, ...names));
  const mixed = silent().length > 0 || [...sources().map((source) => source.id), REST].some(gainOf);
  const remix = item('remix', 'Save the remix', ['Remix', mixed ? 'One file of what is heard: gains, mutes and solos of the sources.' : 'One file with other gains: move a fader, mute or solo a source first.']);
  if (!mixed) buttons.pop().disabled = true;
  dialog(
    'Export',
    stems,
    remix,
    item('project', 'Save the project', ['Project', 'All of this, to go on with another day: open it with audionmf studio, or drop it on the first page once its recording is open.']),
    item('bank', 'Save the templates', ['Templates', 'The sounds of your sources, to find them in other recordings: audionmf separate --templates']),
    item('midi', 'Save MIDI', ['Notes', 'What the components with a pitch play, one track for each source; or labels for an audio editor.'], also('labels', 'Save labels')),
    item('model', 'Save the model', ['Model', 'Everything that was found, with your groups: audionmf regroup']),
    progress,
    done,
    h('div', { class: 'export stacked' }, h('div', { class: 'heading' }, h('h3', {}, 'The same at the command line'), copier(lines, 'Copy the command line')), lines,
      h('p', { class: 'hint' }, 'Run it beside your recording',
        recording() ? [' (', h('a', { href: `/api/recordings/${recording().id}/file`, download: '' }, 'save it'), ')'] : null,
        ...scores().flatMap((item) => [', ', h('a', { href: `/api/given/${item.id}/file`, download: '' }, item.name)]),
        ' and the model, where one is named.'),
      h('details', {}, h('summary', {}, 'The same in Python'), h('div', { class: 'line end' }, copier(code, 'Copy the script')), code)),
  );
  (names[0] || stems.querySelector('.line > button:last-of-type')).focus(); // the stems are what most want
  showCommands();
}

const KEYS = [
  ['2 … 6, 0', 'before it is taken apart: that many sources; 0: as many as are heard'],
  ['Enter', 'take it apart'],
  ['Space', 'play or pause'],
  ['Home', 'back to the start, or to the start of the loop'],
  ['← →', 'a second back or on (with Shift: five)'],
  ['+ −', 'zoom the time'],
  ['F, Shift F', 'zoom the frequencies in, out; on the spectrogram ↑ ↓ scroll them'],
  ['0', 'on the page: hear everything again'],
  ['A', 'hear the recording as it is, and the mix again'],
  ['L', 'loop what is in view, or end the loop; drag on the ruler for another range'],
  ['B', 'draw marks on the spectrogram; with notes in the roll a click marks all of a note, edges are drawn to notes (not with Alt)'],
  ['Ctrl Z, Ctrl Shift Z', 'undo, redo'],
  ['E', 'export: write the names of the stems, Tab between them, Enter saves'],
  ['On a component', ''],
  ['↑ ↓', 'to the next; with Shift select as well'],
  ['Enter', 'hear it alone'],
  ['S, M', 'solo, mute'],
  ['X', 'select'],
  ['1 … 9', 'put it, or all that are selected, into that source; 0: into the rest'],
  ['N', 'make a new source of it'],
  ['On the notes, while they are edited', ''],
  ['← →, Delete, N', 'the note before and after, take it away, add one at the playhead'],
  ['↑ ↓, Ctrl Z', 'move it by a semitone, take the last back'],
  ['With the mouse on the spectrogram', ''],
  ['Wheel', 'zoom the time; with Shift scroll it, with Alt zoom the frequencies'],
  ['Click, drag', 'move the playhead, move what is in view'],
];

export function helpDialog(tour) {
  const rows = KEYS.map(([keys, text]) => (text ? h('tr', {}, h('th', { scope: 'row' }, h('kbd', {}, keys)), h('td', {}, text)) : h('tr', {}, h('th', { colspan: '2', class: 'topic' }, keys))));
  const box = dialog('Keys and mouse', tour ? h('div', { class: 'line' }, h('button', { type: 'button', onclick: () => { box.close(); tour(); } }, 'Show me around')) : null, h('table', { class: 'keys' }, h('tbody', {}, ...rows)));
}
