// What marks do is heard while they are drawn: at once around them, a little later in all of the recording.

import { api } from './api.js';
import { toast } from './dom.js';
import * as data from './store.js';

const { store } = data;
const PAUSE_MS = 120; // strokes come in bursts
const MOST_SECONDS = 10; // of what is found at once

export class Live {
  constructor(studio) {
    this.studio = studio;
    this.made = new Set();
    this.round = 0;
  }

  // Whether a model came of marks that were heard: its sources are still those that had the notes.
  own(id) {
    return this.made.has(id);
  }

  // What is being found is of no use any more.
  rest() {
    clearTimeout(this.timer);
    this.round += 1;
    this.studio.marking.state.textContent = '';
  }

  key() {
    const { sources: groups, marks } = store.state;
    return JSON.stringify([groups, marks]);
  }

  // A mark was drawn, or erased, at these seconds.
  drew(start, end) {
    this.round += 1;
    const { round } = this;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.go(round, start, end), PAUSE_MS);
  }

  async go(round, start, end) {
    const { timeline } = this.studio;
    const middle = (start + end) / 2;
    const near = [Math.max(timeline.start, middle - MOST_SECONDS / 2), Math.min(timeline.end, middle + MOST_SECONDS / 2)];
    await store.sending;
    if (!store.state.marks.length) return;
    try {
      if (await this.find(round, near)) await this.find(round, null);
    } catch (error) {
      if (![0, 404].includes(error.status)) toast(error.message, 'error');
    } finally {
      if (round === this.round) this.studio.marking.state.textContent = '';
    }
  }

  // Find the parts again, in a span or in all, and hear them if nothing else happened meanwhile.
  async find(round, span) {
    if (round !== this.round || !this.studio.element.isConnected) return false;
    const key = this.key();
    this.studio.marking.state.textContent = span ? 'Finding…' : 'Refining…';
    // Without a result it gave way to another job, or to a change: the next mark finds it again.
    const made = await api.follow(await api.start({ kind: 'try', version: store.state.version, span }), () => {});
    if (!made || round !== this.round || key !== this.key() || !this.studio.element.isConnected) return false;
    this.made.add(made.model.id);
    data.swap({ ...made.model, tried: Boolean(span) });
    await store.sending;
    return true;
  }
}
