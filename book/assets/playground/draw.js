/* Pictures of a toot: its spectrogram and its wave, and where it is being played. */

/* The colours of a level from 0 to 255: black, violet, orange, pale yellow, as magma has them. */
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const COLOURS = Uint32Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * (STOPS.length - 1), left = Math.min(Math.floor(place), STOPS.length - 2);
  const [red, green, blue] = STOPS[left].map((value, i) => value + (place - left) * (STOPS[left + 1][i] - value));
  return (255 << 24) | (blue << 16) | (green << 8) | red;
});

/* {levels, rows, columns} over the whole canvas. */
export function drawSpectrogram(canvas, { levels, rows, columns }) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  new Uint32Array(image.data.buffer).set(Uint32Array.from(levels, (level) => COLOURS[level]));
  context.putImageData(image, 0, 0);
}

/* Highest and lowest sample of each column, in the ink of the page. */
export function drawWave(canvas, wave) {
  const context = fitted(canvas), { width, height } = canvas, each = wave.length / width;
  context.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    const part = wave.subarray(Math.floor(x * each), Math.max(Math.floor(x * each) + 1, Math.floor((x + 1) * each)));
    let high = -1, low = 1;
    for (const value of part) {
      if (value > high) high = value;
      if (value < low) low = value;
    }
    context.fillRect(x, ((1 - high) * height) / 2, 1, Math.max(1, ((high - low) * height) / 2));
  }
}

/* The loudness curve, in dB from 0 down to `deepest`, with the chosen point marked. */
export function drawCurve(canvas, points, deepest, chosen) {
  const context = fitted(canvas), { width, height } = canvas, edge = 8;
  const place = (level, i) => [edge + ((width - 2 * edge) * i) / (points.length - 1), edge + ((height - 2 * edge) * level) / deepest];
  context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
  context.lineWidth = 2;
  context.beginPath();
  points.forEach((level, i) => context.lineTo(...place(level, i)));
  context.stroke();
  points.forEach((level, i) => {
    context.beginPath();
    context.arc(...place(level, i), i === chosen ? 6 : 3, 0, 2 * Math.PI);
    context.fill();
  });
}

/* The pad: axes through 0, and the place, each from -3 to 3; what lies beyond is at its edge. */
export function drawPad(canvas, place) {
  const context = fitted(canvas), { width, height } = canvas, [x, y] = place.map((value) => Math.max(-3, Math.min(3, value)));
  context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
  context.globalAlpha = 0.3;
  for (let deviation = -2; deviation <= 2; deviation++) {
    context.strokeRect((width * (deviation + 3)) / 6, -1, 0, height + 2);
    context.strokeRect(-1, (height * (deviation + 3)) / 6, width + 2, 0);
  }
  context.globalAlpha = 1;
  context.beginPath();
  context.arc((width * (x + 3)) / 6, (height * (3 - y)) / 6, 8, 0, 2 * Math.PI);
  context.fill();
}

/* A context of an empty canvas with as many pixels as the screen shows. */
function fitted(canvas) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  return canvas.getContext("2d");
}
