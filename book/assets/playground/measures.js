/* What is measured on a wave, as tootlearn.dsp.measures defines it: level, duration, brightness and pitch. */

import { Fft, magnitudes, Stft } from "./stft.js";

const STEP = 0.0005; // s between two points of the envelope
const HALF = 10; // steps in half its window
const THRESHOLD = 0.01; // of the loudest: where a sound begins and ends
const LOWEST_BIN = 30; // Hz
const LONGEST = 8192; // samples at 22,050 Hz that a pitch is fitted in
const HARMONICS = 16;
const PERIODS = { window: 2048, hop: 1024, lowest: 30, highest: 2000, dip: 0.15, doubtful: 0.4 };

/* RMS over 10 ms, every .5 ms: {level, loudest}; the energy up to each point; and samples from one point to the next. */
export function envelope(wave, rate) {
  const step = Math.max(1, Math.round(rate * STEP));
  const blocks = Math.ceil(wave.length / step), energy = new Float64Array(blocks + 1);
  for (let b = 0; b < blocks; b++) {
    let sum = 0;
    for (let i = b * step; i < Math.min(wave.length, (b + 1) * step); i++) sum += wave[i] ** 2;
    energy[b + 1] = energy[b] + sum;
  }
  const level = energy.map((_, k) => {
    const inside = energy[Math.min(k + HALF, blocks)] - (k >= HALF ? energy[k - HALF] : 0);
    return Math.sqrt(Math.max(0, inside) / (2 * HALF * step));
  });
  return { energy, level, loudest: level.reduce((a, b) => Math.max(a, b)), step };
}

/* {start, end, loudness, onset, duration}: from the first to the last crossing of the threshold, in samples and in s,
   and the RMS in between, in dBFS. Null for silence. */
export function extent(wave, rate) {
  const { energy, level, loudest, step } = envelope(wave, rate), blocks = energy.length - 1;
  if (!(loudest > 0)) return null;
  const over = (k) => level[Math.min(blocks, Math.max(0, k))] / loudest;
  let first = 0, last = blocks;
  while (over(first) < THRESHOLD) first++;
  while (over(last) < THRESHOLD) last--;
  const crossing = (inside, outside) => {
    const high = over(inside), low = over(outside), fall = high - low;
    return inside + (fall > 0 ? Math.min(1, Math.max(0, (high - THRESHOLD) / fall)) : 1) * (outside - inside);
  };
  const start = first > 0 ? crossing(first, first - 1) : first;
  const end = Math.min(last < blocks ? crossing(last, last + 1) : last, wave.length / step);
  const up = (place) => {
    const below = Math.min(Math.floor(place), blocks - 1);
    return energy[below] + (energy[below + 1] - energy[below]) * (place - below);
  };
  const loudness = 10 * Math.log10((up(end) - up(start)) / (end - start) / step);
  return { start: start * step, end: end * step, loudness, onset: (start * step) / rate, duration: ((end - start) * step) / rate };
}

/* RMS over the duration, in dBFS. */
export function loudness(wave, rate) {
  return extent(wave, rate)?.loudness ?? -Infinity;
}

/* Spectral centroid, in Hz, of the frames whose centre lies from start to end (samples). */
export function centroid(wave, rate, start, end) {
  const stft = new Stft(1024, 256), spectrum = stft.analyze(wave);
  const nearest = Math.min(spectrum.frames - 1, Math.round((start + end) / 2 / stft.hop));
  let total = 0, weighted = 0;
  for (let t = 0; t < spectrum.frames; t++) {
    if (t !== nearest && !(t * stft.hop >= start && t * stft.hop <= end)) continue;
    magnitudes(spectrum, t).forEach((value, f) => {
      const hz = (f * rate) / stft.nFft;
      if (hz < LOWEST_BIN) return;
      total += value;
      weighted += value * hz;
    });
  }
  return weighted / total;
}

