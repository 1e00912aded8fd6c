/* Inversion of a recording: its controls, and the noise that gives its residual. As in tootlearn.generation.inversion, all
   kinds are drawn, and the one that comes nearest is taken. */

import { convolve, linear, normalize, silu } from "./decoder.js";
import { centroid, chordF0, envelope, extent, steadySpectrum, trackedPitch } from "./measures.js";
import { magnitudes } from "./stft.js";

const LONGEST = 1.9, SHORTEST = 0.06, GAP = 0.1, EDGE = 0.01; // s: of a toot, of the quiet between two, of its fades
const QUIET = -40, ABOVE_NOISE = 10, LEAST = -15, NOISE = 0.1; // dB, dB, dB, s
const ONSET = 512; // sample of the window
const TRACKED = 0.8; // s
const START = 0.2; // share of a slide in which it still has its pitch
const PEAK = 0.98;
const ODD = 0.005, DOUBT = 0.3; // nats
const SILENT_WEIGHT = 0.1;

const within = (value, [low, high]) => Math.min(high, Math.max(low, value));

export class Ear {
  /* Of a Tooter, and the tensors of the encoder. */
  constructor(tooter, tensors) {
    this.tooter = tooter;
    this.tensors = tensors;
    this.rate = tooter.description.front_end.sample_rate;
  }

  /* The piece that `loudest` found -> {kind, pitch, duration, brightness, loudness, noise, error (dB)}. */
  describe(piece) {
    const { tooter, rate } = this, { description } = tooter;
    const window = this.framed(piece), found = extent(window, rate);
    const bright = centroid(window, rate, found.start, found.end);
    const logMel = this.logMel(window), loudness = within(found.loudness, description.loudness);
    let best = null;
    for (const { kind, pitch, doubtful } of this.candidates(piece)) {
      const about = description.kinds[kind], [low, high] = about.octaves;
      const controls = {
        kind,
        pitch: within(pitch, about.pitch),
        duration: within(found.duration, about.duration),
        brightness: within((Math.log2(bright / pitch) - low) / (high - low), [0, 1]),
        loudness,
      };
      const residual = this.encode(logMel, controls);
      const error = this.apart(tooter.decoder.draw(controls, residual).logMel, logMel, controls.duration);
      const noise = this.noise(kind, residual), odd = noise.reduce((sum, value) => sum + value * value, 0);
      const cost = Math.log(error) + ODD * odd + (doubtful ? DOUBT : 0);
      if (!best || cost < best.cost) best = { ...controls, noise, cost, error: (20 / Math.log(10)) * Math.sqrt(error) };
    }
    return best;
  }

  /* What the piece may be: kinds with a pitch each, and whether it differs from the tracked one. */
  candidates(piece) {
    const { kinds } = this.tooter.description, start = piece.subarray(0, Math.floor(START * piece.length));
    const heard = new Map(), spectra = new Map(), found = [];
    const track = (part) => {
      const { start: first, end: last } = extent(part, this.rate), spare = Math.max(0, last - first - TRACKED * this.rate) / 2;
      return trackedPitch(part, this.rate, Math.floor(first + spare), Math.floor(last - spare));
    };
    kinds.forEach(({ intervals, slide, pitch: [low, high] }, kind) => {
      const part = slide ? start : piece;
      if (!spectra.has(part)) spectra.set(part, steadySpectrum(part, this.rate));
      if (intervals.length === 1 && !heard.has(part)) heard.set(part, track(part));
      const tracked = intervals.length === 1 ? heard.get(part) : NaN, spectrum = spectra.get(part);
      const pitches = [chordF0(spectrum, intervals, Math.sqrt(low * high), 600 * Math.log2(high / low))];
      if (!slide && tracked >= low / 2 && tracked <= high * 2) pitches.push(chordF0(spectrum, intervals, tracked, 50));
      for (const pitch of pitches) found.push({ kind, pitch, doubtful: Math.abs(Math.log2(pitch / tracked)) > 1 / 12 });
    });
    return found;
  }

  /* The piece in the window of the models, with the onset where they expect it and a loudness in their range. */
  framed(piece) {
    const { samples, loudness: range } = this.tooter.description, { onset } = extent(piece, this.rate);
    const start = Math.round(onset * this.rate) - ONSET, window = new Float32Array(samples);
    const taken = piece.subarray(Math.max(0, start), Math.max(0, start) + samples - Math.max(0, -start));
    window.set(taken, Math.max(0, -start));
    const { loudness } = extent(window, this.rate), peak = window.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const gain = Math.min(10 ** ((within(loudness, range) - loudness) / 20), PEAK / peak);
    return window.map((value) => value * gain);
  }

  logMel(window) {
    const { stft, mel } = this.tooter.own, { frames } = this.tooter.description;
    const spectrum = stft.analyze(window, frames), out = new Float64Array(mel.mels * frames);
    for (let t = 0; t < frames; t++) {
      mel.bands(magnitudes(spectrum, t)).forEach((value, m) => (out[m * frames + t] = Math.log(Math.max(value, mel.floor))));
    }
    return out;
  }

