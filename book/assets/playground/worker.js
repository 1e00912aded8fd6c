/* The work that would block the page: toots and spectrograms, in a thread of its own. */

import { readTensors } from "./decoder.js";
import { Ear, loudest } from "./ear.js";
import { magnitudes, Stft } from "./stft.js";
import { shaped, Tooter } from "./toot.js";

const ROWS = 96;
const RANGE_DB = 80;
let tooter, ear;
let server = "", folder = "";

/* What `export` wrote by this name: the description, and the weights. */
async function load(name) {
  const answers = await Promise.all([fetch(`${folder}${name}.json`), fetch(`${folder}${name}.bin`)]);
  for (const answer of answers) if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  return [await answers[0].json(), await answers[1].arrayBuffer()];
}

async function open({ model, play }) {
  server = play ?? "";
  folder = model;
  tooter = new Tooter(...(await load("toot")));
  tooter.render({ kind: 0, pitch: tooter.description.kinds[0].pitch[0], duration: 0.3, brightness: 0.5, loudness: -16, seed: 0 }); // the first is slow
  const { kinds, loudness, usual_loudness: usual, front_end: frontEnd, generator } = tooter.description;
  return { kinds, loudness, usual, rate: frontEnd.sample_rate, residual: generator.residual };
}

/* A request -> wave, and where the seed lies on the pad; by the server where there is one. */
async function toot(request) {
  let wave;
  if (server) {
    const { envelope, ...controls } = request;
    const answer = await fetch(`${server}toot`, { method: "POST", body: JSON.stringify(controls) });
    if (!answer.ok) throw new Error(await answer.text());
    wave = new Float32Array(await answer.arrayBuffer());
    if (envelope) wave = shaped(wave, envelope, tooter.description.front_end.sample_rate);
  } else {
    wave = tooter.render(request);
  }
  return { wave, drawn: tooter.noise(request).place };
}

/* A recording -> the toot in it, and the request that comes nearest to it: {wave, ...}, see ear.js. */
async function hear(recording) {
  const wave = loudest(recording, tooter.description.front_end.sample_rate);
  if (!wave) throw new Error("there is no toot in it: it is silent, or only clicks");
  if (server) {
    const answer = await fetch(`${server}hear`, { method: "POST", body: wave });
    if (!answer.ok) throw new Error(await answer.text());
    return { wave, ...(await answer.json()) };
  }
  ear ??= new Ear(tooter, readTensors(...(await load("ear"))));
  return { wave, ...ear.describe(wave) };
}

/* Levels in 0 to 255 from 80 dB below the loudest, {levels, rows, columns}; the rows are equally wide, the top is first. */
function spectrogram(wave) {
  const stft = new Stft(1024, 128), spectrum = stft.analyze(wave), columns = spectrum.frames;
  const peaks = new Float64Array(ROWS * columns);
  let top = 1e-9;
  for (let t = 0; t < columns; t++) {
    const frame = magnitudes(spectrum, t);
    for (let f = 1; f < frame.length; f++) {
      const at = (ROWS - 1 - Math.floor(((f - 1) * ROWS) / (frame.length - 1))) * columns + t;
      peaks[at] = Math.max(peaks[at], frame[f]);
      top = Math.max(top, frame[f]);
    }
  }
  const level = (value) => 255 * Math.max(0, 1 + (20 * Math.log10(Math.max(value, 1e-12) / top)) / RANGE_DB);
  return { levels: Uint8Array.from(peaks, level), rows: ROWS, columns };
}

/* For tests: the log-mel without breath noise. */
function drawing(request) {
  const { logMel } = tooter.decoder.draw(request, tooter.residual(request));
  return { logMel };
}

const answers = { open, toot, hear, spectrogram, drawing };

self.onmessage = async ({ data: { id, name, request } }) => {
  try {
    self.postMessage({ id, result: await answers[name](request) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
