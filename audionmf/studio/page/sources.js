// The sources: named, coloured groups of components; what is in none is "rest".

import { api } from './api.js';
import { clock, h, hertz, icon, iconButton, options, percent, toast } from './dom.js';
import { knownWords } from './known.js';
import { sourceColour, title } from './rows.js';
import * as data from './store.js';

const { store } = data;
const COLOURS = ['orange', 'sky blue', 'green', 'yellow', 'pink', 'blue', 'vermilion', 'violet'];

export class Sources {
  constructor(panel, actions) {
    this.actions = actions;
    this.list = h('ul', { class: 'sources', 'aria-label': 'Sources' });
    this.number = h('input', { type: 'number', class: 'small-number', min: '2', max: '12', value: '3', 'aria-label': 'Number of sources to suggest' });
    this.marks = h('ul', { class: 'marks', 'aria-label': 'Marks' });
    this.refineButton = h('button', { type: 'button', class: 'primary', onclick: () => actions.refine() });
    this.remarks = h('div', { class: 'remarks' });
    this.suggestLine = h(
      'div',
      { class: 'line suggest' },
      h('button', { type: 'button', onclick: () => this.suggest() }, 'Group rest by timbre'),
      h('span', {}, 'into'),
      this.number,
    );
    this.markSection = h(
      'section',
      { class: 'block', 'aria-label': 'Marks on the spectrogram' },
      h('h2', {}, 'Marks'),
      h('p', { class: 'hint' }, 'Say what belongs where, and the components are found again with it. Press Mark above the spectrogram, and draw, paint or encircle it; or add one by numbers.'),
      this.marks,
      h('div', { class: 'line' }, h('button', { type: 'button', onclick: () => actions.addMark() }, 'Add by numbers'), this.refineButton),
    );
    panel.replaceChildren(
      h(
        'section',
        { class: 'block', 'aria-label': 'Sources' },
        h('div', { class: 'heading' }, h('h2', {}, 'Sources'), h('button', { type: 'button', onclick: () => this.create() }, 'New source')),
        this.list,
        this.suggestLine,
        h('p', { class: 'hint' }, 'Drop a file on a source to say more about it: an example, a bank (.npz) or its notes (.mid).'),
        this.remarks,
      ),
      this.markSection,
    );
  }

  create() {
    const id = data.addSource([...store.selected]);
    store.selected.clear();
    data.emit('selection');
    this.rename(id);
  }

  rename(id) {
    const input = this.list.querySelector(`[data-source="${CSS.escape(id)}"] input`);
    input?.focus();
    input?.select();
  }

