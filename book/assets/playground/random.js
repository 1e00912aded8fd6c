/* Random numbers: number i of a stream of a seed, the same as tootlearn.rng draws, where their source is named. */

const CHILDREN = 0xc411d;

function triple32(x) {
  x ^= x >>> 17;
  x = Math.imul(x, 0xed5ad4bb);
  x ^= x >>> 11;
  x = Math.imul(x, 0xac4c1b51);
  x ^= x >>> 15;
  x = Math.imul(x, 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/* `count` words of 32 bits, from word `start` on. The seed is a whole number below 2^53. */
export function words(seed, stream, count, start = 0) {
  const high = Math.floor(seed / 2 ** 32);
  const key1 = triple32((seed >>> 0) ^ triple32(high ^ triple32(stream)));
  const key2 = triple32(key1 ^ 0x9e3779b9);
  const drawn = new Uint32Array(count);
  for (let i = 0; i < count; i++) drawn[i] = triple32((triple32((start + i) ^ key1) + key2) | 0);
  return drawn;
}

/* Uniform numbers between 0 and 1. */
export function uniform(seed, stream, count) {
  return Float64Array.from(words(seed, stream, count), (word) => (word + 0.5) / 2 ** 32);
}

/* Standard normal numbers (Box-Muller). */
export function normal(seed, stream, count) {
  const pairs = uniform(seed, stream, count + (count % 2));
  for (let i = 0; i < pairs.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(pairs[i]));
    const angle = 2 * Math.PI * pairs[i + 1];
    pairs[i] = radius * Math.cos(angle);
    pairs[i + 1] = radius * Math.sin(angle);
  }
  return pairs.subarray(0, count);
}

/* The seed of member `index` of the set of sounds that a seed stands for. */
export function child(seed, index) {
  const [low, high] = words(seed, CHILDREN, 2, 2 * index);
  return low + (high & 0x1fffff) * 2 ** 32;
}