  /* The mean of the residual, as tootlearn.models.generator encodes it. */
  encode(logMel, { kind, pitch, duration, brightness, loudness }) {
    const { kinds, frames, front_end: frontEnd, generator, loudness: range } = this.tooter.description;
    const decibel = Math.log(10) / 20, quietest = Math.log(frontEnd.floor) - range[0] * decibel;
    const inputs = kinds.map((_, k) => Number(k === kind));
    inputs.push((Math.log2(pitch) - 8.5) / 2, (Math.log2(duration) + 1) / 2, brightness * 2 - 1);
    let x = new Float64Array(logMel.length + inputs.length * frames), time = frames;
    logMel.forEach((value, i) => (x[i] = Math.max(value - loudness * decibel, quietest) / 4 + 1));
    inputs.forEach((value, i) => x.fill(value, logMel.length + i * frames, logMel.length + (i + 1) * frames));
    generator.encoder_widths.forEach((_, i) => {
      x = everySecond(convolve(x, time, ...this.weights(`layers.${2 * i}`), 3), time);
      time = Math.ceil(time / 2);
      const block = `layers.${2 * i + 1}`, h = normalize(x, time, ...this.weights(`${block}.norm`)).map(silu);
      const mixed = convolve(h, time, ...this.weights(`${block}.mix`), 3).map(silu), before = x;
      x = convolve(mixed, time, ...this.weights(`${block}.out`)).map((value, at) => value + before[at]);
    });
    return linear(...this.weights("project"), x).subarray(0, generator.residual);
  }

  weights(name) {
    return [this.tensors[`${name}.weight`], this.tensors[`${name}.bias`]];
  }

  /* The standard normal numbers that the prior of the kind would make this residual of. */
  noise(kind, residual) {
    const size = residual.length, { prior_mean: mean, prior_scale: scale } = this.tooter.tensors, noise = [];
    for (let i = 0; i < size; i++) {
      let left = residual[i] - mean[kind * size + i];
      for (let j = 0; j < i; j++) left -= scale[(kind * size + i) * size + j] * noise[j];
      noise.push(left / scale[(kind * size + i) * size + i]);
    }
    return noise;
  }

  /* Mean squared distance of two log-mels; what comes after the toot counts little. */
  apart(drawn, logMel, duration) {
    const { frames, front_end: { hop, mels } } = this.tooter.description;
    let sum = 0, weights = 0;
    for (let t = 0; t < frames; t++) {
      const weight = (t * hop - ONSET) / this.rate > duration + 0.1 ? SILENT_WEIGHT : 1;
      weights += weight;
      for (let m = 0; m < mels; m++) sum += (weight / mels) * (drawn[m * frames + t] - logMel[m * frames + t]) ** 2;
    }
    return sum / weights;
  }
}

/* The toot with the most energy in a recording, with its ends faded; null where there is none. */
export function loudest(recording, rate) {
  const peak = recording.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const mean = recording.reduce((sum, value) => sum + value / recording.length, 0);
  const wave = recording.map((value) => (value - mean) / Math.max(1, peak)), { level, loudest: top, energy, step } = envelope(wave, rate);
  if (!(top > 0)) return null;
  const threshold = top * 10 ** (quiet(level.map((value) => value / top), step / rate) / 20);
  let best = null;
  for (let k = 0, last = -Infinity, first = 0; k <= level.length; k++) {
    const ends = k === level.length || (level[k] > threshold && (k - last) * step > GAP * rate);
    if (ends && last >= first && (last - first) * step >= SHORTEST * rate) {
      const stop = Math.min(last, first + Math.round((LONGEST * rate) / step)), sum = energy[stop] - energy[first];
      if (!best || sum > best.sum) best = { sum, first: first * step, last: stop * step };
    }
    if (ends) first = k;
    if (k < level.length && level[k] > threshold) last = k;
  }
  if (!best) return null;
  const edge = Math.round(EDGE * rate), piece = wave.slice(Math.max(0, best.first - edge), best.last + edge);
  for (let i = 0; i < Math.min(edge, piece.length); i++) {
    const ramp = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / edge);
    if (best.first >= edge) piece[i] *= ramp; // else the recording begins with the toot
    piece[piece.length - 1 - i] *= ramp;
  }
  return piece;
}

/* In dB: what counts as quiet under levels whose loudest is 1, one in so many seconds. */
function quiet(level, seconds) {
  const window = Math.round(NOISE / seconds);
  if (level.length < 3 * window) return QUIET;
  const power = new Float64Array(level.length);
  level.forEach((value, i) => (power[i] = value * value + (i ? power[i - 1] : 0)));
  let least = Infinity;
  for (let i = window; i < power.length; i++) least = Math.min(least, power[i] - power[i - window]);
  return Math.min(Math.max(10 * Math.log10(Math.max(least / window, 1e-12)) + ABOVE_NOISE, QUIET), LEAST);
}

/* Every second frame of x (channels * time). */
function everySecond(x, time) {
  const half = Math.ceil(time / 2), out = new Float64Array((x.length / time) * half);
  for (let i = 0; i < out.length; i++) out[i] = x[Math.floor(i / half) * time + 2 * (i % half)];
  return out;
}
