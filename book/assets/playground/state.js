/* The state of the page and its form in the address: kind, note (MIDI), duration, brightness, loudness, seed, pad, curve,
   and, after a recording was inverted, the noise of its residual. */

export const POINTS = 12; // of the loudness curve
export const DEEPEST = -40; // dB
const FARTHEST = [-9, 9]; // standard deviations: recordings may lie beyond the pad

const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

export const toHz = (note) => 440 * 2 ** ((note - 69) / 12);
export const toNote = (hz) => 69 + 12 * Math.log2(hz / 440);
export const noteName = (note) => `${NAMES[((Math.round(note) % 12) + 12) % 12]}${Math.floor(Math.round(note) / 12) - 1}`;

const rounded = (value, digits) => Number(value.toFixed(digits));
const within = (value, [low, high]) => Math.min(high, Math.max(low, value));
export const placed = (place) => place.map((value) => within(rounded(value, 2), FARTHEST));

/* Ranges of a kind's dials: [low, high], of which the note's are rounded inwards to cents. */
export function ranges(kind, about) {
  const [low, high] = kind.pitch.map(toNote);
  return {
    note: [Math.ceil(low * 100 - 1e-6) / 100, Math.floor(high * 100 + 1e-6) / 100],
    duration: [Math.ceil(kind.duration[0] * 100) / 100, Math.floor(kind.duration[1] * 100) / 100],
    brightness: [0, 1],
    loudness: about.loudness,
  };
}

/* The usual state of a kind: the middle of its ranges. */
export function usual(index, about, seed) {
  const kind = about.kinds[index], { note, duration } = ranges(kind, about);
  return {
    kind: index,
    note: Math.round((note[0] + note[1]) / 2),
    duration: rounded(within(0.8, duration), 2),
    brightness: 0.5,
    loudness: rounded((about.usual[0] + about.usual[1]) / 2, 1),
    seed,
    noise: null,
    place: null,
    envelope: null,
  };
}

/* The state that an address holds; what is missing or wrong in it gets its usual value. */
export function fromAddress(search, about) {
  const query = new URLSearchParams(search);
  const index = about.kinds.findIndex((kind) => kind.name === query.get("kind"));
  const seed = Number(query.get("seed"));
  const state = usual(index < 0 ? about.kinds.findIndex((kind) => kind.name === "trumpet") : index, about, 1);
  if (state.kind < 0) Object.assign(state, usual(0, about, 1));
  if (query.has("seed") && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 53) state.seed = seed;
  for (const [name, range] of Object.entries(ranges(about.kinds[state.kind], about))) {
    const value = Number.parseFloat(query.get(name));
    if (Number.isFinite(value)) state[name] = within(value, range);
  }
  const numbers = (name) => (query.get(name) ?? "").split(",").map(Number.parseFloat);
  const place = numbers("pad"), envelope = numbers("curve"), noise = numbers("own");
  if (noise.length === about.residual && noise.every(Number.isFinite)) state.noise = noise.map((value) => within(value, FARTHEST));
  if (place.length === 2 && place.every(Number.isFinite)) state.place = placed(place);
  if (envelope.length === POINTS && envelope.every(Number.isFinite)) {
    state.envelope = envelope.map((value) => within(value, [DEEPEST, 0]));
  }
  return state;
}

export function toAddress(state, about) {
  const { kind, noise, place, envelope, ...numbers } = state;
  const query = new URLSearchParams({ kind: about.kinds[kind].name, ...numbers });
  if (noise) query.set("own", noise.join(","));
  if (place) query.set("pad", place.join(","));
  if (envelope) query.set("curve", envelope.join(","));
  return `?${query}`;
}

/* The state that plays an inverted recording, rounded as the address holds it. */
export function heard(found, about, seed) {
  const { kind, pitch, duration, brightness, loudness, noise } = found, limits = ranges(about.kinds[kind], about);
  return {
    ...usual(kind, about, seed),
    note: within(rounded(toNote(pitch), 2), limits.note),
    duration: within(rounded(duration, 2), limits.duration),
    brightness: within(rounded(brightness, 2), limits.brightness),
    loudness: within(rounded(loudness, 1), limits.loudness),
    noise: noise.map((value) => rounded(within(value, FARTHEST), 2)),
  };
}

/* The request that the engine gets. */
export function toRequest({ note, ...state }) {
  return { ...state, pitch: toHz(note) };
}
