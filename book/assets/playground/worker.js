/* The work that would make the page stutter: toots and spectrograms, on a thread of their own. */

import { Stft } from "./stft.js";
import { magnitudes, shaped, Tooter } from "./toot.js";

const ROWS = 96;
const RANGE_DB = 80;
let tooter;
let server = "";

async function open({ model, play }) {
  server = play ?? "";
  const answers = await Promise.all([fetch(`${model}toot.json`), fetch(`${model}toot.bin`)]);
  for (const answer of answers) if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  tooter = new Tooter(await answers[0].json(), await answers[1].arrayBuffer());
  tooter.render({ kind: 0, pitch: tooter.description.kinds[0].pitch[0], duration: 0.3, brightness: 0.5, loudness: -16, seed: 0 }); // the first is slow
  const { kinds, loudness, usual_loudness: usual, front_end: frontEnd } = tooter.description;
  return { kinds, loudness, usual, rate: frontEnd.sample_rate };
}

/* A request -> wave, and where the seed lies on the pad; by the server where there is one. */
async function toot(request) {
  let wave;
  if (server) {
    const { envelope, ...asked } = request;
    const answer = await fetch(`${server}toot`, { method: "POST", body: JSON.stringify(asked) });
    if (!answer.ok) throw new Error(await answer.text());
    wave = new Float32Array(await answer.arrayBuffer());
    if (envelope) wave = shaped(wave, envelope, tooter.description.front_end.sample_rate);
  } else {
    wave = tooter.render(request);
  }
  return { wave, drawn: tooter.noise(request.seed, request.kind).place };
}

/* Levels in 0 to 255 from 80 dB below the loudest, {levels, rows, columns}; the rows are equally wide, the top is first. */
function spectrogram(wave) {
  const stft = new Stft(1024, 128), spectrum = stft.analyze(wave), columns = spectrum.frames;
  const found = new Float64Array(ROWS * columns);
  let top = 1e-9;
  for (let t = 0; t < columns; t++) {
    const frame = magnitudes(spectrum, t);
    for (let f = 1; f < frame.length; f++) {
      const at = (ROWS - 1 - Math.floor(((f - 1) * ROWS) / (frame.length - 1))) * columns + t;
      found[at] = Math.max(found[at], frame[f]);
      top = Math.max(top, frame[f]);
    }
  }
  const level = (value) => 255 * Math.max(0, 1 + (20 * Math.log10(Math.max(value, 1e-12) / top)) / RANGE_DB);
  return { levels: Uint8Array.from(found, level), rows: ROWS, columns };
}

/* For tests: the log-mel before the texture. */
function drawing(request) {
  const { logMel } = tooter.decoder.draw(request, tooter.residual(request));
  return { logMel };
}

const answers = { open, toot, spectrogram, drawing };

self.onmessage = async ({ data: { id, name, request } }) => {
  try {
    self.postMessage({ id, result: await answers[name](request) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
