/* A toot from controls and a seed: what tootlearn.generation.toot_generator does without a vocoder. */

import { Decoder, readTensors } from "./decoder.js";
import { loudness } from "./measures.js";
import { addHarmonics, AT_FLOOR, Mel } from "./mel.js";
import { ridgeIntegration } from "./phase.js";
import { normal } from "./random.js";
import { magnitudes, Stft } from "./stft.js";

const FORMAT = 1;
const PHASE_ITERATIONS = 4;
const LARGEST_FFT = 4096;
const PEAK = 0.98;
const QUIET = 10 ** (-60 / 20);
const FADE = 0.005; // s
const RESIDUAL = 12, TEXTURE = 13; // streams of random numbers
const TAPS = [0.24, 0.94, 0.24];

export class Tooter {
  /* Of a bundle: its description, and its weights as an ArrayBuffer. */
  constructor(description, buffer) {
    if (description.format !== FORMAT) throw new Error(`the model has format ${description.format}, not ${FORMAT}`);
    this.description = description;
    this.tensors = readTensors(description, buffer);
    this.decoder = new Decoder(description, this.tensors);
    this.ends = new Map();
    this.own = this.end(description.front_end.n_fft);
    this.restless = restlessness(this.own.mel);
  }

  /* The front end with another window. */
  end(nFft) {
    if (!this.ends.has(nFft)) {
      const config = { ...this.description.front_end, n_fft: nFft };
      this.ends.set(nFft, { config, stft: new Stft(nFft, config.hop), mel: new Mel(config) });
    }
    return this.ends.get(nFft);
  }

  /* Standard normal numbers of a request: its own, or those of its seed; and where they lie in the plane of the pad. */
  noise({ seed, kind, noise: own }) {
    const size = this.description.generator.residual, noise = own ? Float64Array.from(own) : normal(seed, RESIDUAL, size);
    const axes = [0, 1].map((i) => this.tensors.directions.subarray((2 * kind + i) * size, (2 * kind + i + 1) * size));
    const place = axes.map((axis) => axis.reduce((sum, value, i) => sum + value * noise[i], 0));
    return { noise, axes, place };
  }

  /* What the controls leave open: drawn from the kind's prior, moved to a place of the pad if one is given. */
  residual(request) {
    const { kind, place } = request, { noise, axes, place: drawn } = this.noise(request), size = noise.length;
    const moved = place ? noise.map((value, i) => value + axes.reduce((sum, axis, a) => sum + (place[a] - drawn[a]) * axis[i], 0)) : noise;
    const { prior_mean: mean, prior_scale: scale } = this.tensors;
    return Float64Array.from(moved, (_, i) => {
      let sum = mean[kind * size + i];
      for (let j = 0; j < size; j++) sum += scale[(kind * size + i) * size + j] * moved[j];
      return sum;
    });
  }

  /* {kind, pitch, duration, brightness, loudness, seed, noise, place, texture} -> log-mel with its breath, and the drawing. */
  draw(request) {
    const drawing = this.decoder.draw(request, this.residual(request));
    const { mels } = this.description.front_end, frames = this.description.frames;
    const strength = request.texture ?? 1, texture = textureOfNoise(request.seed, mels, frames);
    const logMel = drawing.logMel.map(
      (value, i) => value + strength * drawing.breath[i] * this.restless[Math.floor(i / frames)] * texture[i],
    );
    return { logMel, drawing };
  }

  /* A request as for draw, and perhaps an envelope (dB, equally spaced over the toot) -> wave, Float32Array. */
  render(request) {
    const { logMel, drawing } = this.draw(request);
    const rate = this.description.front_end.sample_rate;
    const wave = this.drawnToWave(logMel, drawing);
    const gain = 10 ** ((request.loudness - loudness(wave, rate)) / 20);
    const toot = cut(Number.isFinite(gain) ? wave.map((value) => value * gain) : wave, rate);
    return request.envelope ? shaped(toot, request.envelope, rate) : toot;
  }

  drawnToWave(logMel, drawing) {
    const { floor } = this.description.front_end, frames = this.description.frames, samples = this.description.samples;
    const lowest = Math.min(...drawing.notes.flat());
    const { config, stft, mel } = this.resolving(2 ** lowest);
    const audible = Math.log(floor) + AT_FLOOR;
    let last = frames - 1; // of which something is heard
    while (last > 0 && !this.column(logMel, last).some((value) => value > audible)) last--;
    const needed = Math.min(frames, last + 1 + config.n_fft / config.hop); // with silence as long as a window reaches
    const wider = config.n_fft / this.own.config.n_fft, bins = stft.bins, mels = mel.mels;
    const magnitude = new Float32Array(needed * bins), lines = new Float64Array(bins), start = new Float64Array(bins);
    const tone = new Float64Array(mels), noise = new Float64Array(mels), target = new Float64Array(mels);
    const smoothTone = new Float64Array(bins), smoothNoise = new Float64Array(bins);
    let smoothLines;
    for (let t = 0; t <= last; t++) {
      if (t % 2 === 0) { // two frames share their notes
        lines.fill(0);
        drawing.notes[t / 2].forEach((note, n) => addHarmonics(lines, 2 ** note, config, drawing.level[n]));
        smoothLines = mel.smooth(mel.bands(lines));
      }
      for (let m = 0; m < mels; m++) {
        const at = m * frames + t, level = Math.exp(logMel[at]), breath = drawing.breath[at];
        tone[m] = wider * level * (1 - breath);
        noise[m] = wider ** 1.5 * level * breath;
        const heard = logMel[at] > audible && tone[m] + noise[m] > floor * Math.exp(AT_FLOOR);
        target[m] = heard ? tone[m] + noise[m] : 0;
      }
      mel.smooth(tone, smoothTone);
      mel.smooth(noise, smoothNoise);
      for (let f = 0; f < bins; f++) start[f] = (smoothTone[f] * lines[f]) / smoothLines[f] + smoothNoise[f];
      mel.fit(start, target, 10);
      magnitude.set(start, t * bins);
    }
    const length = Math.min(samples, (needed - 1) * config.hop + config.n_fft / 2 - 1);
    const wave = ridgeIntegration(magnitude, stft, PHASE_ITERATIONS, length);
    const gain = this.level(logMel) / this.levelOf(wave);
    return wave.map((value) => value * gain);
  }

