/* From a magnitude to a wave: phase integrated along ridges, as tootlearn.dsp.phase explains. Frame by frame, in turns. */

const HANN_GAMMA = 0.25645;
const RELATIVE_FLOOR = 1e-5;
const SAME_RIDGE = 2.5;
const MOMENTUM = 0.99;

/* Magnitude (frames * bins, Float32Array) -> wave of `length` samples. */
export function ridgeIntegration(magnitude, stft, iterations, length) {
  let spectrum = ridgePhase(magnitude, stft);
  let previous = null;
  for (let i = 0; i < iterations; i++) {
    const projected = stft.project(spectrum, length);
    const back = previous ? MOMENTUM / (1 + MOMENTUM) : 0;
    const { re, im } = spectrum;
    for (let k = 0; k < magnitude.length; k++) {
      const x = projected.re[k] - (previous ? back * previous.re[k] : 0);
      const y = projected.im[k] - (previous ? back * previous.im[k] : 0);
      const size = Math.sqrt(x * x + y * y);
      re[k] = size > 0 ? (x / size) * magnitude[k] : 0;
      im[k] = size > 0 ? (y / size) * magnitude[k] : 0;
    }
    previous = projected;
  }
  return stft.synthesize(spectrum, length);
}

function ridgePhase(magnitude, stft) {
  const { bins, hop, nFft } = stft;
  const frames = magnitude.length / bins;
  const step = hop / nFft; // turns a hop, per bin
  const logarithm = flooredLog(magnitude);
  const peak = new Int32Array(magnitude.length);
  for (let t = 0; t < frames; t++) regionPeaks(magnitude, peak, t * bins, bins);
  const frequency = peakFrequencies(magnitude, logarithm, peak, bins, step);
  const phase = spread(logarithm, peak, frames, stft);
  for (let t = 1; t < frames; t++) {
    for (let f = 0, k = t * bins; f < bins; f++, k++) {
      const before = k - f - bins + peak[k]; // the peak's bin, a frame ago
      let change = frequency[before] - frequency[k];
      if (Math.abs(change) > SAME_RIDGE * step) change = 0;
      const ridge = frequency[k] + change / 2;
      const squared = (change * (HANN_GAMMA / step ** 2)) ** 2;
      const advance = ridge + (squared / (1 + squared)) * (peak[k] * step - ridge);
      phase[k] += advance - Math.round(advance) + phase[before];
    }
  }
  const spectrum = { re: new Float64Array(magnitude.length), im: new Float64Array(magnitude.length), frames, bins };
  for (let k = 0; k < magnitude.length; k++) {
    const angle = (phase[k] - Math.floor(phase[k])) * 2 * Math.PI;
    const centred = (k % bins) % 2 ? -magnitude[k] : magnitude[k];
    spectrum.re[k] = Math.cos(angle) * centred;
    spectrum.im[k] = Math.sin(angle) * centred;
  }
  return spectrum;
}

function flooredLog(magnitude) {
  let loudest = 0;
  for (let k = 0; k < magnitude.length; k++) loudest = Math.max(loudest, magnitude[k]);
  const floor = RELATIVE_FLOOR * loudest + 1e-30;
  const logarithm = new Float64Array(magnitude.length);
  for (let k = 0; k < magnitude.length; k++) logarithm[k] = Math.log(Math.max(magnitude[k], floor));
  return logarithm;
}

/* For every bin of a frame the peak that lies uphill of it. */
function regionPeaks(magnitude, peak, start, bins) {
  let first = 0, summit = 0, fell = true;
  for (let f = 0; f < bins; f++) {
    const rising = f + 1 < bins && magnitude[start + f + 1] > magnitude[start + f];
    if (rising && fell && f > 0) { // a valley
      peak.fill(summit, start + first, start + f);
      first = f;
    }
    if (!rising && (f === 0 || !fell)) summit = f;
    fell = !rising;
  }
  peak.fill(summit, start + first, start + bins);
}

/* For every bin its peak's frequency, in turns a hop. */
function peakFrequencies(magnitude, logarithm, peak, bins, step) {
  const frequency = new Float64Array(magnitude.length);
  for (let start = 0; start < magnitude.length; start += bins) {
    for (let f = 0, last = -1; f < bins; f++) {
      if (peak[start + f] === last) { // of the same region
        frequency[start + f] = frequency[start + f - 1];
        continue;
      }
      last = peak[start + f];
      frequency[start + f] = last * step;
      if (last === 0 || last === bins - 1) continue;
      const at = start + last, left = magnitude[at - 1], right = magnitude[at + 1];
      const ratio = Math.max(left, right) / (magnitude[at] + 1e-20);
      const byRatio = Math.min(0.5, Math.max(0, (2 * ratio - 1) / (ratio + 1))) * (right < left ? -1 : 1);
      const bySlope = (logarithm[at + 1] - logarithm[at - 1]) / 2 / (HANN_GAMMA * 2 * Math.PI);
      frequency[start + f] += (byRatio + bySlope) * (step / 2);
    }
  }
  return frequency;
}

/* How far every bin's phase is ahead of its peak's, in turns. */
function spread(logarithm, peak, frames, { bins, hop, nFft }) {
  const perBin = (-HANN_GAMMA * nFft) / hop / (2 * Math.PI) / 4;
  const ahead = new Float64Array(logarithm.length), integral = new Float64Array(bins);
  for (let t = 1; t < frames - 1; t++) {
    const growth = (f) => logarithm[(t + 1) * bins + f] - logarithm[(t - 1) * bins + f];
    for (let f = 1; f < bins; f++) integral[f] = integral[f - 1] + growth(f) + growth(f - 1);
    for (let f = 0; f < bins; f++) ahead[t * bins + f] = (integral[f] - integral[peak[t * bins + f]]) * perBin;
  }
  return ahead;
}
