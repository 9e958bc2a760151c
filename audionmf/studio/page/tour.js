// Five steps through the studio, which can be left at any of them.

import { announce, clamp, h } from './dom.js';

const STEPS = [
  ['.rows .row', 'Each row is a sound', 'Click a row to hear it alone; S and M solo and mute it. The arrows go up and down.'],
  ['.panel .sources', 'Sources', 'Drag rows into sources, or press a digit on a row. What is in none is the rest. Write their names.'],
  ['.fader-line', 'The mix', 'A fader, solo and mute for each source. The key A lets the recording be heard as it is.'],
  ['.picture', 'The spectrogram', 'Click to listen from there; the wheel zooms. Mark what belongs to a source with the key B, and refine.'],
  ['.bar .primary', 'Export', 'Stems, a remix, notes, a project to go on with, and the command line for all of it. The key E.'],
];
const MARGIN = 12;

export function startTour(studio) {
  document.querySelector('.tour')?.remove();
  let step = 0;
  const title = h('h2', {});
  const text = h('p', {});
  const place = h('span', { class: 'hint' });
  const next = h('button', { type: 'button', class: 'primary', onclick: () => go(step + 1) }, 'Next');
  const back = h('button', { type: 'button', onclick: () => go(step - 1) }, 'Back');
  const skip = h('button', { type: 'button', onclick: () => end() }, 'Skip');
  const box = h('div', { class: 'tour', role: 'dialog', 'aria-label': 'Tour' }, title, text, h('div', { class: 'line' }, place, h('span', { class: 'spacer' }), skip, back, next));
  const before = document.activeElement;
  const again = () => show();

  function end() {
    document.querySelector('.toured')?.classList.remove('toured');
    removeEventListener('resize', again);
    box.remove();
    before?.focus?.();
  }

  function go(to) {
    if (to >= STEPS.length) {
      end();
      return;
    }
    step = Math.max(0, to);
    show();
  }

  function show() {
    document.querySelector('.toured')?.classList.remove('toured');
    if (!studio()) {
      end(); // the view is another one
      return;
    }
    const [where, name, words] = STEPS[step];
    const target = document.querySelector(where);
    title.textContent = name;
    text.textContent = words;
    place.textContent = `${step + 1} of ${STEPS.length}`;
    back.disabled = step === 0;
    next.textContent = step + 1 < STEPS.length ? 'Next' : 'Done';
    skip.hidden = step + 1 === STEPS.length;
    announce(`${name}. ${words}`);
    if (!target) return;
    target.classList.add('toured');
    target.scrollIntoView({ block: 'nearest' });
    const at = target.getBoundingClientRect();
    const own = box.getBoundingClientRect();
    const left = at.left >= own.width + 2 * MARGIN && at.width < innerWidth / 3 ? at.left - own.width - MARGIN : at.left + MARGIN;
    const below = at.bottom + MARGIN + own.height < innerHeight ? at.bottom + MARGIN : at.top - own.height - MARGIN;
    box.style.left = `${clamp(left, MARGIN, innerWidth - own.width - MARGIN)}px`;
    box.style.top = `${clamp(at.left >= own.width + 2 * MARGIN && at.width < innerWidth / 3 ? at.top : below, MARGIN, innerHeight - own.height - MARGIN)}px`;
  }

  box.addEventListener('keydown', (event) => {
    const keys = { Escape: end, ArrowRight: () => go(step + 1), ArrowLeft: () => go(step - 1) };
    if (!keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  document.body.append(box);
  addEventListener('resize', again);
  show();
  next.focus();
}
