/* The conditional decoder of tootlearn.models.decoder, forward only: controls and residual -> log-mel and what it is made of. */

import { addHarmonics, Mel, melFrequencies } from "./mel.js";

const STRIDE = 4;
const GROUPS = 8;
const NUMBERS = [0.7, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48].map(Math.log2);
const ATTACKS = [0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4];
const RELEASES = [0.004, 0.012, 0.035, 0.1];
const TAILS = [0.02, 0.06, 0.2];
const ONSET_SAMPLES = 512;
const COMB = { low: Math.log2(20), steps: 120, rows: Math.floor((Math.log2(8000) - Math.log2(20)) * 120) + 2 };

export const silu = (x) => x / (1 + Math.exp(-x));
const softplus = (x) => (x > 20 ? x : Math.log1p(Math.exp(x)));

/* What 16 bits stand for (IEEE 754). */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/* The tensors of a bundle, by name; what 8 bits stand for is rounded to float32, as in Python. */
export function readTensors(description, buffer) {
  const tensors = {};
  for (const [name, { shape, type, offset, scales }] of Object.entries(description.tensors)) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (type === "float32") {
      tensors[name] = Float64Array.from(new Float32Array(buffer, offset, size));
      continue;
    }
    if (type === "float16") {
      tensors[name] = Float64Array.from(new Uint16Array(buffer, offset, size), half);
      continue;
    }
    const integers = new Int8Array(buffer, offset, size), scale = new Float32Array(buffer, scales, shape[0]);
    const row = size / shape[0];
    tensors[name] = Float64Array.from(integers, (value, i) => Math.fround(value * scale[Math.floor(i / row)]));
  }
  return tensors;
}

/* Weights (rows, x.length) times x, plus bias. */
export function linear(weight, bias, x) {
  return Float64Array.from(bias, (sum, o) => {
    for (let i = 0, w = o * x.length; i < x.length; i++, w++) sum += weight[w] * x[i];
    return sum;
  });
}

/* 1D convolution, zero-padded to the same length: x (channels * time) -> (bias.length * time). */
export function convolve(x, time, weight, bias, kernel = 1, dilation = 1) {
  const channels = x.length / time, width = channels * kernel, rows = bias.length;
  const seen = new Float64Array(time * width); // what each output frame sees
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < kernel; k++) {
      const shift = (k - (kernel - 1) / 2) * dilation, end = Math.min(time, time - shift);
      for (let t = Math.max(0, -shift); t < end; t++) seen[t * width + c * kernel + k] = x[c * time + t + shift];
    }
  }
  const out = new Float64Array(rows * time);
  for (let o = 0; o < rows; o += 4) { // four rows at once: what is read of `seen` serves all
    const w0 = o * width, w1 = Math.min(o + 1, rows - 1) * width;
    const w2 = Math.min(o + 2, rows - 1) * width, w3 = Math.min(o + 3, rows - 1) * width;
    for (let t = 0; t < time; t++) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0, s = t * width; i < width; i++, s++) {
        const value = seen[s];
        a += weight[w0 + i] * value;
        b += weight[w1 + i] * value;
        c += weight[w2 + i] * value;
        d += weight[w3 + i] * value;
      }
      [a, b, c, d].forEach((sum, i) => {
        if (o + i < rows) out[(o + i) * time + t] = sum + bias[o + i];
      });
    }
  }
  return out;
}

/* Group norm of x (channels * time). */
export function normalize(x, time, weight, bias) {
  const out = new Float64Array(x.length), size = x.length / GROUPS;
  for (let g = 0; g < GROUPS; g++) {
    const part = x.subarray(g * size, (g + 1) * size);
    let mean = 0, variance = 0;
    for (const value of part) mean += value / size;
    for (const value of part) variance += (value - mean) ** 2 / size;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let i = 0, at = g * size; i < size; i++, at++) {
      const c = Math.floor(at / time);
      out[at] = (part[i] - mean) * scale * weight[c] + bias[c];
    }
  }
  return out;
}

/* Twice as many frames, linear in between: x (channels * time) -> (channels * 2 time). */
function doubled(x, time) {
  const out = new Float64Array(2 * x.length);
  for (let start = 0; start < x.length; start += time) {
    for (let i = 0; i < 2 * time; i++) {
      const place = Math.max(0, i / 2 - 0.25), left = Math.floor(place), right = Math.min(left + 1, time - 1);
      out[2 * start + i] = x[start + left] + (place - left) * (x[start + right] - x[start + left]);
    }
  }
  return out;
}

