// The samplers, as in mezzotint/samplers and mezzotint/editing; formulas and sources are there.
// Arrays hold a batch of images one after the other. A `mask` is 1 where pixels are repainted.
"use strict";

/** alpha and sigma at a time, from the knots of the model's schedule. */
function levelAt(knots, t) {
  const times = knots.t;
  let k = Math.min(Math.max(Math.floor(t * (times.length - 1) + 1e-9), 0), times.length - 2);
  const part = (t - times[k]) / (times[k + 1] - times[k]);
  const between = (values) => (1 - part) * values[k] + part * values[k + 1];
  return { alpha: between(knots.alpha), sigma: between(knots.sigma) };
}

/** What a network predicts: a x0 + b eps. */
const PARAMETRIZATIONS = {
  eps: () => [0, 1],
  x0: () => [1, 0],
  v: ({ alpha, sigma }) => [-sigma, alpha],
  flow: () => [-1, 1],
};

/** p * x + q * y, for each number. */
function combine(p, x, q, y) {
  const result = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) result[i] = p * x[i] + q * y[i];
  return result;
}

/** A function (x, t) -> x0: the network with guidance and clipping. `run` evaluates the network. */
function makeDenoiser(about, run, labels, options) {
  const count = labels.count;
  const none = labels.weights ? new Float32Array(labels.weights.length) : null;
  const predict = async (x, t, weights) => {
    const level = levelAt(about.knots, t);
    const [a, b] = PARAMETRIZATIONS[about.parametrization](level);
    const determinant = level.alpha * b - level.sigma * a;
    const timestep = new Float32Array(count).fill(t * about.timesteps);
    const output = await run(x, timestep, weights, count);
    return combine(b / determinant, x, -level.sigma / determinant, output);
  };
  return async (x, t) => {
    const [low, high] = about.sampling.interval;
    let x0 = await predict(x, t, labels.weights);
    if (labels.weights && labels.chosen && options.guidance !== 1 && t > low && t <= high) {
      const unconditional = await predict(x, t, none);
      x0 = combine(1 - options.guidance, unconditional, options.guidance, x0);
    }
    if (about.sampling.clip) x0.forEach((value, i) => (x0[i] = Math.min(1, Math.max(-1, value))));
    return x0;
  };
}

/** x_s by a draw from q(x_s | x_t, x0). */
function ancestral(x, x0, from, to, noise) {
  const ratio = from.alpha / to.alpha;
  const added = Math.max(from.sigma ** 2 - (ratio * to.sigma) ** 2, 0);
  const share = (to.sigma / from.sigma) ** 2;
  const mean = combine(ratio * share, x, (to.alpha * added) / from.sigma ** 2, x0);
  const deviation = Math.sqrt(added * share);
  return deviation > 0 ? combine(1, mean, deviation, noise()) : mean;
}

/** From noise to images: generators of {x, x0, t}, the last of which is the image at t = 0. */
const SAMPLERS = {
  async *consistency({ denoise, knots, x, grid, noise }) {
    for (let k = 0; k + 1 < grid.length; k++) {
      const x0 = await denoise(x, grid[k]);
      yield { x, x0, t: grid[k] };
      const level = levelAt(knots, grid[k + 1]);
      x = grid[k + 1] > 0 ? combine(level.alpha, x0, level.sigma, noise()) : x0;
    }
    yield { x, x0: x, t: 0 };
  },

  async *ddim({ denoise, knots, x, grid }) {
    for (let k = 0; k + 1 < grid.length; k++) {
      const x0 = await denoise(x, grid[k]);
      yield { x, x0, t: grid[k] };
      const from = levelAt(knots, grid[k]);
      const to = levelAt(knots, grid[k + 1]);
      const ratio = to.sigma / from.sigma;
      x = combine(ratio, x, to.alpha - from.alpha * ratio, x0);
    }
    yield { x, x0: x, t: 0 };
  },

  async *ddpm({ denoise, knots, x, grid, noise }) {
    for (let k = 0; k + 1 < grid.length; k++) {
      const x0 = await denoise(x, grid[k]);
      yield { x, x0, t: grid[k] };
      x = ancestral(x, x0, levelAt(knots, grid[k]), levelAt(knots, grid[k + 1]), noise);
    }
    yield { x, x0: x, t: 0 };
  },

  async *"dpm++"({ denoise, knots, x, grid }) {
    let last = null;
    let lastStride = NaN;
    for (let k = 0; k + 1 < grid.length; k++) {
      const x0 = await denoise(x, grid[k]);
      yield { x, x0, t: grid[k] };
      const from = levelAt(knots, grid[k]);
      const to = levelAt(knots, grid[k + 1]);
      const stride = Math.log(to.alpha / to.sigma) - Math.log(from.alpha / from.sigma);
      let d = x0;
      if (Number.isFinite(stride) && Number.isFinite(lastStride)) {
        const slope = stride / (2 * lastStride);
        d = combine(1 + slope, x0, -slope, last);
      }
      const ratio = to.sigma / from.sigma;
      x = combine(ratio, x, to.alpha - from.alpha * ratio, d);
      last = x0;
      lastStride = stride;
    }
    yield { x, x0: x, t: 0 };
  },

  /** RePaint with jumps of one step: `known` has the image and the mask. */
  async *repaint({ denoise, knots, x, grid, noise, known, repeats = 4 }) {
    for (let k = 0; k + 1 < grid.length; k++) {
      const from = levelAt(knots, grid[k]);
      const to = levelAt(knots, grid[k + 1]);
      for (let repeat = 0; repeat < repeats; repeat++) {
        if (repeat) {
          const ratio = from.alpha / to.alpha;
          const added = Math.max(from.sigma ** 2 - (ratio * to.sigma) ** 2, 0);
          x = combine(ratio, x, Math.sqrt(added), noise());
        }
        const x0 = await denoise(x, grid[k]);
        if (repeat === repeats - 1) yield { x, x0, t: grid[k] };
        const drawn = ancestral(x, x0, from, to, noise);
        const image = to.sigma > 0 ? combine(to.alpha, known.image, to.sigma, noise()) : known.image;
        x = paste(drawn, image, known.mask);
      }
    }
    yield { x, x0: x, t: 0 };
  },
};

