/* The short-time Fourier transform and its least-squares inverse, as tootlearn.dsp.stft has them. Spectra lie frame by frame. */

const LEAST_WINDOW_SUM = 0.01;

/* Complex FFT of a power of two, in place. */
export class Fft {
  constructor(size) {
    this.size = size;
    this.cos = new Float64Array(size / 2);
    this.sin = new Float64Array(size / 2);
    for (let i = 0; i < size / 2; i++) {
      this.cos[i] = Math.cos((2 * Math.PI * i) / size);
      this.sin[i] = Math.sin((2 * Math.PI * i) / size);
    }
    this.reversed = new Uint32Array(size);
    for (let i = 1; i < size; i++) this.reversed[i] = (this.reversed[i >> 1] >> 1) | (i & 1 ? size >> 1 : 0);
  }

  forward(re, im) {
    const { size, cos, sin, reversed } = this;
    for (let i = 0; i < size; i++) {
      const j = reversed[i];
      if (j > i) {
        const x = re[i], y = im[i];
        re[i] = re[j];
        im[i] = im[j];
        re[j] = x;
        im[j] = y;
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let k = 0; k < half; k++) {
        const c = cos[k * stride], s = sin[k * stride];
        for (let i = k; i < size; i += 2 * half) {
          const j = i + half;
          const x = re[j] * c + im[j] * s, y = im[j] * c - re[j] * s;
          re[j] = re[i] - x;
          im[j] = im[i] - y;
          re[i] += x;
          im[i] += y;
        }
      }
    }
  }

  /* Not divided by the size. */
  inverse(re, im) {
    this.forward(im, re);
  }
}

export class Stft {
  constructor(nFft, hop) {
    this.nFft = nFft;
    this.hop = hop;
    this.bins = nFft / 2 + 1;
    this.window = Float64Array.from({ length: nFft }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / nFft));
    this.fft = new Fft(nFft);
    this.re = new Float64Array(nFft);
    this.im = new Float64Array(nFft);
    this.scales = new Map();
  }

  /* A padded wave, which begins half a window before sample 0 -> {re, im}, each frames * bins. */
  spectra(padded, frames) {
    const { nFft, hop, bins, window, fft, re, im } = this;
    const out = { re: new Float64Array(frames * bins), im: new Float64Array(frames * bins), frames, bins };
    for (let t = 0; t < frames; t += 2) { // two real frames are one complex one
      const both = t + 1 < frames;
      for (let n = 0; n < nFft; n++) {
        re[n] = padded[t * hop + n] * window[n];
        im[n] = both ? padded[(t + 1) * hop + n] * window[n] : 0;
      }
      fft.forward(re, im);
      for (let f = 0, a = t * bins, b = a + bins; f < bins; f++, a++, b++) {
        const g = (nFft - f) % nFft;
        out.re[a] = (re[f] + re[g]) / 2;
        out.im[a] = (im[f] - im[g]) / 2;
        if (both) {
          out.re[b] = (im[f] + im[g]) / 2;
          out.im[b] = (re[g] - re[f]) / 2;
        }
      }
    }
    return out;
  }

  /* Wave -> {re, im} of 1 + samples / hop frames, or of the given number. */
  analyze(wave, frames = 1 + Math.floor(wave.length / this.hop)) {
    const padded = new Float64Array(Math.max(wave.length + this.nFft, (frames - 1) * this.hop + this.nFft));
    padded.set(wave, this.nFft / 2);
    return this.spectra(padded, frames);
  }

  /* Spectrum -> the padded wave, zero outside of `length` samples. */
  overlapAdd(spectrum, length) {
    const { nFft, hop, bins, window, fft, re, im } = this;
    const frames = spectrum.frames;
    const total = new Float64Array((frames - 1) * hop + nFft);
    for (let t = 0; t < frames; t += 2) {
      const both = t + 1 < frames;
      for (let f = 0, a = t * bins, b = a + bins; f < bins; f++, a++, b++) {
        const edge = f === 0 || f === bins - 1; // real by definition
        const ar = spectrum.re[a], ai = edge ? 0 : spectrum.im[a];
        const br = both ? spectrum.re[b] : 0, bi = both && !edge ? spectrum.im[b] : 0;
        re[f] = ar - bi;
        im[f] = ai + br;
        if (!edge) {
          re[nFft - f] = ar + bi;
          im[nFft - f] = br - ai;
        }
      }
      fft.inverse(re, im);
      for (let n = 0, at = t * hop; n < nFft; n++, at++) {
        total[at] += (re[n] * window[n]) / nFft;
        if (both) total[at + hop] += (im[n] * window[n]) / nFft;
      }
    }
    const scale = this.scale(frames, length);
    for (let i = 0; i < total.length; i++) total[i] *= scale[i];
    return total;
  }

  /* One over the sum of the squared windows on each sample, 0 outside of the wave. */
  scale(frames, length) {
    const key = `${frames} ${length}`;
    if (!this.scales.has(key)) {
      const { nFft, hop, window } = this;
      const sums = new Float64Array((frames - 1) * hop + nFft);
      for (let t = 0; t < frames; t++) for (let n = 0; n < nFft; n++) sums[t * hop + n] += window[n] ** 2;
      const inside = (_, i) => i >= nFft / 2 && i < nFft / 2 + length;
      this.scales.set(key, sums.map((sum, i) => (inside(sum, i) ? 1 / Math.max(sum, LEAST_WINDOW_SUM) : 0)));
    }
    return this.scales.get(key);
  }

  synthesize(spectrum, length) {
    return this.overlapAdd(spectrum, length).subarray(this.nFft / 2, this.nFft / 2 + length);
  }

  project(spectrum, length) {
    return this.spectra(this.overlapAdd(spectrum, length), spectrum.frames);
  }
}

/* Magnitudes of frame t. */
export function magnitudes({ re, im, bins }, t) {
  const found = new Float64Array(bins);
  for (let f = 0, k = t * bins; f < bins; f++, k++) found[f] = Math.sqrt(re[k] * re[k] + im[k] * im[k]);
  return found;
}
