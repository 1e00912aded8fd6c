/* Mel bands of a magnitude and back, as tootlearn.dsp.mel has them, and what harmonics look like in a frame. */

const LINEAR_STEP = 200 / 3;
const KNEE_HZ = 1000;
const KNEE_MEL = KNEE_HZ / LINEAR_STEP;
const LOG_STEP = Math.log(6.4) / 27;
const TINY = 1e-9;
export const AT_FLOOR = 1e-3;

const hzToMel = (hz) => (hz < KNEE_HZ ? hz / LINEAR_STEP : KNEE_MEL + Math.log(hz / KNEE_HZ) / LOG_STEP);
const melToHz = (mel) => (mel < KNEE_MEL ? mel * LINEAR_STEP : KNEE_HZ * Math.exp((mel - KNEE_MEL) * LOG_STEP));

export function melFrequencies(count, fmin, fmax) {
  const low = hzToMel(fmin), high = hzToMel(fmax);
  return Float64Array.from({ length: count }, (_, i) => melToHz(low + ((high - low) * i) / (count - 1)));
}

/* The filterbank and its inverse, of one front end. A bin lies in two bands at most, so all of it is sparse. */
export class Mel {
  constructor({ sample_rate, n_fft, mels, fmin, fmax, floor }) {
    this.mels = mels;
    this.bins = n_fft / 2 + 1;
    this.floor = floor;
    const points = melFrequencies(mels + 2, fmin, fmax);
    this.first = new Int32Array(mels); // bins that a band reaches: from first, as many as its weights
    this.weights = [];
    this.area = new Float64Array(mels);
    this.column = new Float64Array(this.bins);
    for (let m = 0; m < mels; m++) {
      const [low, centre, high] = points.subarray(m, m + 3);
      const weights = [];
      for (let f = 0; f < this.bins; f++) {
        const hz = (f * sample_rate) / n_fft;
        const triangle = Math.min((hz - low) / (centre - low), (high - hz) / (high - centre));
        if (triangle <= 0) continue;
        if (!weights.length) this.first[m] = f;
        weights.push(Math.fround((triangle * 2) / (high - low)));
      }
      this.weights.push(Float64Array.from(weights));
      weights.forEach((weight, i) => {
        this.area[m] += weight;
        this.column[this.first[m] + i] += weight;
      });
    }
    this.log = new Float64Array(mels);
    this.left = new Int32Array(this.bins); // between which two band centres a bin lies
    this.part = new Float64Array(this.bins);
    const centres = points.subarray(1, mels + 1);
    for (let f = 0, right = 1; f < this.bins; f++) {
      const hz = (f * sample_rate) / n_fft;
      while (right < mels - 1 && centres[right] < hz) right++;
      this.left[f] = right - 1;
      this.part[f] = Math.min(1, Math.max(0, (hz - centres[right - 1]) / (centres[right] - centres[right - 1])));
    }
  }

  /* One frame: magnitude (bins) -> bands (mels). */
  bands(magnitude, out = new Float64Array(this.mels)) {
    for (let m = 0; m < this.mels; m++) {
      const weights = this.weights[m], first = this.first[m];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * magnitude[first + i];
      out[m] = sum;
    }
    return out;
  }

  /* One frame: each band's mean magnitude, interpolated over frequency in the log. */
  smooth(bands, out = new Float64Array(this.bins)) {
    const log = this.log;
    for (let m = 0; m < this.mels; m++) log[m] = Math.log(Math.max(bands[m] / this.area[m], TINY));
    for (let f = 0; f < this.bins; f++) {
      const left = this.left[f], part = this.part[f];
      out[f] = Math.exp(log[left] * (1 - part) + log[left + 1] * part);
    }
    return out;
  }

  /* One frame, in place: multiplicative updates until the magnitude has the bands. */
  fit(magnitude, bands, updates) {
    const has = new Float64Array(this.mels), share = new Float64Array(this.bins);
    for (let update = 0; update < updates; update++) {
      this.bands(magnitude, has);
      share.fill(0);
      for (let m = 0; m < this.mels; m++) {
        const weights = this.weights[m], first = this.first[m], ratio = bands[m] / (has[m] + TINY);
        for (let i = 0; i < weights.length; i++) share[first + i] += weights[i] * ratio;
      }
      for (let f = 0; f < this.bins; f++) magnitude[f] *= share[f] / Math.max(this.column[f], TINY);
    }
  }
}

/* Adds to `out` (bins) what a Hann frame shows of harmonics of f0 (Hz) with that amplitude. */
export function addHarmonics(out, f0, { sample_rate, n_fft }, level = 1) {
  const bins = out.length, step = (f0 * n_fft) / sample_rate;
  for (let number = 1; number * step < bins - 1; number++) {
    const place = number * step, nearest = Math.round(place), off = nearest - place;
    const sine = Math.abs(Math.sin(Math.PI * off)) / Math.PI;
    for (let offset = -3; offset <= 3; offset++) {
      const f = nearest + offset, x = off + offset;
      if (f < 0 || f >= bins) continue;
      const poles = Math.abs(x * (1 - x * x));
      out[f] += level * (n_fft / 4) * (poles > 1e-7 ? sine / poles : offset === 0 ? 1 : 0.5);
    }
  }
}