  /* Frame t of a log-mel. */
  column(logMel, t) {
    const { frames } = this.description;
    return Float64Array.from({ length: logMel.length / frames }, (_, m) => logMel[m * frames + t]);
  }

  /* The front end with four bins or more between harmonics of the lowest note. */
  resolving(lowest) {
    const { n_fft, sample_rate } = this.own.config;
    let size = n_fft;
    while (size < Math.min((4 * sample_rate) / lowest, LARGEST_FFT)) size *= 2;
    return this.end(size);
  }

  level(logMel) {
    return Math.sqrt(logMel.reduce((sum, value) => sum + Math.exp(2 * value), 0));
  }

  /* The same of a wave. */
  levelOf(wave) {
    const { stft, mel } = this.own, { frames } = this.description;
    const heard = Math.min(frames, 1 + Math.ceil((wave.length + stft.nFft / 2) / stft.hop)); // frames; the others are at the floor
    const spectrum = stft.analyze(wave, heard), bands = new Float64Array(mel.mels);
    let sum = (frames - heard) * mel.mels * mel.floor ** 2;
    for (let t = 0; t < heard; t++) {
      for (const band of mel.bands(magnitudes(spectrum, t), bands)) sum += Math.max(band, mel.floor) ** 2;
    }
    return Math.sqrt(sum);
  }
}

/* How noise strays in frames and bands, as tootlearn.generation.breath_noise has it. */
function textureOfNoise(seed, mels, frames) {
  const white = Float32Array.from(normal(seed, TEXTURE, mels * frames)), along = new Float64Array(white.length);
  const at = (x, m, t) => (m < 0 || m >= mels || t < 0 || t >= frames ? 0 : x[m * frames + t]);
  const out = new Float64Array(white.length);
  for (let m = 0; m < mels; m++) {
    for (let t = 0; t < frames; t++) {
      along[m * frames + t] = TAPS[0] * at(white, m, t - 1) + TAPS[1] * at(white, m, t) + TAPS[2] * at(white, m, t + 1);
    }
  }
  for (let m = 0; m < mels; m++) {
    for (let t = 0; t < frames; t++) {
      out[m * frames + t] = TAPS[0] * at(along, m - 1, t) + TAPS[1] * at(along, m, t) + TAPS[2] * at(along, m + 1, t);
    }
  }
  return out;
}

function restlessness(mel) {
  return Float64Array.from({ length: mel.mels }, (_, m) => {
    const weights = mel.weights[m];
    let covariance = 0;
    [1, 0.88, 0.06].forEach((share, lag) => {
      for (let i = 0; i + lag < weights.length; i++) covariance += share * weights[i] * weights[i + lag];
    });
    return Math.sqrt((4 / Math.PI - 1) * covariance) / mel.area[m];
  });
}

/* From the first to the last sample within 60 dB of the peak, with short fades; turned down if it would clip. */
function cut(wave, rate) {
  let peak = 0;
  for (const value of wave) peak = Math.max(peak, Math.abs(value));
  if (peak === 0) return new Float32Array(1);
  let first = 0, last = wave.length - 1;
  while (Math.abs(wave[first]) < QUIET * peak) first++;
  while (Math.abs(wave[last]) < QUIET * peak) last--;
  const toot = Float32Array.from(wave.subarray(first, last + 1), (value) => value * Math.min(1, PEAK / peak));
  const fade = Math.min(Math.floor(FADE * rate), Math.floor(toot.length / 2));
  for (let i = 0; i < fade; i++) {
    toot[i] *= (i + 1) / (fade + 1);
    toot[toot.length - 1 - i] *= (i + 1) / (fade + 1);
  }
  return toot;
}

/* A wave with a gain over it: dB at equally distant points, straight in between. They count against each other: the
   loudness stays, unless it would clip. */
export function shaped(wave, envelope, rate) {
  const bent = wave.map((value, i) => {
    const place = (i / Math.max(1, wave.length - 1)) * (envelope.length - 1);
    const left = Math.min(Math.floor(place), envelope.length - 2);
    return value * 10 ** ((envelope[left] + (place - left) * (envelope[left + 1] - envelope[left])) / 20);
  });
  const peak = bent.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const gain = Math.min(10 ** ((loudness(wave, rate) - loudness(bent, rate)) / 20), PEAK / peak);
  return Number.isFinite(gain) ? bent.map((value) => value * gain) : bent;
}
