// Which other recordings are taken apart in the same way as one.

import { api } from './api.js';
import { clock, h, toast } from './dom.js';
import { sendAll } from './known.js';
import * as data from './store.js';

const { store } = data;

// `view` is the setup.
export class Others {
  constructor(view) {
    this.view = view;
    this.chosen = new Set();
    this.list = h('ul', { class: 'others', 'aria-label': 'Other recordings' });
    const bar = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Sending the file' });
    const input = h('input', { type: 'file', accept: 'audio/*,.wav,.flac,.aiff,.aif,.ogg,.mp3', class: 'visually-hidden', tabindex: -1, 'aria-hidden': 'true', onchange: () => sendAll([...input.files], bar, (made) => this.add(made)) });
    input.multiple = true;
    this.summary = h('summary', {});
    this.element = h('details', { class: 'several' }, this.summary, this.list, h('div', { class: 'line' }, h('button', { type: 'button', onclick: () => input.click() }, 'Add recordings'), input, bar));
    this.fill();
  }

  add(made) {
    if (made.kind) {
      toast(`${made.name} is no recording: give it to a source.`);
      return;
    }
    if (!store.state.recordings.some((item) => item.id === made.id)) store.state.recordings.push(made);
    if (made.id !== this.view.recording.id) this.chosen.add(made.id);
    this.element.open = true;
    this.fill();
  }

  fill() {
    const others = store.state.recordings.filter((item) => item.id !== this.view.recording.id);
    const offered = store.state.offered.filter((item) => !item.opened && !item.sample && !/\.(npz|midi?|audionmf)$/i.test(item.name) && item.name !== this.view.recording.name && !others.some((other) => other.name === item.name));
    const box = (label, hint, checked, take) => h('li', {}, h('label', { class: 'field tight' }, h('input', { type: 'checkbox', checked, onchange: (event) => take(event.target.checked) }), h('span', {}, label), h('span', { class: 'hint' }, hint)));
    this.list.replaceChildren(
      ...others.map((item) => box(item.name, clock(item.duration, 0), this.chosen.has(item.id), (on) => {
        if (on) this.chosen.add(item.id);
        else this.chosen.delete(item.id);
        this.say();
      })),
      ...offered.map((item) => box(item.name, 'from the command line', false, async () => {
        try {
          this.add(await api.pick(item.id));
        } catch (error) {
          toast(error.message, 'error');
          this.fill();
        }
      })),
    );
    this.say();
  }

  get ids() {
    return [this.view.recording.id, ...this.chosen];
  }

  say() {
    const n = this.chosen.size;
    this.summary.textContent = n ? `${n} other recording${n > 1 ? 's' : ''} in the same way` : 'Other recordings in the same way…';
    this.view.go.textContent = n ? `Take ${n + 1} recordings apart` : 'Take it apart';
  }
}
