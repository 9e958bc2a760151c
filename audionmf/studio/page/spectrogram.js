// The spectrogram: tiles of the level of detail that fits, coloured once and then only moved.

import { api } from './api.js';
import { clamp, colour, hertz, oncePerFrame, prepare } from './dom.js';

const DARK = [[11, 13, 20], [38, 24, 72], [92, 30, 110], [164, 48, 103], [226, 88, 72], [251, 158, 60], [252, 246, 190]];
const LIGHT = [[255, 255, 255], [236, 236, 246], [203, 204, 232], [146, 152, 206], [90, 98, 170], [46, 52, 122], [14, 16, 52]];
const KEPT_TILES = 96;
const COLOURED_AT_ONCE = 2;
const LIGHT_RANGE_DB = 55;

function ramp(stops) {
  const table = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i += 1) {
    const place = (i / 255) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c += 1) {
      table[4 * i + c] = stops[first][c] + (place - first) * (stops[first + 1][c] - stops[first][c]);
    }
    table[4 * i + 3] = 255;
  }
  return table;
}

export class Spectrogram {
  constructor(canvas, axis, timeline) {
    Object.assign(this, { canvas, axis, timeline });
    this.tiles = new Map();
    this.meta = null;
    this.lights = [];
    this.factors = null;
    this.draw = oncePerFrame(() => this.paint());
    timeline.addEventListener('change', this.draw);
    new ResizeObserver(this.draw).observe(canvas);
  }

  show(recording, meta) {
    if (this.id !== recording.id) this.tiles.clear();
    this.id = recording.id;
    this.meta = meta;
    this.draw();
  }

  // Templates on the rows of the picture, and activations, to see where components sit.
  setFactors(factors) {
    this.factors = { ...factors, pyramids: [] };
    this.draw();
  }

  // Light up components: a list of { components, colour }.
  setLights(lights) {
    this.lights = lights;
    this.draw();
  }

  recolour() {
    this.table = null;
    for (const tile of this.tiles.values()) tile.picture = null;
    this.draw();
  }

  frequency(share) {
    const { low, high } = this.meta;
    return low * (high / low) ** share;
  }

  share(frequency) {
    const { low, high } = this.meta;
    return Math.log(Math.max(frequency, low) / low) / Math.log(high / low);
  }

  y(frequency, height) {
    const { low, high } = this.timeline;
    return height * (1 - (this.share(frequency) - low) / (high - low));
  }

  frequencyAt(y, height) {
    const { low, high } = this.timeline;
    return this.frequency(clamp(low + (1 - y / height) * (high - low), 0, 1));
  }

  paint() {
    if (!this.meta || !this.canvas.isConnected) return;
    const { context, width, height } = prepare(this.canvas);
    if (!width) return;
    const dimmed = this.lights.length > 0 && this.factors;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = dimmed ? 0.45 : 1;
    this.paintTiles(context, width, height);
    context.globalAlpha = 1;
    if (dimmed) for (const light of this.lights) this.paintLight(context, width, height, light);
    this.paintAxis();
  }

  paintTiles(context, width, height) {
    const { timeline, meta } = this;
    const perPixel = timeline.span / meta.seconds / width;
    const coarsest = meta.columns.length - 1;
    const level = clamp(Math.floor(Math.log2(Math.max(1, perPixel))), 0, coarsest);
    this.fresh = COLOURED_AT_ONCE;
    if (level < coarsest && !this.ready(level)) this.paintLevel(context, width, height, coarsest);
    this.paintLevel(context, width, height, level);
  }

  // The first and the last tile of a level that are in view.
  span(level) {
    const { timeline, meta } = this;
    const column = meta.seconds * 2 ** level;
    const last = Math.ceil(meta.columns[level] / meta.tile) - 1;
    // Column i is centred on i times its width: the picture starts half a column early.
    const place = (seconds) => clamp(Math.floor((seconds / column + 0.5) / meta.tile), 0, last);
    return [place(timeline.start), place(timeline.end)];
  }

  // Whether nothing of a level is missing in the view; until then a coarse picture stands in.
  ready(level) {
    const [first, last] = this.span(level);
    for (let index = first; index <= last; index += 1) if (!this.tiles.get(`${level}/${index}`)?.picture) return false;
    return true;
  }

  paintLevel(context, width, height, level) {
    const { timeline, meta } = this;
    const column = meta.seconds * 2 ** level;
    const top = (1 - timeline.high) * meta.rows;
    const rows = (timeline.high - timeline.low) * meta.rows;
    const [first, last] = this.span(level);
    for (let index = first; index <= last; index += 1) {
      const tile = this.tile(level, index);
      if (!tile) continue;
      const left = timeline.x((index * meta.tile - 0.5) * column, width);
      const right = timeline.x((index * meta.tile + tile.width - 0.5) * column, width);
      context.drawImage(tile, 0, top, tile.width, rows, left, 0, right - left, height);
    }
  }

  tile(level, index) {
    const key = `${level}/${index}`;
    const found = this.tiles.get(key);
    if (!found) {
      this.fetch(key, level, index);
      return null;
    }
    this.tiles.delete(key);
    this.tiles.set(key, found);
    if (found.values && !found.picture) {
      if (this.fresh > 0) {
        this.fresh -= 1;
        found.picture = this.colour(found.values);
      } else {
        this.draw(); // the others in the next frame: this one is not to be late
      }
    }
    return found.picture;
  }

  async fetch(key, level, index) {
    const entry = { values: null, picture: null };
    this.tiles.set(key, entry);
    for (const old of this.tiles.keys()) {
      if (this.tiles.size <= KEPT_TILES) break;
      this.tiles.delete(old);
    }
    try {
      entry.values = new Uint8Array(await api.tile(this.id, level, index));
      this.draw();
    } catch {
      this.tiles.delete(key);
    }
  }