/** Drawn pixels where the mask is 1, known ones elsewhere. */
function paste(drawn, image, mask) {
  return drawn.map((value, i) => (mask[i] ? value : image[i]));
}

/** The nearest whole number, and of two the even one, as Python rounds. */
function rounded(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

/** uint8 values in [-1, 1], and back, in 32 bits as in Python. */
const toFloat = (bytes) => Float32Array.from(bytes, (value) => Math.fround(value / 127.5) - 1);
const toByte = (value) =>
  Math.min(255, Math.max(0, rounded(Math.fround(Math.fround(value + 1) * 127.5))));

/** The labels of a request as rows of weights, one for each image. */
function labelWeights(about, labels) {
  const classes = about.classes.length;
  if (!classes) return { weights: null, chosen: false, count: labels.length };
  const weights = new Float32Array(labels.length * classes);
  labels.forEach((row, k) => {
    for (const [label, weight] of row) weights[k * classes + label] += weight;
  });
  return { weights, chosen: labels.some((row) => row.length > 0), count: labels.length };
}

/** Repeat an image or a mask of one image for a batch. */
function repeated(values, count) {
  const result = new values.constructor(values.length * count);
  for (let k = 0; k < count; k++) result.set(values, k * values.length);
  return result;
}

/**
 * All steps of a request.
 *
 * request: {task, labels, count, seed, steps, sampler, guidance, image, mask, strength, end, endSeed, frames}.
 * noiseOf, if given, stands in the place of the noise that the seed gives.
 */
async function* stepsOf(about, run, request, noiseOf) {
  const size = about.shape.reduce((product, side) => product * side, 1);
  let labels;
  let noise;
  if (request.task === "morph") {
    const weights = Array.from({ length: request.frames }, (_, k) => k / (request.frames - 1));
    labels = weights.map((w) => [[request.labels[0], 1 - w], [request.end, w]]);
    noise = mixedNoise(request.seed, request.endSeed, weights, size);
  } else {
    const chosen = request.labels.length ? request.labels : [null];
    labels = chosen.flatMap((label) => Array(request.count).fill(label === null ? [] : [[label, 1]]));
    noise = batchNoise(request.seed, labels.map((_, k) => k), size);
  }
  if (noiseOf) noise = noiseOf;
  const given = labelWeights(about, labels);
  const denoise = makeDenoiser(about, run, given, request);
  let grid = about.grids[request.steps];
  let x = noise();
  let walk = SAMPLERS[request.sampler];
  let known = null;
  let parts = { denoise, knots: about.knots, x, grid, noise };
  if (request.task === "edit" && request.strength < 1) {
    const image = repeated(toFloat(request.image), given.count);
    if (request.strength <= 0) {
      yield { x: image, x0: image, t: 0 };
      return;
    }
    grid = shortened(grid, request.strength, about);
    const level = levelAt(about.knots, grid[0]);
    parts = { ...parts, grid, x: combine(level.alpha, image, level.sigma, x) };
  }
  if (request.task === "inpaint" && request.mask.some((value) => !value)) {
    const channels = about.shape[0];
    const mask = repeated(repeated(request.mask, channels), given.count);
    known = { image: repeated(toFloat(request.image), given.count), mask };
    const pasted = async (x_t, t) => paste(await denoise(x_t, t), known.image, mask);
    walk = about.few_step ? SAMPLERS.consistency : SAMPLERS.repaint;
    parts = { ...parts, known, denoise: about.few_step ? pasted : denoise };
  }
  for await (const step of walk(parts)) {
    const exact = step.t === 0 && known ? paste(step.x, known.image, known.mask) : null;
    yield exact ? { x: exact, x0: exact, t: 0 } : step;
  }
}

/** A grid of as many steps between a time and 0; see mezzotint/editing/image_to_image.py. */
function shortened(grid, strength, about) {
  const times = grid.map((t) => t * strength);
  if (!about.discrete) return times;
  const T = about.timesteps;
  const n = grid.length - 1;
  const first = Math.max(1, rounded(strength * T));
  if (first < n) throw new Error(`A strength of ${strength} leaves fewer time steps than ${n}.`);
  let least = Infinity;
  const steps = times.slice(0, n).map((t, k) => {
    const step = Math.max(Math.min(rounded(t * T), first), n - k) + k;
    least = Math.min(least, step);
    return least - k;
  });
  return [...steps.map((step) => step / T), 0];
}
