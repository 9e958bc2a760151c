// The queue: each of several recordings with its state, and the stems of all at once.

import { api, sentence } from './api.js';
import { announce, clock, h, iconButton, toast } from './dom.js';
import { save } from './dialogs.js';
import { pickFolder, writeFiles } from './folder.js';
import { stageName } from './setup.js';
import * as data from './store.js';

const { store } = data;
const LOOK_MS = 250;
const AGAIN_MS = 1000; // after a question that was not answered
const WORDS = { waiting: 'waiting', running: 'working', done: 'done', failed: 'failed', stopped: 'stopped' };

export class QueueView {
  constructor(actions) {
    this.actions = actions;
    this.items = new Map();
    this.heading = h('h1', {}, 'Several recordings');
    this.figure = h('p', { class: 'hint' });
    this.bar = h('progress', { max: 1, value: 0, 'aria-label': 'The whole queue' });
    this.list = h('ul', { class: 'queue', 'aria-label': 'Recordings in the queue' });
    this.stopAll = h('button', { type: 'button', onclick: () => this.halt() }, 'Stop all');
    this.again = h('button', { type: 'button', onclick: () => this.tryAgain() }, 'Retry the others');
    this.format = h('select', { 'aria-label': 'Format of the stems', onchange: () => this.look() }, h('option', { value: 'wav' }, 'WAV'), h('option', { value: 'flac' }, 'FLAC'));
    this.saveAll = h('button', { type: 'button', class: 'primary', onclick: () => this.archive() }, 'Save all stems');
    this.toFolder = window.showDirectoryPicker ? h('button', { type: 'button', title: 'A folder for each recording; files that are there already under these names are replaced', onclick: () => this.folder() }, 'To a folder…') : null;
    this.exportBar = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Export' });
    this.done = h('p', { class: 'done', role: 'status' });
    this.lines = h('pre', { class: 'commands', tabindex: '0', 'aria-label': 'Command line that makes the same stems' });
    this.same = h('details', {}, h('summary', {}, 'The same at the command line'), this.lines);
    this.element = h(
      'main',
      { class: 'setup' },
      this.heading,
      this.figure,
      this.bar,
      this.list,
      h('div', { class: 'line end' }, h('button', { type: 'button', onclick: () => actions.leave() }, 'Another recording'), this.again, this.stopAll, this.format, this.toFolder || '', this.saveAll),
      this.exportBar,
      this.done,
      this.same,
    );
    this.watch();
  }

  async watch() {
    for (;;) {
      const told = await this.look();
      if (told && !told.job) return;
      await new Promise((resolve) => setTimeout(resolve, told ? LOOK_MS : AGAIN_MS));
      if (!this.element.isConnected) return;
    }
  }

  async look() {
    try {
      const told = await api.queue(this.format.value);
      this.show(told);
      return told;
    } catch (error) {
      if (!error.status) return null; // it does not answer, as the banner says
      toast(error.message, 'error');
      return { job: null };
    }
  }

  show({ items, job, lines }) {
    this.job = job;
    const there = new Set(items.map((item) => item.recording));
    for (const [key, row] of this.items) {
      if (there.has(key)) continue; // it was in the queue before this one
      row.element.remove();
      this.items.delete(key);
    }
    for (const item of items) this.row(item);
    const count = (course) => items.filter((item) => item.course === course).length;
    const [done, failed] = [count('done'), count('failed')];
    this.figure.textContent = `${done} of ${items.length} done${failed ? `, ${failed} failed` : ''}${count('stopped') ? `, ${count('stopped')} stopped` : ''}`;
    this.bar.value = (items.length - count('waiting') - count('running')) / Math.max(1, items.length);
    this.bar.hidden = this.stopAll.hidden = !job;
    this.again.hidden = Boolean(job) || !(failed + count('stopped'));
    for (const button of [this.saveAll, this.toFolder]) if (button) button.disabled = Boolean(job) || !done || this.exporting;
    this.saveAll.textContent = done && done < items.length ? `Save the stems of ${done}` : 'Save all stems';
    this.same.hidden = !lines.length;
    if (this.lines.textContent !== lines.join('\n')) this.lines.textContent = lines.join('\n');
    this.told = items;
  }

  row(item) {
    let row = this.items.get(item.recording);
    if (!row) {
      row = { state: h('span', { class: 'course' }), bar: h('progress', { max: 1, value: 0, 'aria-label': `Progress of ${item.name}` }), reason: h('p', { class: 'hint reason' }) };
      row.open = h('button', { type: 'button', 'aria-label': `Open ${item.name}`, onclick: () => this.actions.open({ id: item.recording, name: item.name }) }, 'Open');
      row.cancel = iconButton('close', `Take ${item.name} out`, () => this.cancel(item));
      row.element = h('li', { class: 'queued' }, h('div', { class: 'heading' }, h('span', { class: 'two' }, h('span', {}, item.name), h('span', { class: 'hint' }, clock(item.duration, 0))), row.state, row.open, row.cancel), row.bar, row.reason);
      this.items.set(item.recording, row);
      this.list.append(row.element);
    }
    if (row.course && row.course !== item.course && ['done', 'failed'].includes(item.course)) announce(`${item.name}: ${WORDS[item.course]}`);
    if (row.course !== item.course && item.course === 'done') store.left.add(item.recording);
    row.course = item.course;
    row.element.dataset.course = item.course;
    row.state.textContent = item.course === 'running' ? stageName(item.stage) : WORDS[item.course];
    row.bar.hidden = item.course !== 'running';
    row.bar.value = item.share;
    row.reason.hidden = !item.reason;
    row.reason.textContent = sentence(item.reason);
    row.open.hidden = item.course !== 'done';
    row.cancel.hidden = !['waiting', 'running'].includes(item.course);
  }

  async cancel(item) {
    try {
      await api.unqueue(item.recording);
    } catch (error) {
      toast(error.message, 'error');
    }
    this.look();
  }

  async halt() {
    try {
      if (this.job) await api.stop(this.job, false);
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  async tryAgain() {
    try {
      await api.start({ kind: 'queue', again: true });
      this.watch();
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  // What is exported is everything that is done.
  async exported(make) {
    this.exporting = true;
    this.exportBar.hidden = false;
    this.show({ items: this.told, job: this.job, lines: this.lines.textContent ? this.lines.textContent.split('\n') : [] });
    try {
      this.done.textContent = (await make()) || '';
      if (this.done.textContent) for (const item of this.told) if (item.course === 'done') store.left.delete(item.recording);
    } catch (error) {
      toast(error.message, 'error');
    } finally {
      this.exporting = false;
      this.exportBar.hidden = true;
      this.look();
    }
  }

  async make(more) {
    const job = await api.start({ kind: 'export', what: 'queue', format: this.format.value, ...more });
    return api.follow(job, (told) => { this.exportBar.value = told.share; });
  }

  archive() {
    return this.exported(async () => {
      const made = await this.make({});
      if (!made) return '';
      save(`/api/deliveries/${made.id}`);
      return `Saved ${made.name}`;
    });
  }

  // A folder for each recording, one recording after the other: no more than one lies here twice.
  folder() {
    return this.exported(async () => {
      const home = await pickFolder();
      if (!home) return '';
      let n = 0;
      for (const item of this.told.filter((other) => other.course === 'done')) {
        const made = await this.make({ recording: item.recording });
        if (!made) return '';
        await writeFiles(home, made.files, item.track);
        n += made.files.length;
      }
      return `Saved ${n} files in ${home.name || 'the folder'}`;
    });
  }
}
