"use strict";
/* Plays the stems of a report together. Two engines with the same methods:
   Embedded decodes the audio that is in the page and plays all of it on one clock, so that stems
   stay together to the sample; Linked drives one <audio> element a stem and corrects their drift. */
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const find = (selector) => document.querySelector(selector);
  const rows = [...document.querySelectorAll(".track")];
  const play = find("#play"), slider = find("#position"), time = find("#time");
  const loop = find("#loop"), volume = find("#volume"), status = find("#status");
  const original = find("#original");
  const duration = page.seconds;
  let whole = false; // the recording as it was: all stems, whatever is chosen
  const tracks = rows.map((row) => ({ row, solo: false, mute: false, gain: 1, tones: false }));

  /* notes as tones: a few partials that ring off, drums as a short rustle */
  const TONE_RATE = 22050, ATTACK = 0.008, RELEASE = 0.06, TONE_GAIN = 0.16;
  const PARTIALS = [1, 0.45, 0.22, 0.1];

  const addTone = (samples, [onset, offset, key, velocity]) => {
    const hertz = 440 * 2 ** ((key - 69) / 12), gain = TONE_GAIN * (velocity / 127) ** 2;
    const first = Math.round(onset * TONE_RATE);
    const last = Math.min(samples.length, Math.round((offset + RELEASE) * TONE_RATE));
    PARTIALS.forEach((share, p) => {
      const turn = (2 * Math.PI * hertz * (p + 1)) / TONE_RATE;
      if (turn > Math.PI) return;
      for (let i = first; i < last; i += 1) {
        const t = (i - first) / TONE_RATE, left = (last - i) / TONE_RATE;
        const edge = Math.min(1, t / ATTACK, left / RELEASE);
        samples[i] += gain * share * edge * Math.exp(-t * (0.8 + p)) * Math.sin(turn * (i - first));
      }
    });
  };

  const addStroke = (samples, [onset, , key, velocity]) => {
    const first = Math.round(onset * TONE_RATE), dark = key <= 36;
    const last = Math.min(samples.length, first + Math.round(0.15 * TONE_RATE));
    let seed = 1 + key;
    for (let i = first; i < last; i += 1) {
      const t = (i - first) / TONE_RATE;
      seed = (seed * 16807) % 2147483647;
      const rustle = (seed / 1073741823.5 - 1) * Math.exp(-t * 45);
      const thud = Math.sin(2 * Math.PI * 62 * t) * Math.exp(-t * 25);
      samples[i] += 2 * TONE_GAIN * (velocity / 127) ** 2 * (dark ? thud : rustle);
    }
  };

  const tonesOf = (context, notes) => {
    const buffer = context.createBuffer(1, Math.max(1, Math.ceil(duration * TONE_RATE)), TONE_RATE);
    const samples = buffer.getChannelData(0);
    notes.forEach((note) => (note[4] ? addStroke : addTone)(samples, note));
    return buffer;
  };

  const bytesOf = (element) => {
    const text = atob(element.textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes.buffer;
  };

  class Embedded {
    playing = false;
    #offset = 0;
    #started = 0;
    #sources = [];

    async prepare() {
      const usual = page.rate >= 8000 && page.rate <= 96000; /* others are converted */
      this.context = new AudioContext(usual ? { sampleRate: page.rate } : {});
      this.master = this.context.createGain();
      this.master.connect(this.context.destination);
      const elements = tracks.map((_, i) => document.getElementById(`audio${i}`));
      const decoded = elements.map((e) => this.context.decodeAudioData(bytesOf(e)));
      this.buffers = await Promise.all(decoded);
      elements.forEach((element) => element.remove());
      this.channels = this.buffers.map(() => {
        const gain = this.context.createGain(), analyser = this.context.createAnalyser();
        analyser.fftSize = 2048;
        gain.connect(analyser).connect(this.master);
        return { gain, analyser, samples: new Float32Array(analyser.fftSize) };
      });
      this.tones = new Map();
    }

    /* have the tones of a stem at hand, on the same clock */
    sing(i) {
      if (this.tones.has(i)) return;
      const gain = this.context.createGain();
      gain.gain.value = 0;
      gain.connect(this.channels[i].analyser);
      this.tones.set(i, { buffer: tonesOf(this.context, page.notes[i]), gain });
      if (this.playing) this.seek(this.position());
    }

    position() {
      if (!this.playing) return this.#offset;
      const now = this.#offset + Math.max(0, this.context.currentTime - this.#started);
      return loop.checked ? now % duration : Math.min(now, duration);
    }

    async play() {
      await this.context.resume();
      if (this.#offset >= duration) this.#offset = 0;
      this.#started = this.context.currentTime + 0.03;
      const sounds = this.buffers.map((buffer, i) => ({ buffer, gain: this.channels[i].gain }));
      this.#sources = [...sounds, ...this.tones.values()].map(({ buffer, gain }) => {
        const source = this.context.createBufferSource();
        source.buffer = buffer;
        source.loop = loop.checked;
        source.connect(gain);
        source.start(this.#started, Math.min(this.#offset, buffer.duration));
        return source;
      });
      this.playing = true;
    }

    pause() {
      this.#offset = this.position();
      this.playing = false;
      this.#sources.forEach((source) => { source.stop(); source.disconnect(); });
      this.#sources = [];
    }

    seek(seconds) {
      const again = this.playing;
      if (again) this.pause();
      this.#offset = seconds;
      return again ? this.play() : undefined;
    }

    setGain(i, gain, tones) {
      const now = this.context.currentTime;
      this.channels[i].gain.gain.setTargetAtTime(tones ? 0 : gain, now, 0.008);
      this.tones.get(i)?.gain.gain.setTargetAtTime(tones ? gain : 0, now, 0.008);
    }

    setVolume(gain) {
      this.master.gain.setTargetAtTime(gain, this.context.currentTime, 0.008);
    }

    level(i) {
      const { analyser, samples } = this.channels[i];
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      return Math.sqrt(sum / samples.length);
    }

    /* all stems with these gains as a WAV file of 16 bits, softer as a whole where it would clip */
    mixed(gains) {
      const { length, numberOfChannels: channels, sampleRate: rate } = this.buffers[0];
      const sum = new Float32Array(length * channels);
      this.buffers.forEach((buffer, k) => {
        for (let c = 0; c < channels; c++) {
          const samples = buffer.getChannelData(c);
          for (let i = 0; i < length; i++) sum[i * channels + c] += gains[k] * samples[i];
        }
      });
      const peak = sum.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      const scale = 32768 * Math.min(1, 32767 / 32768 / (peak || 1));
      const view = new DataView(new ArrayBuffer(44 + 2 * sum.length));
      const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
      [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]].forEach(([at, word]) => text(at, word));
      [[4, 36 + 2 * sum.length], [16, 16], [24, rate], [28, 2 * rate * channels], [40, 2 * sum.length]]
        .forEach(([at, number]) => view.setUint32(at, number, true));
      [[20, 1], [22, channels], [32, 2 * channels], [34, 16]]
        .forEach(([at, number]) => view.setUint16(at, number, true));
      sum.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.round(scale * sample), true));
      return new Blob([view], { type: "audio/wav" });
    }

    tick() {}
  }

  class Linked {
    playing = false;
    #volume = 1;
    #gains = tracks.map(() => 1);

    async prepare() {
      this.elements = [...document.querySelectorAll("audio")];
      await Promise.all(this.elements.map((element) => new Promise((resolve, reject) => {
        element.addEventListener("canplay", resolve, { once: true });
        element.addEventListener("error", () => reject(new Error("not playable")), { once: true });
        element.preload = "auto";
        element.load();
      })));
    }

    position() { return this.elements ? this.elements[0].currentTime : 0; }

    async play() {
      if (this.position() >= duration) this.seek(0);
      const from = this.position();
      this.elements.forEach((element) => { element.currentTime = from; });
      await Promise.all(this.elements.map((element) => element.play()));
      this.playing = true;
    }

    pause() {
      this.playing = false;
      this.elements.forEach((element) => element.pause());
    }

    seek(seconds) {
      this.elements.forEach((element) => { element.currentTime = seconds; });
    }

    setGain(i, gain) {
      this.#gains[i] = gain;
      this.elements[i].volume = Math.min(1, gain * this.#volume);
    }

    setVolume(gain) {
      this.#volume = gain;
      this.#gains.forEach((own, i) => this.setGain(i, own));
    }

    level() { return null; }

    tick() {
      const leader = this.elements[0].currentTime;
      for (const element of this.elements.slice(1)) {
        const late = leader - element.currentTime;
        if (Math.abs(late) > 0.25) element.currentTime = leader;
        element.playbackRate = Math.abs(late) > 0.005 ? 1 + Math.max(-0.03, Math.min(0.03, late)) : 1;
      }
    }
  }

  const engine = page.embedded ? new Embedded() : new Linked();
  let ready = null;
  let wanted = 0;

  const clock = (seconds) => {
    const whole = Math.floor(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };

  const show = () => {
    const now = ready === true ? engine.position() : wanted;
    document.documentElement.style.setProperty("--position", String(Math.min(1, now / duration)));
    slider.value = String(now);
    const text = `${clock(now)} / ${clock(duration)}`;
    if (time.textContent !== text) {
      time.textContent = text;
      slider.setAttribute("aria-valuetext", `${clock(now)} of ${clock(duration)}`);
    }
  };

  const showLevels = () => {
    tracks.forEach(({ row }, i) => {
      const level = engine.playing ? engine.level(i) : null;
      const shown = level === null ? 1 : Math.max(0, 1 + (20 * Math.log10(level + 1e-9)) / 48);
      row.style.setProperty("--level", shown.toFixed(3));
    });
  };

  const frame = () => {
    show();
    showLevels();
    if (!engine.playing) return;
    engine.tick();
    if (!loop.checked && engine.position() >= duration - 0.005) {
      pause();
      engine.seek(0);
      show();
      return;
    }
    if (loop.checked && !page.embedded && engine.position() >= duration - 0.02) engine.seek(0);
    requestAnimationFrame(frame);
  };

  const isHeard = (track) => !track.mute && (track.solo || !tracks.some((other) => other.solo));

  const apply = () => {
    tracks.forEach((track, i) => {
      const heard = whole || isHeard(track);
      track.row.classList.toggle("silent", !heard);
      track.row.querySelector(".solo").setAttribute("aria-pressed", String(track.solo));
      track.row.querySelector(".mute").setAttribute("aria-pressed", String(track.mute));
      if (ready === true && track.tones) engine.sing(i);
      if (ready === true) engine.setGain(i, whole ? 1 : heard ? track.gain : 0, track.tones && !whole);
    });
    original.setAttribute("aria-pressed", String(whole));
  };

  const pause = () => {
    engine.pause();
    play.textContent = "Play";
    frame();
  };

  const prepare = async () => {
    if (ready !== null) return ready === true;
    ready = "soon";
    play.disabled = true;
    status.textContent = "Preparing the stems …";
    try {
      await engine.prepare();
    } catch {
      status.textContent = "This browser cannot play these stems. Open their files instead.";
      return false;
    }
    ready = true;
    status.textContent = "";
    play.disabled = false;
    engine.seek(wanted);
    apply();
    engine.setVolume(Number(volume.value));
    return true;
  };

  const start = async () => {
    const before = ready;
    if (!(await prepare())) return;
    if (before === null) play.focus();
    await engine.play();
    play.textContent = "Pause";
    requestAnimationFrame(frame);
  };

  const toggle = () => {
    if (ready === "soon") return undefined;
    return engine.playing ? pause() : start();
  };

  const saveMix = async () => {
    if (!(await prepare())) return;
    const gains = tracks.map((track) => (whole ? 1 : isHeard(track) ? track.gain : 0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(engine.mixed(gains));
    link.download = page.mix;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    status.textContent = `Saved ${page.mix}, as it is heard`;
  };

  const seek = (seconds) => {
    wanted = Math.max(0, Math.min(duration, seconds));
    if (ready === true) engine.seek(wanted);
    show();
  };

  const now = () => (ready === true ? engine.position() : wanted);

  const compare = () => { whole = !whole; apply(); };

  play.addEventListener("click", toggle);
  original.addEventListener("click", compare);
  find("#mix")?.addEventListener("click", saveMix);
  slider.addEventListener("input", () => seek(Number(slider.value)));
  loop.addEventListener("change", () => { if (engine.playing) engine.seek(engine.position()); });
  volume.addEventListener("input", () => { if (ready === true) engine.setVolume(Number(volume.value)); });

  tracks.forEach((track) => {
    track.row.querySelector(".solo").addEventListener("click", (event) => {
      const on = !track.solo;
      if (event.shiftKey) tracks.forEach((other) => { other.solo = false; });
      track.solo = on;
      apply();
    });
    track.row.querySelector(".mute").addEventListener("click", () => {
      track.mute = !track.mute;
      apply();
    });
    track.row.querySelector(".gain").addEventListener("input", (event) => {
      track.gain = Number(event.target.value);
      apply();
    });
  });

  /* a click or a drag on whatever has a time axis goes there */
  const seekable = (element, share) => {
    const go = (event) => {
      const box = element.getBoundingClientRect();
      seek(duration * share((event.clientX - box.left) / box.width));
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      go(event);
      if (event.pointerType === "mouse") element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) go(event);
    });
  };
  document.querySelectorAll(".lane").forEach((lane) => seekable(lane, (x) => x));
  document.querySelectorAll(".tones").forEach((button) => {
    button.addEventListener("click", () => {
      const track = tracks[Number(button.dataset.track)];
      track.tones = !track.tones;
      button.setAttribute("aria-pressed", String(track.tones));
      apply();
      if (track.tones && !engine.playing && ready !== "soon") start();
    });
  });
  /* a click on a note plays its stem alone from there; the lane has caught the pointer, so ask what is there */
  document.querySelectorAll(".roll").forEach((roll) => {
    roll.addEventListener("click", (event) => {
      const note = document.elementFromPoint(event.clientX, event.clientY)?.closest(".note");
      if (!note) return;
      tracks.forEach((track, i) => { track.solo = i === Number(roll.dataset.track); });
      apply();
      seek(Math.max(0, Number(note.getAttribute("x")) - 0.02));
      if (!engine.playing && ready !== "soon") start();
    });
  });
  document.querySelectorAll(".timed").forEach((figure) => {
    const start = Number(figure.dataset.start);
    const end = start + (Number(figure.dataset.end) - start) * (duration / Number(figure.dataset.seconds));
    figure.style.setProperty("--start", String(start));
    figure.style.setProperty("--end", String(end));
    seekable(figure.querySelector(".inner"), (x) => (x - start) / (end - start));
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName;
    const range = tag === "INPUT" && event.target.type === "range";
    if (event.key === " " && ["BUTTON", "SUMMARY", "A"].includes(tag)) return;
    if (event.key === " " && tag === "INPUT" && !range) return;
    if (event.key.startsWith("Arrow") && range) return;
    const digit = /^Digit([1-9])$/.exec(event.code);
    const actions = {
      " ": toggle, k: toggle, a: compare, Home: () => seek(0),
      ArrowLeft: () => seek(now() - 5), ArrowRight: () => seek(now() + 5),
      0: () => { tracks.forEach((track) => { track.solo = track.mute = false; }); apply(); },
    };
    if (digit && tracks[digit[1] - 1]) {
      const track = tracks[digit[1] - 1];
      if (event.shiftKey) track.mute = !track.mute; else track.solo = !track.solo;
      apply();
    } else if (actions[event.key]) {
      actions[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });

  apply();
  show();
})();
