// Small helpers to build the page. Text is always set as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

const ICONS = {
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  rewind: 'M6 5h2.5v14H6zM19 5v14l-9.5-7z',
  loop: 'M7 7h9l-2.5-2.5L15 3l5 5-5 5-1.5-1.5L16 9H7a3 3 0 0 0-3 3H2a5 5 0 0 1 5-5zM17 17H8l2.5 2.5L9 21l-5-5 5-5 1.5 1.5L8 15h9a3 3 0 0 0 3-3h2a5 5 0 0 1-5 5z',
  undo: 'M9 6 3.5 11 9 16v-3.5h6a3.5 3.5 0 0 1 0 7h-3v2h3a5.5 5.5 0 0 0 0-11H9z',
  redo: 'm15 6 5.5 5-5.5 5v-3.5H9a3.5 3.5 0 0 0 0 7h3v2H9a5.5 5.5 0 0 1 0-11h6z',
  export: 'M11 3h2v9l3.3-3.3 1.4 1.4L12 15.8 6.300 10.100l1.400-1.400L11 12zM4 17h2v2h12v-2h2v4H4z',
  sun: 'M12 7.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM11 2h2v3h-2zM11 19h2v3h-2zM2 11h3v2H2zM19 11h3v2h-3zM4.200 5.600l1.400-1.400 2.100 2.100-1.400 1.400zM16.300 17.700l1.400-1.400 2.100 2.100-1.400 1.400zM18.400 4.200l1.400 1.400-2.100 2.100-1.400-1.400zM6.300 16.300l1.400 1.400-2.100 2.100-1.400-1.400z',
  moon: 'M14.500 3.500A9 9 0 1 0 20.500 16 7.500 7.500 0 0 1 14.500 3.500z',
  help: 'M11 16h2v2h-2zM12 5a4.500 4.500 0 0 0-4.500 4.500h2a2.500 2.500 0 1 1 3.600 2.200c-1.300.7-2.100 1.600-2.100 3.300h2c0-.8.4-1.200 1.200-1.700A4.500 4.500 0 0 0 12 5z',
  plus: 'M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z',
  minus: 'M5 11h14v2H5z',
  fit: 'M4 5h2v14H4zM18 5h2v14h-2zM8 11h8v2H8z',
  close: 'm6.400 5 5.600 5.600L17.600 5 19 6.400 13.400 12l5.600 5.600-1.400 1.400-5.600-5.600L6.400 19 5 17.600l5.600-5.600L5 6.400z',
  grip: 'M8 5h2.500v2.500H8zM13.500 5H16v2.500h-2.500zM8 10.700h2.500v2.500H8zM13.500 10.700H16v2.500h-2.500zM8 16.500h2.500V19H8zM13.500 16.500H16V19h-2.500z',
  mark: 'M4 4h5v2H6v3H4zM15 4h5v5h-2V6h-3zM4 15h2v3h3v2H4zM18 15h2v5h-5v-2h3zM9 9h6v6H9z',
  home: 'M12 3 3 10.500l1.300 1.500L6 10.600V20h5v-5h2v5h5v-9.400l1.700 1.400 1.300-1.500z',
  copy: 'M8 3h11v14h-2V5H8zM5 7h10v14H5zM7 9v10h6V9z',
};

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = value;
    else if (name === 'vars') for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onclick, props = {}) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...props }, icon(name));
}

export function setIcon(button, name, label) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.replaceChildren(icon(name));
  if (label) {
    button.setAttribute('aria-label', label);
    button.title = label;
  }
}

export function options(pairs, chosen) {
  return pairs.map(([value, text]) => h('option', { value: String(value), selected: String(value) === String(chosen) }, text));
}

export function clock(seconds, digits = 1) {
  const total = Math.max(0, seconds);
  const minutes = Math.floor(total / 60);
  const rest = (total - 60 * minutes).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? digits + 3 : 2, '0')}`;
}

export function hertz(value) {
  if (value >= 10000) return `${Math.round(value / 1000)} kHz`;
  return value >= 1000 ? `${+(value / 1000).toFixed(1)} kHz` : `${Math.round(value)} Hz`;
}

const LETTERS = ['C', 'C♯', 'D', 'D♯', 'E', 'F', 'F♯', 'G', 'G♯', 'A', 'A♯', 'B'];

// The name of a MIDI key.
export function keyName(key) {
  return `${LETTERS[key % 12]}${Math.floor(key / 12) - 1}`;
}

export function percent(share) {
  return share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`;
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// A canvas as sharp as the screen; returns its context, scaled to CSS pixels, and its size.
export function prepare(canvas) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// At most one call a frame, however often it is asked for.
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

const palette = { scheme: null, known: new Map() };

// A colour of the page. It is looked up once: asking the browser makes it work out all styles anew.
export function colour(name) {
  const { scheme } = document.documentElement.dataset;
  if (scheme !== palette.scheme) Object.assign(palette, { scheme, known: new Map() });
  const { known } = palette;
  if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return known.get(name);
}

export function announce(text) {
  document.getElementById('status').textContent = text;
}

// A dialog over everything else. What lies beside it cannot be reached, so messages are said in it.
export function showOver(box) {
  const said = ['status', 'toasts'].map((id) => document.getElementById(id));
  box.addEventListener('close', () => {
    document.body.append(...said);
    box.remove();
  });
  document.body.append(box);
  box.append(...said);
  box.showModal();
}

const MOST_TOASTS = 2;

// The same words are not said twice, and two things at once are enough to read.
export function toast(text, kind = 'note') {
  announce(text);
  const all = document.getElementById('toasts');
  for (const other of [...all.children]) if (other.firstChild.textContent === text) other.remove();
  while (all.children.length >= MOST_TOASTS) all.firstChild.remove();
  const item = h('div', { class: `toast ${kind}` }, h('span', {}, text));
  item.append(iconButton('close', 'Dismiss', () => item.remove()));
  all.append(item);
  setTimeout(() => item.remove(), kind === 'error' ? 12000 : 5000);
}

// Words for the page that is loaded next in this tab.
export function sayNextTime(text) {
  try {
    sessionStorage.setItem('said', text);
  } catch {
    announce(text); // a browser that keeps nothing
  }
}

export function sayFromBefore() {
  try {
    const text = sessionStorage.getItem('said');
    sessionStorage.removeItem('said');
    if (text) toast(text, 'error');
  } catch {
    return; // nothing was kept
  }
}

// What lasts until it is over; an empty text takes it away.
export function banner(text) {
  const element = document.getElementById('banner');
  if (element.textContent === text) return;
  element.textContent = text;
  element.hidden = !text;
}
