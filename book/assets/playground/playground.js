/* The playground: its dials, pad, curve and keys, and their requests to the engine. */

import { drawCurve, drawPad, drawSpectrogram, drawWave } from "./draw.js";
import { Engine } from "./engine.js";
import { DEEPEST, fromAddress, heard, noteName, placed, POINTS, ranges, toAddress, toHz, toNote, toRequest, usual } from "./state.js";
import { toWav } from "./wav.js";

const DIALS = [
  ["note", "Pitch", 0.01, (value) => `${noteName(value)}, ${Math.round(toHz(value))} Hz`],
  ["duration", "Duration", 0.01, (value) => `${value.toFixed(2)} s`],
  ["brightness", "Brightness", 0.01, (value) => `${Math.round(100 * value)} %`],
  ["loudness", "Loudness", 0.1, (value) => `${value.toFixed(1)} dBFS`],
];
const AXES = ["First direction", "Second direction"];
const LETTERS = "awsedftgyhujk";
const KEYS = 25;
const BLACK = [1, 3, 6, 8, 10];
const LARGEST = 20e6; // bytes of a file
const LONGEST = 60; // s

const dial = ([name, label, step]) => `<label class="toots-dial"><span>${label}</span> <output data-said="${name}"></output>
  <input type="range" name="${name}" step="${step}"></label>`;
const axis = (label, i) => `<label class="toots-dial"><span>${label}</span> <output data-said="pad${i}"></output>
  <input type="range" name="pad${i}" min="-3" max="3" step="0.01"></label>`;
const PAGE = `
  <fieldset><legend>Kind</legend><div class="toots-kinds" data-part="kinds"></div></fieldset>
  <div class="toots-actions">
    <button type="button" class="toots-play" data-part="play">Play</button>
    <button type="button" data-part="dice">Dice</button>
    <label>Seed <input type="number" name="seed" min="0" max="${2 ** 53 - 1}" step="1"></label>
    <button type="button" data-part="download">Download WAV</button>
    <button type="button" data-part="link">Copy link</button>
    <label><input type="checkbox" name="auto" checked> Play what changes</label>
  </div>
  <div class="toots-columns">
    <fieldset><legend>Controls</legend>${DIALS.map(dial).join("")}</fieldset>
    <fieldset><legend>What is left open</legend>
      <canvas class="toots-pad" data-part="pad" aria-hidden="true"></canvas>${AXES.map(axis).join("")}</fieldset>
    <fieldset><legend>Loudness curve</legend>
      <canvas class="toots-curve" data-part="curve" tabindex="0" role="slider" aria-orientation="vertical"
        aria-label="Loudness curve: left and right choose a point, up and down move it" aria-valuemin="${DEEPEST}"
        aria-valuemax="0" aria-valuenow="0"></canvas>
      <button type="button" data-part="flat">Flat</button></fieldset>
  </div>
  <div class="toots-piano" data-part="piano" role="group" aria-label="Piano"></div>
  <div class="toots-pictures">
    <canvas data-part="spectrogram" role="img" aria-label="Spectrogram"></canvas>
    <canvas data-part="wave" role="img" aria-label="Wave"></canvas>
    <div data-part="playhead" aria-hidden="true" hidden></div>
  </div>
  <fieldset class="toots-own"><legend>A sound of your own</legend>
    <label>Drop an audio file on this page, or choose one: <input type="file" name="file" accept="audio/*"></label>
    <div class="toots-columns" data-part="own" hidden>
      <figure><canvas data-part="yours" role="img" aria-label="Spectrogram of yours"></canvas>
        <figcaption>Yours <button type="button" data-part="play-yours">Play yours</button></figcaption></figure>
      <figure><canvas data-part="ours" role="img" aria-label="Spectrogram of the model's"></canvas>
        <figcaption data-part="taken"></figcaption></figure>
    </div></fieldset>
  <p data-part="said" role="status">Loading the model.</p>`;

class Playground {
  constructor(root) {
    this.root = root;
    this.engine = new Engine();
    this.rendered = null; // {wave, request, and the request as a key}
    this.wanted = null; // the latest request while the engine works
    this.busy = false;
    this.point = 0; // of the curve
    this.own = null; // the wave of the user's file
  }

  part(name) {
    return this.root.querySelector(`[data-part=${name}]`);
  }

  input(name) {
    return this.root.querySelector(`input[name=${name}]`);
  }

