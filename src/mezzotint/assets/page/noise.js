// The noise of an image, from its seed and its number: the same numbers that Python draws.
// NumPy's SeedSequence mixes seed and number, MT19937 gives 32-bit words, and Box-Muller turns sixteen of them
// at a time into normal ones, as torch.randn does on a CPU.
"use strict";

/** The lower 32 bits of the seed of an image: SeedSequence(seed, spawn_key=(number,)). */
function imageSeed(seed, number) {
  const words = [];
  for (let rest = BigInt(seed); rest > 0n; rest >>= 32n) words.push(Number(rest & 0xffffffffn));
  while (words.length < 4) words.push(0);
  words.push(number >>> 0);
  let hash = 0x43b0d7e5;
  const hashed = (value) => {
    value ^= hash;
    hash = Math.imul(hash, 0x931e8875);
    value = Math.imul(value, hash);
    return value ^ (value >>> 16);
  };
  const mixed = (x, y) => {
    const value = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return value ^ (value >>> 16);
  };
  const pool = words.slice(0, 4).map(hashed);
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
  for (const word of words.slice(4))
    for (let to = 0; to < 4; to++) pool[to] = mixed(pool[to], hashed(word));
  let value = pool[0] ^ 0x8b51f9dd;
  value = Math.imul(value, Math.imul(0x8b51f9dd, 0x58f38ded));
  return (value ^ (value >>> 16)) >>> 0;
}

/** The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998). */
class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let k = 1; k < 624; k++) {
      const before = this.state[k - 1] ^ (this.state[k - 1] >>> 30);
      this.state[k] = Math.imul(1812433253, before) + k;
    }
    this.place = 624;
  }

  next() {
    if (this.place === 624) this.twist();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const state = this.state;
    for (let k = 0; k < 624; k++) {
      const y = (state[k] & 0x80000000) | (state[(k + 1) % 624] & 0x7fffffff);
      state[k] = state[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }
}

/** Standard normal noise of one image: each call of fill draws `size` fresh numbers, size at least 16. */
class ImageNoise {
  constructor(seed, number) {
    this.source = new MersenneTwister(imageSeed(seed, number));
  }

  fill(target) {
    const size = target.length;
    for (let k = 0; k < size; k++) target[k] = this.uniform();
    for (let k = 0; k + 16 <= size; k += 16) this.toNormal(target, k);
    if (size % 16) {
      for (let k = size - 16; k < size; k++) target[k] = this.uniform();
      this.toNormal(target, size - 16);
    }
  }

  uniform() {
    return (this.source.next() & 0xffffff) / 0x1000000;
  }

  toNormal(values, start) {
    for (let k = start; k < start + 8; k++) {
      const radius = Math.sqrt(-2 * Math.log(1 - values[k]));
      const angle = 2 * Math.PI * values[k + 8];
      values[k] = radius * Math.cos(angle);
      values[k + 8] = radius * Math.sin(angle);
    }
  }
}

/** Noise of a batch: `numbers.length` images of `size` values, each with its own source. */
function batchNoise(seed, numbers, size) {
  const sources = numbers.map((number) => new ImageNoise(seed, number));
  return () => {
    const noise = new Float32Array(sources.length * size);
    sources.forEach((source, k) => source.fill(noise.subarray(k * size, (k + 1) * size)));
    return noise;
  };
}

/** Noise between two images, for each weight w: ((1 - w) a + w b) / sqrt((1 - w)^2 + w^2). */
function mixedNoise(seed, endSeed, weights, size) {
  const start = batchNoise(seed, [0], size);
  const end = BigInt(seed) === BigInt(endSeed) ? null : batchNoise(endSeed, [0], size);
  return () => {
    const a = start();
    const b = end ? end() : a;
    const noise = new Float32Array(weights.length * size);
    weights.forEach((w, k) => {
      const norm = end ? Math.hypot(1 - w, w) : 1;
      for (let i = 0; i < size; i++) noise[k * size + i] = ((1 - w) * a[i] + w * b[i]) / norm;
    });
    return noise;
  };
}
