// Runs in the audio thread: adds up the components, each with its gain, sample by sample.
// All of them are read at one position, so that they cannot drift apart; a change of gain glides
// over a few milliseconds, so that it does not click.

const GLIDE_SECONDS = 0.004;
const REPORT_EVERY = 1024;
const SILENT = 1e-4;

class Mixer extends AudioWorkletProcessor {
  constructor(settings) {
    super();
    const { components, channels, block, samples, rate } = settings.processorOptions;
    Object.assign(this, { components, channels, block, samples });
    this.step = rate / sampleRate;
    this.glide = 1 - Math.exp(-1 / (GLIDE_SECONDS * sampleRate));
    this.gains = new Float32Array(components).fill(1);
    this.targets = new Float32Array(components).fill(1);
    this.blocks = new Map();
    this.playing = false;
    this.level = 0;
    this.position = 0;
    this.loop = null;
    this.sinceReport = 0;
    this.peak = 0;
    this.starved = false;
    this.over = false;
    this.port.onmessage = ({ data }) => this.told(data);
  }

  told(message) {
    if (message.over) this.over = true;
    if (message.block !== undefined) this.blocks.set(message.block, this.placed(message));
    if (message.drop !== undefined) this.blocks.delete(message.drop);
    if (message.gains) {
      this.targets.set(message.gains);
      for (const block of this.blocks.values()) this.judge(block);
    }
    if (message.playing !== undefined) this.playing = message.playing;
    if (message.position !== undefined) this.position = message.position;
    if (message.loop !== undefined) this.loop = message.loop;
    if (message.playing !== undefined || message.position !== undefined) this.report();
  }

  // Some blocks hold a few components only: where each lies in it, and -1 for those that do not.
  placed(block) {
    if (!block.parts) return block;
    block.places = new Int16Array(this.components).fill(-1);
    block.parts.forEach((k, place) => { block.places[k] = place; });
    this.judge(block);
    return block;
  }

  // A block lacks something if what is to be heard is not in it: then it is as if it were not there.
  judge(block) {
    if (block.places) block.lacks = block.places.some((place, k) => place < 0 && this.targets[k] >= SILENT);
  }

  report() {
    const { position, playing, peak, starved } = this;
    this.port.postMessage({ position, playing, peak, starved });
    this.peak = 0;
    this.sinceReport = 0;
  }

  process(_inputs, [output]) {
    if (this.over) return false;
    const left = output[0];
    const right = output[1] || left;
    for (let i = 0; i < left.length; i += 1) this.sample(left, right, i);
    this.sinceReport += left.length;
    if (this.playing && this.sinceReport >= REPORT_EVERY) this.report();
    return true;
  }

  sample(left, right, i) {
    // The whole mix glides too, when it starts and stops.
    const wanted = this.playing && !this.starved ? 1 : 0;
    this.level += this.glide * (wanted - this.level);
    if (!this.playing && this.level < SILENT) {
      left[i] = 0;
      right[i] = 0;
      return;
    }
    const whole = Math.floor(this.position);
    const found = this.blocks.get(Math.floor(whole / this.block));
    this.starved = !found || Boolean(found.lacks);
    if (this.starved) {
      left[i] = 0;
      right[i] = 0;
      return;
    }
    const share = this.position - whole;
    this.mix(found, whole % this.block, share);
    left[i] = this.l * this.level;
    right[i] = this.r * this.level;
    this.peak = Math.max(this.peak, Math.abs(left[i]), Math.abs(right[i]));
    this.advance();
  }

  mix(found, offset, share) {
    const { pcm, length, unit, places } = found;
    let l = 0;
    let r = 0;
    for (let k = 0; k < this.components; k += 1) {
      this.gains[k] += this.glide * (this.targets[k] - this.gains[k]);
      const gain = this.gains[k];
      const place = places ? places[k] : k;
      if (gain < SILENT || place < 0) continue;
      const first = place * this.channels * length + offset;
      const second = this.channels > 1 ? first + length : first;
      let a = pcm[first];
      let b = pcm[second];
      if (share > 0 && offset + 1 < length) {
        a += share * (pcm[first + 1] - a);
        b += share * (pcm[second + 1] - b);
      }
      l += gain * a;
      r += gain * b;
    }
    this.l = l * unit; // fields, not a pair: nothing is to be collected in the audio thread
    this.r = r * unit;
  }

  advance() {
    this.position += this.step;
    if (this.loop && this.position >= this.loop[1] && this.position - this.step < this.loop[1] + 1) {
      this.position = this.loop[0];
    }
    if (this.position >= this.samples) {
      this.position = this.loop ? this.loop[0] : 0;
      if (!this.loop) this.playing = false;
      this.report();
    }
  }
}

registerProcessor('mixer', Mixer);