  say(text) {
    this.part("said").textContent = text;
  }

  async start() {
    this.root.innerHTML = PAGE;
    const { model, play } = this.root.dataset;
    const absolute = (address) => address && new URL(address, document.baseURI).href;
    try {
      this.about = await this.engine.ask("open", { model: absolute(model), play: absolute(play) });
    } catch (error) {
      this.say(`The model could not be loaded (${error.message}). These pages need a server: run tootlearn book.`);
      return;
    }
    this.state = fromAddress(location.search, this.about);
    this.build();
    this.show();
    await this.refresh(false);
    this.root.dataset.ready = "";
  }

  build() {
    const kinds = this.part("kinds");
    this.about.kinds.forEach(({ name }, i) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name.replaceAll("_", " ") });
      button.addEventListener("click", () => this.change({ ...usual(i, this.about, this.state.seed) }, true));
      kinds.append(button);
    });
    for (const [name] of DIALS) this.turn(name, (value) => ({ [name]: value }));
    AXES.forEach((_, i) => this.turn(`pad${i}`, (value) => ({ place: this.place().with(i, value) })));
    this.input("seed").addEventListener("change", ({ target }) => {
      const seed = Math.floor(Number(target.value));
      if (seed >= 0 && seed < 2 ** 53) this.change({ seed, noise: null, place: null }, true);
      else this.show();
    });
    const act = (name, action) => this.part(name).addEventListener("click", action);
    act("play", () => this.refresh(true));
    act("dice", () => {
      const [seed] = crypto.getRandomValues(new Uint32Array(1));
      this.change({ seed, noise: null, place: null }, true);
    });
    act("flat", () => this.change({ envelope: null }, true));
    act("download", () => this.download());
    act("link", () => this.copy());
    act("play-yours", () => this.sound(this.own));
    this.input("file").addEventListener("change", ({ target }) => this.hear(target.files[0]));
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.hear(event.dataTransfer.files[0]);
    });
    this.follow(this.part("pad"), (x, y) => ({ place: placed([6 * x - 3, 3 - 6 * y]) }));
    this.follow(this.part("curve"), (x, y) => {
      this.point = Math.round(x * (POINTS - 1));
      return this.bend(DEEPEST * y);
    });
    this.part("curve").addEventListener("keydown", (event) => this.curveKey(event));
    this.root.addEventListener("keydown", (event) => this.letter(event));
    this.root.tabIndex = -1; // letters are heard where the focus is: a click anywhere in here brings it
    this.root.addEventListener("click", () => {
      if (!this.root.contains(document.activeElement)) this.root.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.paint()).observe(this.root);
    new MutationObserver(() => this.paint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /* A slider: its toot is drawn while it moves, and played when it rests. */
  turn(name, changed) {
    this.input(name).addEventListener("input", ({ target }) => this.change(changed(Number(target.value)), false));
    this.input(name).addEventListener("change", () => this.refresh(this.input("auto").checked));
  }

  /* A canvas that is drawn on, by mouse, pen or finger: changed(x, y), each from 0 to 1. */
  follow(canvas, changed) {
    const move = (event) => {
      const box = canvas.getBoundingClientRect();
      const share = (value, size) => Math.min(1, Math.max(0, value / size));
      this.change(changed(share(event.clientX - box.left, box.width), share(event.clientY - box.top, box.height)), false);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && move(event));
    canvas.addEventListener("pointerup", () => this.refresh(this.input("auto").checked));
  }

  place() {
    return this.state.place ?? placed(this.drawn ?? [0, 0]);
  }

  /* The curve with the chosen point at a level in dB. */
  bend(level) {
    const envelope = this.state.envelope ?? new Array(POINTS).fill(0);
    return { envelope: envelope.with(this.point, Math.round(Math.min(0, Math.max(DEEPEST, level)))) };
  }

  curveKey(event) {
    const level = this.state.envelope?.[this.point] ?? 0;
    const point = { ArrowLeft: this.point - 1, ArrowRight: this.point + 1, Home: 0, End: POINTS - 1 }[event.key];
    const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 6, PageDown: -6 }[event.key];
    if (point === undefined && step === undefined) return;
    event.preventDefault();
    if (point !== undefined) {
      this.point = Math.min(POINTS - 1, Math.max(0, point));
      this.show();
    } else {
      this.change(this.bend(level + step), true);
    }
  }

  /* The letters of the middle and upper row play the piano's first octave. */
  letter(event) {
    const key = LETTERS.indexOf(event.key.toLowerCase());
    if (key < 0 || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.type === "number") return;
    this.part("piano").querySelector(`[data-note="${this.first + key}"]:enabled`)?.dispatchEvent(new Event("press"));
  }

  /* The keys of two octaves from the C below the middle of the kind. */
  keys() {
    const [low, high] = ranges(this.about.kinds[this.state.kind], this.about).note, middle = (low + high) / 2;
    const first = 12 * Math.floor((middle - 6) / 12), piano = this.part("piano");
    if (this.first === first && piano.dataset.kind === String(this.state.kind)) return;
    this.first = first;
    piano.dataset.kind = this.state.kind;
    let white = 0;
    piano.replaceChildren(...Array.from({ length: KEYS }, (_, i) => {
      const key = document.createElement("button"), note = first + i, black = BLACK.includes(i % 12);
      Object.assign(key, { type: "button", disabled: note < low || note > high, className: black ? "toots-black" : "" });
      key.dataset.note = note;
      key.setAttribute("aria-label", noteName(note));
      if (black) key.style.left = `${(100 * white) / 15}%`;
      else white++;
      const press = () => this.change({ note }, true, true);
      key.addEventListener("press", press);
      key.addEventListener("pointerdown", press);
      key.addEventListener("click", ({ detail }) => detail === 0 && press()); // by keyboard
      return key;
    }));
  }

  change(changes, rests, always = false) {
    Object.assign(this.state, changes);
    this.show();
    this.refresh(rests && (always || this.input("auto").checked));
  }

  /* Update everything but the pictures of the sound. */
  show() {
    const { state, about } = this, limits = ranges(about.kinds[state.kind], about);
    this.part("kinds").childNodes.forEach((button, i) => button.setAttribute("aria-pressed", i === state.kind));
    for (const [name, , , format] of DIALS) {
      const input = this.input(name);
      [input.min, input.max] = limits[name];
      input.value = state[name];
      input.setAttribute("aria-valuetext", format(state[name]));
      this.root.querySelector(`[data-said=${name}]`).textContent = format(state[name]);
    }
    this.input("seed").value = state.seed;
    const curve = this.part("curve"), level = state.envelope?.[this.point] ?? 0;
    curve.setAttribute("aria-valuenow", level);
    curve.setAttribute("aria-valuetext", `point ${this.point + 1} of ${POINTS}: ${level} dB`);
    this.keys();
    this.paint();
  }

  paint() {
    if (!this.state) return;
    this.place().forEach((value, i) => {
      this.input(`pad${i}`).value = value;
      this.root.querySelector(`[data-said=pad${i}]`).textContent = value.toFixed(2);
    });
    drawPad(this.part("pad"), this.place());
    drawCurve(this.part("curve"), this.state.envelope ?? new Array(POINTS).fill(0), DEEPEST, this.point);
    if (this.rendered) drawWave(this.part("wave"), this.rendered.wave);
  }

  /* Render the latest state, and play it if `heard`. */
  async refresh(heard) {
    if (heard) this.audio ??= new AudioContext(); // browsers allow it after a click or a key alone
    this.wanted = { request: toRequest(this.state), heard: heard || Boolean(this.wanted?.heard) };
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.wanted) {
        const { request, heard: aloud } = this.wanted;
        this.wanted = null;
        await this.render(request, aloud);
      }
      this.keep();
    } catch (error) {
      this.wanted = null;
      this.say(`This toot could not be made: ${error.message}`);
    } finally {
      this.busy = false;
    }
  }

  async render(request, aloud) {
    const key = JSON.stringify(request), fresh = this.rendered?.key !== key;
    if (fresh) {
      const { wave, drawn } = await this.engine.ask("toot", request);
      this.rendered = { key, wave, request };
      this.drawn = drawn;
    }
    if (aloud) this.play();
    if (fresh) await this.picture(request);
  }

  async picture(request) {
    const { wave } = this.rendered, { kinds, rate } = this.about, picture = await this.engine.ask("spectrogram", wave);
    drawSpectrogram(this.part("spectrogram"), picture);
    if (this.own) drawSpectrogram(this.part("ours"), picture);
    this.paint();
    const kind = kinds[request.kind].name.replaceAll("_", " "), name = noteName(toNote(request.pitch));
    const summary = `${kind}, ${name} (${Math.round(request.pitch)} Hz), ${(wave.length / rate).toFixed(2)} s`;
    this.say(summary);
    this.part("spectrogram").setAttribute("aria-label", `Spectrogram of the toot: ${summary}, up to ${rate / 2} Hz`);
    this.part("wave").setAttribute("aria-label", `Wave of the toot: ${summary}`);
  }

  /* Find the toot in a file of the user's and the model's nearest to it, from which dials and pad then start. */
  async hear(file) {
    if (!file) return;
    this.audio ??= new AudioContext();
    this.say(`Listening to ${file.name}.`);
    try {
      if (!file.size) throw new Error("it is empty");
      if (file.size > LARGEST) throw new Error(`it has more than ${LARGEST / 1e6} MB: cut the toot out of it`);
      const found = await this.engine.ask("hear", await this.decoded(file));
      this.own = found.wave;
      this.part("own").hidden = false;
      drawSpectrogram(this.part("yours"), await this.engine.ask("spectrogram", found.wave));
      this.change(heard(found, this.about, this.state.seed), true);
      const kind = this.about.kinds[found.kind].name.replaceAll("_", " ");
      this.part("taken").textContent = `The model's nearest, taken for a ${kind}: ${found.error.toFixed(1)} dB from yours`;
    } catch (error) {
      this.say(`${file.name} cannot be played: ${error.message}.`);
    }
  }

  /* A file as a wave (Float32Array) at the model's rate, its channels mixed. */
  async decoded(file) {
    let buffer;
    try {
      buffer = await new OfflineAudioContext(1, 1, this.about.rate).decodeAudioData(await file.arrayBuffer());
    } catch {
      throw new Error("this browser finds no sound in it: give WAV, FLAC, MP3 or Ogg");
    }
    if (buffer.duration > LONGEST) throw new Error(`it lasts more than ${LONGEST} s: cut the toot out of it`);
    const wave = new Float32Array(buffer.length), count = buffer.numberOfChannels;
    for (let c = 0; c < count; c++) buffer.getChannelData(c).forEach((value, i) => (wave[i] += value / count));
    if (!wave.every(Number.isFinite)) throw new Error("it has NaN or infinite samples: export it again");
    return wave;
  }

  /* Play a wave, after stopping the one that plays. */
  sound(wave) {
    this.source?.stop();
    const buffer = this.audio.createBuffer(1, wave.length, this.about.rate);
    buffer.copyToChannel(wave, 0);
    this.source = this.audio.createBufferSource();
    this.source.buffer = buffer;
    this.source.connect(this.audio.destination);
    this.source.start();
    this.audio.resume();
    return buffer;
  }

  play() {
    const { wave } = this.rendered, buffer = this.sound(wave);
    this.root.dispatchEvent(new CustomEvent("toot", { detail: { wave, at: performance.now() } }));
    const { source, audio } = this, begun = audio.currentTime, head = this.part("playhead");
    const step = () => {
      const gone = (audio.currentTime - begun) / buffer.duration;
      head.style.left = `${100 * Math.min(1, gone)}%`;
      head.hidden = gone >= 1 || source !== this.source;
      if (source === this.source && gone < 1) requestAnimationFrame(step);
    };
    step();
  }

  /* Keep the state in the address. */
  keep() {
    const address = toAddress(this.state, this.about);
    if (address !== location.search) history.replaceState(null, "", address + location.hash);
  }

  /* Download the toot that was rendered last, which is the one shown; the state may be ahead of it. */
  download() {
    if (!this.rendered) return;
    const link = document.createElement("a"), { wave, request } = this.rendered, { kind, pitch, seed } = request;
    link.href = URL.createObjectURL(toWav(wave, this.about.rate));
    link.download = `${this.about.kinds[kind].name}_${noteName(toNote(pitch)).replace("♯", "s")}_${seed}.wav`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async copy() {
    this.keep();
    try {
      await navigator.clipboard.writeText(location.href);
      this.say("The link is copied: it holds all of this toot.");
    } catch {
      this.say("Copying is not allowed here: take the link from the address bar, it holds all of this toot.");
    }
  }
}

const root = document.getElementById("playground");
if (root) {
  root.playground = new Playground(root);
  root.playground.start();
}