export class Decoder {
  constructor(description, tensors) {
    const { front_end: frontEnd, frames, kinds } = description;
    this.frontEnd = frontEnd;
    this.frames = frames;
    this.kinds = kinds;
    this.tensors = tensors;
    this.blocks = description.generator.blocks;
    this.logFloor = Math.log(frontEnd.floor);
    this.middle = (description.loudness[0] + description.loudness[1]) / 2;
    this.half = (description.loudness[1] - description.loudness[0]) / 2;
    this.centres = melFrequencies(frontEnd.mels + 2, frontEnd.fmin, frontEnd.fmax).subarray(1, -1).map(Math.log2);
    this.comb = this.combTable();
  }

  /* What the bands of harmonics at each of many pitches look like. */
  combTable() {
    const mel = new Mel(this.frontEnd), table = new Float32Array(COMB.rows * mel.mels);
    const spectrum = new Float64Array(mel.bins), bands = new Float64Array(mel.mels);
    for (let row = 0; row < COMB.rows; row++) {
      addHarmonics(spectrum.fill(0), 2 ** (COMB.low + row / COMB.steps), this.frontEnd);
      table.set(mel.bands(spectrum, bands), row * mel.mels);
    }
    return table;
  }

  weights(name) {
    return [this.tensors[`${name}.weight`], this.tensors[`${name}.bias`]];
  }

  /* {kind, pitch, duration, brightness, loudness} and residual -> {logMel, breath: mels * frames; notes; level}. */
  draw(controls, residual) {
    const { frames, frontEnd, kinds } = this;
    const mels = frontEnd.mels, kind = kinds[controls.kind], quarter = frames / STRIDE, half = frames / 2;
    const octave = Math.log2(controls.pitch);
    const gain = controls.loudness * (Math.log(10) / 20);
    const embedding = this.tensors["kind.weight"].subarray(32 * controls.kind, 32 * (controls.kind + 1));
    const numbers = [
      (octave - 8.5) / 2,
      (Math.log2(controls.duration) + 1) / 2,
      controls.brightness * 2 - 1,
      (controls.loudness - this.middle) / this.half,
    ];
    let condition = linear(...this.weights("condition.0"), [...embedding, ...numbers, ...residual]).map(silu);
    condition = linear(...this.weights("condition.2"), condition).map(silu);

    const ratios = kind.intervals.map(Math.log2);
    const logits = linear(...this.weights("levels"), condition).subarray(0, ratios.length);
    const top = Math.max(...logits), powers = logits.map((logit) => Math.exp(logit - top));
    const level = powers.map((power) => power / powers.reduce((a, b) => a + b));

    const steady = new Float64Array(mels);
    this.logComb(ratios.map((ratio) => octave + ratio), level, steady);
    const rows = this.timeRows(kind, controls.duration);
    const channels = STRIDE * rows.length + mels + condition.length;
    const x = new Float64Array(channels * quarter);
    rows.forEach((row, r) => {
      for (let t = 0; t < frames; t++) x[(STRIDE * r + (t % STRIDE)) * quarter + Math.floor(t / STRIDE)] = row(t);
    });
    [...steady, ...condition].forEach((value, i) => {
      const start = (STRIDE * rows.length + i) * quarter;
      x.fill(value, start, start + quarter);
    });
    let h = convolve(x, quarter, ...this.weights("enter"), 3);
    for (let i = 0; i < this.blocks; i++) h = this.block(`blocks.${i}`, h, quarter, condition, 2 ** (i % 3));
    const drawn = convolve(normalize(h, quarter, ...this.weights("norm")).map(silu), quarter, ...this.weights("out"));

    const source = doubled(drawn.subarray(0, NUMBERS.length * quarter), quarter); // (numbers * frames / 2)
    const fine = (c, t) => drawn[(NUMBERS.length + STRIDE * c + (t % STRIDE)) * quarter + Math.floor(t / STRIDE)];
    const bend = Float64Array.from({ length: quarter }, (_, q) => {
      let sum = 0;
      for (let s = 0; s < STRIDE; s++) sum += fine(2 * mels, STRIDE * q + s) / STRIDE;
      return Math.tanh(sum);
    });
    return this.assemble(octave, ratios, level, gain, source, doubled(bend, quarter), fine, half);
  }

