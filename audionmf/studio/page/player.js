// Plays the components of a model in sync, or a recording as if it were one component. Blocks of a quarter
// of a second come from the server as they are needed and stay in a store of bounded size, so that length
// does not matter.

import { api } from './api.js';
import { toast } from './dom.js';

const BUDGET_BYTES = 192 * 2 ** 20;
const AHEAD = 14;
const AT_ONCE = 2;
const AHEAD_AT_REST = 4; // whoever seeks before playing is not to wait for what is of no use any more
const MOST_FEW = 3; // components that are worth being asked for alone, of at least twice as many
const MOST_SNATCHES = 32;

export class Player extends EventTarget {
  constructor() {
    super();
    this.playing = false;
    this.wished = false;
    this.position = 0;
    this.peak = 0;
    this.loop = null;
    this.volume = 1;
    this.gains = null;
    this.context = null;
    this.opening = null;
    this.node = null;
    this.model = null;
    this.wanted = 0;
  }

  // Take over another model; position, loop and whether it plays stay as they are.
  async load(model, recording, keep = false) {
    this.forget();
    this.model = model;
    this.recording = recording;
    this.rate = recording.sample_rate;
    if (!keep) {
      this.position = 0;
      this.loop = null;
    }
    const generation = (this.wanted += 1);
    const playing = keep && this.playing;
    this.playing = playing;
    this.retire();
    if (this.context && this.context.sampleRate !== this.rate) {
      await this.context.close();
      this.context = this.opening = null;
    }
    if (generation !== this.wanted) return;
    if (playing) await this.play();
    else if (navigator.userActivation?.hasBeenActive) await this.warm();
  }

  // Play a recording that has not been taken apart.
  loadWhole(recording) {
    const { id, block, channels } = recording;
    return this.load({ kind: 'recordings', id, block, channels: Math.min(2, channels), components: [{}] }, recording);
  }

  // Give the sound of this machine back; what is loaded can be played again.
  close() {
    this.pause();
    this.retire();
    this.forget();
    this.wanted += 1;
    this.context?.close();
    this.context = this.opening = null;
  }

  // Blocks that are here, or on their way, are of no use to another node.
  forget() {
    this.abort?.abort();
    this.abort = new AbortController();
    this.held = new Map();
    this.snatches = new Map(); // blocks of a few components alone: which
    this.asked = new Set();
  }

  // A node that is replaced must fall silent, and have no say any more.
  retire() {
    if (!this.node) return;
    this.node.port.onmessage = null;
    this.node.port.postMessage({ over: true });
    this.node.disconnect();
    this.node = null;
  }

  // Get everything ready, so that the first sound comes at once.
  async warm() {
    if (await this.start()) this.prefetch();
  }

  // Have a node to play with; false if something else was loaded meanwhile.
  async start() {
    const generation = this.wanted;
    this.opening ||= this.open();
    try {
      await this.opening;
      if (generation === this.wanted && this.context.state !== 'running') await this.context.resume();
    } catch (error) {
      if (generation !== this.wanted) return false;
      this.opening = null;
      throw error;
    }
    if (generation !== this.wanted) return false;
    if (!this.node) this.connect();
    return true;
  }

  async open() {
    try {
      this.context = new AudioContext({ sampleRate: this.rate });
    } catch {
      this.context = new AudioContext(); // a rate that the browser does not take: it is converted
    }
    const { context } = this;
    await context.audioWorklet.addModule('/static/mixer.js');
    this.output = context.createGain();
    this.output.gain.value = this.volume;
    this.output.connect(context.destination);
  }

  connect() {
    const { model, recording } = this;
    this.node = new AudioWorkletNode(this.context, 'mixer', {
      numberOfInputs: 0,
      outputChannelCount: [2],
      processorOptions: {
        components: model.components.length,
        channels: model.channels,
        block: model.block,
        samples: recording.samples,
        rate: this.rate,
      },
    });
    this.node.port.onmessage = ({ data }) => this.told(data);
    this.node.connect(this.output);
    this.tell({ position: this.position, loop: this.loop, gains: this.gains || undefined });
  }

  tell(message) {
    this.node?.port.postMessage(message);
  }

  told({ position, playing, peak }) {
    this.position = position;
    this.peak = peak;
    if (playing !== this.playing) {
      this.playing = playing;
      this.dispatchEvent(new Event('state'));
    }
    if (playing) this.prefetch();
  }

  get seconds() {
    return this.position / (this.rate || 1);
  }

  /** Play, or say why the browser does not. */
  async playOrTell() {
    try {
      await this.play();
    } catch (error) {
      this.pause();
      toast(`The browser plays no sound: ${error.message}`, 'error');
    }
  }

  async play() {
    if (!this.model) return;
    this.playing = this.wished = true; // what the audio thread says of it may be older than the wish
    this.dispatchEvent(new Event('state'));
    if (!(await this.start())) return;
    this.prefetch();
    this.tell({ playing: this.wished });
  }

  pause() {
    this.playing = this.wished = false;
    this.peak = 0;
    this.tell({ playing: false });
    this.dispatchEvent(new Event('state'));
  }

