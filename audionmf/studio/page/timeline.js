// Which part of the time, and of the frequencies, is in view. Everything with a time axis shares it.

import { clamp } from './dom.js';

const SHORTEST = 0.1;

export class Timeline extends EventTarget {
  constructor(duration) {
    super();
    this.duration = duration;
    this.start = 0;
    this.end = duration;
    this.low = 0; // of the logarithmic frequency axis, from 0 at the bottom to 1
    this.high = 1;
  }

  get span() {
    return this.end - this.start;
  }

  show(start, end) {
    const span = clamp(end - start, Math.min(SHORTEST, this.duration), this.duration);
    this.start = clamp(start, 0, this.duration - span);
    this.end = this.start + span;
    this.dispatchEvent(new Event('change'));
  }

  zoom(factor, at = (this.start + this.end) / 2) {
    const share = (at - this.start) / this.span;
    const span = clamp(this.span * factor, Math.min(SHORTEST, this.duration), this.duration);
    this.show(at - share * span, at + (1 - share) * span);
  }

  pan(seconds) {
    this.show(this.start + seconds, this.end + seconds);
  }

  zoomFrequencies(factor, at = 0.5) {
    const span = clamp((this.high - this.low) * factor, 0.1, 1);
    const place = this.low + at * (this.high - this.low);
    this.low = clamp(place - at * span, 0, 1 - span);
    this.high = this.low + span;
    this.dispatchEvent(new Event('change'));
  }

  // Move the frequencies in view so that the lowest is at a share of the axis.
  showFrequencies(low) {
    const span = this.high - this.low;
    this.low = clamp(low, 0, 1 - span);
    this.high = this.low + span;
    this.dispatchEvent(new Event('change'));
  }

  everything() {
    this.low = 0;
    this.high = 1;
    this.show(0, this.duration);
  }

  follow(seconds) {
    if (seconds > this.end - 0.04 * this.span || seconds < this.start) {
      if (this.span < this.duration) this.show(seconds - 0.05 * this.span, seconds + 0.95 * this.span);
    }
  }

  x(seconds, width) {
    return ((seconds - this.start) / this.span) * width;
  }

  seconds(x, width) {
    return this.start + (x / width) * this.span;
  }

  // Even steps for a ruler with a label about every 90 pixels.
  ticks(width) {
    const wanted = (this.span * 90) / Math.max(1, width);
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
    const step = steps.find((s) => s >= wanted) || 600;
    const ticks = [];
    for (let i = Math.ceil(this.start / step); i * step <= this.end; i += 1) ticks.push(i * step);
    return { ticks, digits: step < 0.1 ? 2 : step < 1 ? 1 : 0 };
  }
}