  assemble(octave, ratios, level, gain, source, slow, fine, half) {
    const { frames, frontEnd } = this, mels = frontEnd.mels;
    const notes = [], rough = new Float64Array(mels * half), row = new Float64Array(mels);
    for (let t = 0; t < half; t++) {
      notes.push(ratios.map((ratio) => octave + slow[t] + ratio));
      this.logComb(notes[t], level, row);
      for (let m = 0; m < mels; m++) {
        rough[m * half + t] = row[m] + this.byNumber(this.centres[m] - octave - slow[t], source, t, half);
      }
    }
    const tones = doubled(rough, half);
    const logMel = new Float64Array(mels * frames), breath = new Float64Array(mels * frames);
    for (let m = 0; m < mels; m++) {
      for (let t = 0; t < frames; t++) {
        const tone = 2 * fine(m, t) + tones[m * frames + t], noise = 2 * fine(mels + m, t) - 6;
        const together = Math.max(tone, noise) + Math.log1p(Math.exp(-Math.abs(tone - noise))) + gain;
        logMel[m * frames + t] = this.logFloor + softplus(2 * (together - this.logFloor)) / 2;
        breath[m * frames + t] = 1 / (1 + Math.exp(tone - noise));
      }
    }
    return { logMel, breath, notes, level };
  }

  block(name, x, time, condition, dilation) {
    const h = normalize(x, time, ...this.weights(`${name}.norm`)), channels = x.length / time;
    const film = linear(...this.weights(`${name}.film.project`), condition);
    for (let c = 0; c < channels; c++) {
      for (let i = c * time; i < (c + 1) * time; i++) h[i] = silu(h[i] * (1 + film[c]) + film[channels + c]);
    }
    const mixed = convolve(h, time, ...this.weights(`${name}.mix`), 3, dilation).map(silu);
    return convolve(mixed, time, ...this.weights(`${name}.out`)).map((value, i) => value + x[i]);
  }

  /* Functions of each frame's place in the toot, inputs of the network. */
  timeRows(kind, duration) {
    const { hop, sample_rate: rate } = this.frontEnd;
    const time = (t) => (t * hop - ONSET_SAMPLES) / rate, since = (t) => Math.max(0, time(t));
    const past = (t) => time(t) - duration, turns = (t) => 2 * Math.PI * kind.trill * since(t);
    return [
      ...ATTACKS.map((tau) => (t) => Math.exp(-since(t) / tau)),
      ...RELEASES.map((width) => (t) => Math.tanh(past(t) / width)),
      ...TAILS.map((tau) => (t) => Math.exp(Math.min(0, past(t)) / tau)),
      ...TAILS.map((tau) => (t) => Math.exp(-Math.max(0, past(t)) / tau)),
      (t) => Math.min(1, since(t) / duration),
      (t) => Math.tanh(time(t) / 0.01),
      () => 1,
      (t) => Math.sin(turns(t)),
      (t) => Math.cos(turns(t)),
    ];
  }

  /* Log of the comb of some notes (log2 Hz) at their levels, into `out` (mels). */
  logComb(notes, level, out) {
    out.fill(1e-4);
    const mels = out.length;
    notes.forEach((note, n) => {
      const place = Math.min(COMB.rows - 1.001, Math.max(0, (note - COMB.low) * COMB.steps));
      const row = Math.floor(place), part = place - row;
      for (let m = 0, at = row * mels; m < mels; m++, at++) {
        out[m] += level[n] * (this.comb[at] + part * (this.comb[at + mels] - this.comb[at]));
      }
    });
    for (let m = 0; m < mels; m++) out[m] = Math.log(out[m]);
  }

  /* Level of the source so many octaves above f0, in frame t of `half`. */
  byNumber(place, source, t, half) {
    const within = Math.min(NUMBERS.at(-1) - 1e-4, Math.max(NUMBERS[0], place));
    let left = 0;
    while (NUMBERS[left + 1] <= within) left++;
    const part = (within - NUMBERS[left]) / (NUMBERS[left + 1] - NUMBERS[left]);
    const low = source[left * half + t], high = source[(left + 1) * half + t];
    return 2 * (low + part * (high - low));
  }
}