  seek(seconds) {
    const samples = this.recording.samples;
    this.position = Math.min(samples - 1, Math.max(0, Math.round(seconds * this.rate)));
    this.tell({ position: this.position });
    if (this.playing || this.held.size) this.prefetch();
    this.dispatchEvent(new Event('position'));
  }

  setGains(gains) {
    this.gains = Float32Array.from(gains);
    this.tell({ gains: this.gains });
    if (this.playing) this.prefetch();
  }

  // The components that are heard, if they are few enough to come sooner alone; or null.
  few() {
    const { components, kind } = this.model;
    if (kind || !this.gains || this.gains.length !== components.length) return null;
    const heard = components.map((_, k) => k).filter((k) => this.gains[k] > 0);
    return heard.length && heard.length <= Math.min(MOST_FEW, components.length / 2) ? heard : null;
  }

  // Whether a block can be heard now as it is to be: all of it is here, or the few that are heard.
  ready(index) {
    return this.held.has(index) || Boolean(this.snatches.get(index) && this.few()?.every((k) => this.snatches.get(index).includes(k)));
  }

  setLoop(range) {
    const samples = this.recording.samples;
    const ends = range && range.map((s) => Math.min(samples, Math.max(0, Math.round(s * this.rate))));
    this.loop = ends && ends[1] - ends[0] > this.rate / 50 ? ends : null;
    this.tell({ loop: this.loop });
    this.dispatchEvent(new Event('loop'));
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.output) this.output.gain.setTargetAtTime(volume, this.context.currentTime, 0.01);
  }

  get loopSeconds() {
    return this.loop && this.loop.map((s) => s / this.rate);
  }

  prefetch() {
    const { block } = this.model;
    const last = Math.ceil(this.recording.samples / block) - 1;
    const now = Math.floor(this.position / block);
    const few = this.ready(now) ? null : this.few();
    if (few) this.snatch(now, few);
    const needed = [];
    const [ahead, atOnce] = this.wished ? [AHEAD, AT_ONCE] : [AHEAD_AT_REST, 1];
    for (let i = now; i <= Math.min(last, now + ahead); i += 1) {
      if (this.loop && i * block >= this.loop[1] && now * block < this.loop[1]) break;
      needed.push(i);
    }
    if (this.loop) needed.push(Math.floor(this.loop[0] / block));
    if (this.ready(now) && !this.held.has(now)) needed.splice(0, 2, ...needed.slice(0, 2).reverse()); // the next is more urgent
    for (const index of needed) {
      if (!this.ready(now) && (few || index !== now)) return; // what is heard first has the server for itself
      if (this.held.has(index)) {
        this.touch(index);
      } else if (!this.asked.has(index) && (index === now || this.asked.size < atOnce)) {
        this.fetch(index);
      }
    }
  }

  // Have the sound of a component at a place at hand before it is asked for.
  prepare(seconds, k) {
    if (!this.node || this.playing) return;
    const index = Math.floor((seconds * this.rate) / this.model.block);
    if (!this.held.has(index) && !this.snatches.get(index)?.includes(k)) this.snatch(index, [k]);
  }

  // Have a few components of a block, until all of it is here.
  async snatch(index, parts) {
    const key = `${index} ${parts}`;
    if (this.asked.has(key)) return;
    await this.fetch(index, parts, key);
  }

  touch(index) {
    const size = this.held.get(index);
    this.held.delete(index);
    this.held.set(index, size);
  }

  async fetch(index, parts = null, key = index) {
    const { model, asked, abort } = this;
    asked.add(key);
    try {
      const { scale, samples } = await api.audio(model.kind || 'models', model.id, index, abort.signal, parts);
      if (abort.signal.aborted) return;
      if (parts) this.holdFew(index, scale, samples, parts);
      else this.hold(index, scale, samples);
    } catch (error) {
      if (!abort.signal.aborted) {
        if (error.status) toast(error.message, 'error'); // or a banner says it
        this.pause();
      }
    } finally {
      asked.delete(key);
      if (!abort.signal.aborted && this.ready(index)) this.prefetch();
    }
  }

  post(index, scale, samples, n, parts) {
    const pcm = new Int16Array(samples);
    const length = pcm.length / (n * this.model.channels);
    this.node?.port.postMessage({ block: index, pcm, length, unit: scale / 32767, parts }, [samples]);
  }

  holdFew(index, scale, samples, parts) {
    if (this.held.has(index)) return;
    this.snatches.delete(index);
    this.snatches.set(index, parts);
    this.post(index, scale, samples, parts.length, parts);
    if (this.snatches.size <= MOST_SNATCHES) return;
    const [oldest] = this.snatches.keys();
    this.snatches.delete(oldest);
    this.tell({ drop: oldest });
  }

  hold(index, scale, samples) {
    const size = samples.byteLength;
    this.post(index, scale, samples, this.model.components.length);
    this.snatches.delete(index);
    this.held.set(index, size);
    let total = [...this.held.values()].reduce((sum, bytes) => sum + bytes, 0);
    for (const [old, bytes] of this.held) {
      if (total <= BUDGET_BYTES || this.held.size <= AHEAD + 2) break;
      this.held.delete(old);
      this.tell({ drop: old });
      total -= bytes;
    }
  }
}