/* What combs are laid on: the magnitude of the middle 80 % of the energy, {compressed, perHertz, rate}. */
export function steadySpectrum(wave, rate) {
  const { energy, step } = envelope(wave, rate), whole = energy[energy.length - 1];
  const reached = (share) => energy.findIndex((value) => value >= share * whole) * step;
  const start = reached(0.1), end = reached(0.9), middle = (start + end) / 2;
  const longest = Math.round((LONGEST * rate) / 22050), length = Math.min(longest, Math.max(step, end - start));
  const size = 2 ** Math.ceil(Math.log2(8 * longest)), re = new Float64Array(size), im = new Float64Array(size);
  const first = Math.floor(middle - longest / 2);
  for (let i = 0; i <= longest; i++) {
    const at = first + i, away = Math.min(0.5, Math.max(-0.5, (at - middle) / length));
    if (at >= 0 && at < wave.length) re[i] = wave[at] * Math.cos(Math.PI * away) ** 2;
  }
  new Fft(size).forward(re, im);
  const magnitude = Float64Array.from({ length: size / 2 + 1 }, (_, f) => Math.hypot(re[f], im[f]));
  const peak = magnitude.reduce((a, b) => Math.max(a, b));
  return { compressed: magnitude.map((value) => Math.log1p(value / (0.01 * peak))), perHertz: size / rate, rate };
}

/* Lowest note, in Hz, of a chord of these intervals, so many cents around a guess: where its comb catches most. */
export function chordF0({ compressed, perHertz, rate }, ratios, guess, span) {
  const teeth = ratios.flatMap((ratio) => Array.from({ length: HARMONICS }, (_, h) => [ratio * (h + 1), 1 / (h + 1)]));
  const salience = (candidate, counted) => {
    let sum = 0;
    for (const [multiple, weight] of counted) {
      const place = candidate * multiple * perHertz, below = Math.min(Math.floor(place), compressed.length - 2);
      sum += weight * (compressed[below] + (compressed[below + 1] - compressed[below]) * (place - below));
    }
    return sum;
  };
  let best = guess;
  for (const [reach, points] of [[span, 2 * Math.ceil(span / 4) + 1], [6, 49]]) {
    const about = best, counted = teeth.filter(([multiple]) => guess * 2 ** (span / 1200) * multiple < rate / 2);
    let most = -1;
    for (let i = 0; i < points; i++) {
      const candidate = about * 2 ** ((reach * ((2 * i) / (points - 1) - 1)) / 1200), found = salience(candidate, counted);
      if (found > most) [most, best] = [found, candidate];
    }
  }
  return best;
}

/* Median pitch, in Hz, of what is periodic from start to end (samples); NaN where nothing is. YIN (de Cheveigne and
   Kawahara 2002): the lag at which a frame differs least from itself. */
export function trackedPitch(wave, rate, start, end) {
  const { window, hop, lowest, highest, dip, doubtful } = PERIODS, found = [];
  const longest = Math.ceil(rate / lowest), shortest = Math.floor(rate / highest), difference = new Float64Array(longest + 2);
  const x = new Float64Array(Math.max(0, end - start) + window + longest + 2);
  x.set(wave.subarray(start, end));
  for (let at = 0; at === 0 || at + window / 2 < end - start; at += hop) {
    let sum = 0;
    for (let lag = 1; lag < difference.length; lag++) {
      let apart = 0;
      for (let i = at; i < at + window; i++) apart += (x[i] - x[i + lag]) ** 2;
      sum += apart;
      difference[lag] = sum > 0 ? (apart * lag) / sum : 1;
    }
    let best = shortest;
    for (let lag = shortest; lag <= longest; lag++) {
      if (difference[lag] < difference[best]) best = lag;
      if (difference[lag] < dip && difference[lag] <= difference[lag + 1]) {
        best = lag;
        break;
      }
    }
    if (difference[best] > doubtful) continue;
    const [before, here, after] = [-1, 0, 1].map((i) => difference[best + i]), bend = before - 2 * here + after;
    found.push(rate / (best + (bend > 0 ? Math.max(-0.5, Math.min(0.5, (before - after) / (2 * bend))) : 0)));
  }
  return found.length ? found.sort((a, b) => a - b)[Math.floor((found.length - 1) / 2)] : NaN;
}