  colour(values) {
    this.table ||= ramp(document.documentElement.dataset.scheme === 'light' ? LIGHT : DARK);
    const { rows } = this.meta;
    const width = values.length / rows;
    const picture = new OffscreenCanvas(width, rows);
    const image = new ImageData(width, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const table = new Uint32Array(this.table.buffer);
    for (let i = 0; i < values.length; i += 1) pixels[i] = table[values[i]];
    picture.getContext('2d').putImageData(image, 0, 0);
    return picture;
  }

  paintLight(context, width, height, light) {
    const { meta, timeline, factors } = this;
    const columns = Math.ceil(Math.min(width / 2, 500));
    const image = new ImageData(columns, meta.rows);
    const [red, green, blue] = parse(light.colour);
    const model = new Float32Array(columns * meta.rows);
    for (const k of light.components) {
      const levels = this.pooled(k, columns);
      for (let row = 0; row < meta.rows; row += 1) {
        const w = factors.templates[k * meta.rows + row];
        if (w === 0) continue;
        for (let i = 0; i < columns; i += 1) model[row * columns + i] += w * levels[i];
      }
    }
    const own = (blue << 16) | (green << 8) | red;
    const pixels = new Uint32Array(image.data.buffer);
    const scale = (255 * 20) / Math.LN10 / LIGHT_RANGE_DB;
    for (let i = 0; i < model.length; i += 1) {
      const alpha = 255 + scale * Math.log(model[i] / meta.peak + 1e-9);
      if (alpha > 0) pixels[i] = (Math.min(255, alpha) << 24) | own;
    }
    this.scratch ||= new OffscreenCanvas(columns, meta.rows);
    this.scratch.width = columns;
    this.scratch.height = meta.rows;
    this.scratch.getContext('2d').putImageData(image, 0, 0);
    const top = (1 - timeline.high) * meta.rows;
    context.drawImage(this.scratch, 0, top, columns, (timeline.high - timeline.low) * meta.rows, 0, 0, width, height);
  }

  // The activations of a component in the view: the largest in each of so many columns.
  pooled(k, columns) {
    const { timeline, meta } = this;
    const pyramid = this.pyramid(k);
    const perColumn = timeline.span / meta.seconds / columns;
    const depth = clamp(Math.floor(Math.log2(Math.max(1, perColumn))), 0, pyramid.length - 1);
    const source = pyramid[depth];
    const unit = meta.seconds * 2 ** depth;
    const levels = new Float32Array(columns);
    for (let i = 0; i < columns; i += 1) {
      const from = Math.round((timeline.start + (i / columns) * timeline.span) / unit);
      const to = Math.max(from + 1, Math.round((timeline.start + ((i + 1) / columns) * timeline.span) / unit));
      let top = 0;
      for (let t = from; t < to && t < source.length; t += 1) top = Math.max(top, source[t]);
      levels[i] = top;
    }
    return levels;
  }

  // Activations at every level of detail: each has half the columns, the larger of two neighbours.
  pyramid(k) {
    const { activations, frames, pyramids } = this.factors;
    if (pyramids[k]) return pyramids[k];
    const made = [activations.subarray(k * frames, (k + 1) * frames)];
    while (made.at(-1).length > 1024) {
      const fine = made.at(-1);
      const coarse = new Float32Array(Math.ceil(fine.length / 2));
      for (let i = 0; i < coarse.length; i += 1) coarse[i] = Math.max(fine[2 * i], fine[2 * i + 1] || 0);
      made.push(coarse);
    }
    pyramids[k] = made;
    return made;
  }

  // Beside the picture, on its frequency axis: the spectrum of what is lit, or of everything.
  paintSpectrum(context, width, height) {
    const { factors, timeline, meta } = this;
    const all = Array.from({ length: factors.components }, (_, k) => k);
    const light = this.lights[0] || { components: all, colour: colour('--rest') };
    const curve = new Float32Array(meta.rows);
    for (const k of light.components) {
      for (let row = 0; row < meta.rows; row += 1) curve[row] += factors.energies[k] * factors.templates[k * meta.rows + row];
    }
    const top = curve.reduce((a, b) => Math.max(a, b), 1e-12);
    context.fillStyle = light.colour;
    context.globalAlpha = this.lights.length ? 0.85 : 0.22;
    const across = width - 84;
    context.beginPath();
    context.moveTo(width - 72, 0);
    for (let row = 0; row < meta.rows; row += 1) {
      const share = 1 - (row + 0.5) / meta.rows;
      const y = height * (1 - (share - timeline.low) / (timeline.high - timeline.low));
      const decibels = 20 * Math.log10(Math.max(curve[row] / top, 1e-6));
      context.lineTo(width - 72 - across * clamp(1 + decibels / 55, 0, 1), y);
    }
    context.lineTo(width - 72, height);
    context.fill();
    context.globalAlpha = 1;
  }

  paintAxis() {
    const { context, width, height } = prepare(this.axis);
    if (this.factors) this.paintSpectrum(context, width, height);
    context.font = '11px system-ui, sans-serif';
    context.fillStyle = colour('--quiet');
    context.strokeStyle = colour('--line');
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (const frequency of [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]) {
      const y = this.y(frequency, height);
      if (y < 8 || y > height - 8 || frequency > this.meta.high) continue;
      context.fillText(hertz(frequency), width - 10, y);
      context.fillRect(width - 6, Math.round(y), 6, 1);
    }
  }
}

export function parse(hex) {
  const digits = hex.replace('#', '');
  return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16));
}