  async suggest() {
    const members = data.rest();
    const wanted = Math.min(Number(this.number.value) || 3, members.length);
    if (!members.length) {
      toast('Every component is in a source already.');
      return;
    }
    try {
      const { groups } = await api.suggest(data.model().id, members, Math.max(1, wanted));
      data.addSources(groups);
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  update() {
    // A name that is being written is left alone.
    const writing = document.activeElement?.closest?.('[data-source]');
    const place = writing && this.list.contains(writing) ? [writing.dataset.source, document.activeElement.className] : null;
    this.lines = [];
    this.toggles = [];
    this.list.replaceChildren(...data.sources().map((source) => this.card(source)), this.restCard());
    if (place) {
      const again = this.list.querySelector(`[data-source="${CSS.escape(place[0])}"]`);
      const focused = place[1] && again?.getElementsByClassName(place[1])[0];
      focused?.focus();
    }
    this.suggestLine.hidden = data.model().stems;
    this.markSection.hidden = data.model().stems;
    this.remarks.replaceChildren(...data.model().remarks.map((text) => h('p', { class: 'hint' }, text)));
    this.updateMarks();
  }

  energy(members) {
    const all = data.model().components;
    return members.reduce((sum, k) => sum + all[k].energy, 0);
  }

  card(source) {
    const name = h('input', {
      type: 'text', class: 'name', value: source.name, title: source.name, maxlength: '60', 'aria-label': 'Name of the source', spellcheck: 'false',
      onchange: () => this.renamed(source, name),
      onkeydown: (event) => {
        if (event.key === 'Enter') name.blur();
        if (event.key === 'Escape') {
          name.value = source.name;
          name.blur();
        }
      },
    });
    const others = data.sources().filter((other) => other.id !== source.id);
    const menu = h(
      'select',
      { class: 'menu', 'aria-label': `More for ${source.name}`, title: 'More', onchange: () => this.chosen(source, menu) },
      ...options([['', '⋯'], ['split', 'Split in two by timbre'], ...others.map((o) => [`merge:${o.id}`, `Merge into ${o.name}`]), ['remove', 'Remove the source']], ''),
    );
    const swatch = h('button', {
      type: 'button', class: 'swatch', title: 'Next colour', 'aria-label': `Colour ${COLOURS[source.colour]}; next colour`,
      onclick: () => data.changeSource(source.id, { colour: (source.colour + 1) % COLOURS.length }),
    });
    return this.frame(source.id, sourceColour(source), source.components, [swatch, name], [menu], source.name);
  }

  restCard() {
    const members = data.rest();
    const name = h('span', { class: 'name fixed' }, 'rest');
    return this.frame(data.REST, sourceColour(null), members, [h('span', { class: 'swatch' }), name], [], 'rest');
  }

  frame(id, own, members, before, after, name) {
    const solo = this.toggle('S', `Solo ${name}`, store.soloedSources, id);
    const mute = this.toggle('M', `Mute ${name}`, store.mutedSources, id);
    // One whole source that is called as it was found needs no chip of the same name.
    const itself = members.length === 1 && title(data.model().components[members[0]]) === name;
    const chips = itself ? [] : members.map((k) => this.chip(k));
    const said = data.model().way.sources.find((source) => source.name === name);
    const known = said ? knownWords(said) : [];
    const whole = members.length && data.sources().some((source) => source.components.length);
    if (whole) after.push(this.stemLink(id, name));
    const amount = h('div', { class: 'source-sub' }, this.amount(members, id));
    // A stem that is a whole source says how far to trust it; a sum of several is the listener's.
    const trust = members.length === 1 && data.model().components[members[0]].trust;
    this.lines.push([amount, members, id]);
    const card = h(
      'li',
      { class: 'source', 'data-source': id, vars: { '--own': own } },
      h('div', { class: 'source-head' }, ...before, ...after),
      amount,
      this.fader(id, name, solo, mute),
      known.length ? h('div', { class: 'source-sub' }, `Known by ${known.join(', ')}`) : null,
      trust ? h('div', { class: 'source-sub trust' }, `${trust[0].toUpperCase()}${trust.slice(1)}`) : null,
      chips.length ? h('div', { class: 'chips' }, ...chips) : null,
    );
    card.addEventListener('pointerenter', () => data.light({ source: id }));
    card.addEventListener('pointerleave', () => data.light(null));
    return card;
  }

  // The stem as a file: a click saves it, and where the browser can it is dragged out of the page.
  stemLink(id, name) {
    const href = `/api/stems/${encodeURIComponent(id)}`;
    const file = `${name.replace(/[\\/:*?"<>|]/g, '_')}.wav`; // the server names what is saved by a click
    const link = h('a', { class: 'stem', href, download: '', draggable: 'true', 'aria-label': `Save the stem of ${name}`, title: 'Save the stem, or drag it to a folder or another program' }, icon('export'));
    link.addEventListener('dragstart', (event) => {
      event.dataTransfer.setData('DownloadURL', `audio/wav:${file}:${new URL(href, location.href)}`);
      event.dataTransfer.effectAllowed = 'copy';
    });
    return link;
  }

  // Products of all pairs of components, by which the loudness of any of their sums is known.
  setLevels(levels) {
    this.levels = levels;
    for (const [line, members, id] of this.lines || []) line.textContent = this.amount(members, id); // a name may be being written
  }

  amount(members, id) {
    if (!members.length && id === data.REST) return 'Empty: everything is in a source';
    if (!members.length) return data.model().stems ? 'Drop rows here' : 'Drop components here';
    if (!data.sources().length && !data.model().stems) return 'All of it, so far: drag components into a source, press N on one, or group them by timbre.';
    const count = data.model().stems ? '' : `${members.length} component${members.length > 1 ? 's' : ''} · `;
    return `${count}${percent(this.energy(members))}${this.loudness(members)}`;
  }

  // The mean loudness of a sum of components, as ITU-R BS.1770 weights frequencies.
  loudness(members) {
    if (!this.levels) return '';
    const n = Math.sqrt(this.levels.length);
    let power = 0;
    for (const i of members) for (const j of members) power += this.levels[i * n + j];
    const lufs = 10 * Math.log10(Math.max(power, 1e-12)) - 0.691;
    return lufs > -90 ? ` · ${lufs.toFixed(1).replace('-', '−')}\u00a0LUFS` : ' · silent';
  }

  fader(id, name, ...toggles) {
    const shown = (gain) => `${gain > 0 ? '+' : gain < 0 ? '−' : ''}${Math.abs(gain).toFixed(1)} dB`;
    const value = h('output', { class: 'gain' }, shown(data.gainOf(id)));
    const slider = h('input', {
      type: 'range', class: 'fader', min: -60, max: 12, step: 0.5, value: data.gainOf(id), 'aria-label': `Gain of ${name} in decibels`, 'aria-valuetext': shown(data.gainOf(id)),
      title: 'Gain; a double click sets it to 0 dB',
      oninput: () => {
        store.fading = { id, gain: Number(slider.value) };
        value.textContent = shown(store.fading.gain);
        slider.setAttribute('aria-valuetext', value.textContent);
        this.actions.faded();
      },
      onchange: () => {
        store.fading = null;
        data.setGain(id, Number(slider.value));
      },
      ondblclick: () => data.setGain(id, 0),
    });
    return h('div', { class: 'fader-line' }, ...toggles, slider, value);
  }

  chip(k) {
    const component = data.model().components[k];
    const chip = h('button', {
      type: 'button', class: 'chip', title: 'Hear it alone; drag it to another source',
      'aria-label': `${title(component)} #${k}: hear alone`,
      onclick: () => this.actions.hear(k),
    }, `${title(component)} #${k}`);
    chip.addEventListener('pointerdown', (event) => this.actions.drag(event, k));
    chip.addEventListener('keydown', (event) => {
      if (event.key === 'Delete' || event.key === 'Backspace') data.assign([k], null);
      else if (/^[0-9]$/.test(event.key)) this.actions.digit([k], Number(event.key));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return chip;
  }

  // Show which are heard.
  hear() {
    for (const [button, set, key] of this.toggles || []) button.setAttribute('aria-pressed', String(set.has(key)));
  }

  toggle(letter, label, set, key) {
    const button = h('button', {
      type: 'button', class: `toggle ${letter}`, 'aria-label': label, title: label, 'aria-pressed': String(set.has(key)),
      onclick: () => data.toggle(set, key),
    }, letter);
    this.toggles.push([button, set, key]);
    return button;
  }

  renamed(source, input) {
    const trouble = data.nameSource(source.id, input.value);
    if (!trouble) return;
    toast(trouble, 'error');
    input.value = source.name;
  }

  async chosen(source, menu) {
    const wanted = menu.value;
    menu.value = '';
    if (wanted === 'remove') data.removeSource(source.id);
    else if (wanted.startsWith('merge:')) data.mergeSources(source.id, wanted.slice(6));
    else if (source.components.length < 2) toast('A source of one component cannot be split.');
    else {
      try {
        await data.splitSource(source.id);
      } catch (error) {
        toast(error.message, 'error');
      }
    }
  }

  updateMarks() {
    const { marks } = store.state;
    this.marks.replaceChildren(...marks.map((mark, i) => this.markItem(mark, i)));
    this.refineButton.textContent = marks.length ? `Refine with ${marks.length} mark${marks.length > 1 ? 's' : ''}` : 'Refine';
    this.refineButton.disabled = !marks.length;
  }

  markItem(mark, i) {
    const source = data.sources().find((item) => item.id === mark.source);
    const change = (fields) => data.edit((next) => { Object.assign(next.marks[i], fields); });
    const number = (field, label, step) => {
      const input = h('input', {
        type: 'number', class: 'small-number', step: String(step), min: '0', value: String(+mark[field].toFixed(step < 1 ? 2 : 0)), 'aria-label': label, title: label,
        onchange: () => {
          const wanted = { ...mark, [field]: Number(input.value) };
          if (Number.isFinite(wanted[field]) && wanted.start < wanted.end && wanted.low < wanted.high && wanted[field] >= 0) change({ [field]: wanted[field] });
          else input.value = String(mark[field]);
        },
      });
      return input;
    };
    const kind = h('select', { 'aria-label': 'What the mark says', onchange: () => change({ belongs: kind.value === 'yes' }) }, ...options([['yes', 'belongs to'], ['no', 'is not in']], mark.belongs ? 'yes' : 'no'));
    const whose = h('select', { 'aria-label': 'Source of the mark', onchange: () => change({ source: whose.value }) }, ...options(data.sources().map((s) => [s.id, s.name]), mark.source));
    const firm = h('input', { type: 'range', min: 1, max: 20, value: Math.min(20, mark.strength), 'aria-label': 'How firmly, from soft to firm', onchange: () => change({ strength: Number(firm.value) }) });
    const remove = iconButton('close', 'Remove the mark', () => data.edit((next) => { next.marks.splice(i, 1); }));
    return h(
      'li',
      { class: 'mark', vars: { '--own': sourceColour(source) }, 'aria-label': `${clock(mark.start)} to ${clock(mark.end)}, ${hertz(mark.low)} to ${hertz(mark.high)}` },
      h('div', { class: 'line' }, kind, whose, remove),
      ...(mark.spans ? [h('p', { class: 'hint' }, `Painted: ${clock(mark.start)} to ${clock(mark.end)}, ${hertz(mark.low)} to ${hertz(mark.high)}`)] : [
      h('div', { class: 'line numbers' }, number('start', 'Start in seconds', 0.1), '–', number('end', 'End in seconds', 0.1), h('span', {}, 's')),
      h('div', { class: 'line numbers' }, number('low', 'Lowest frequency in hertz', 10), '–', number('high', 'Highest frequency in hertz', 10), h('span', {}, 'Hz'))]),
      h('label', { class: 'line numbers' }, 'soft', firm, 'firm'),
    );
  }
}
