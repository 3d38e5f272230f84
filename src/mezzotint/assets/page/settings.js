// What the visitor has chosen: read from the form, checked, written into a link, and as commands.
"use strict";

/** The least and the most of each number, as Python says them. */
const LIMITS = JSON.parse(document.getElementById("limits").textContent);
const MOST_SEED = BigInt(LIMITS.seed[1]);
const MOST_PICTURES = LIMITS.pictures[1];

/** The number in a field of the form. Throws an Error in words if it is none, or out of range. */
function numberOf(name, text, whole) {
  const [least, most] = LIMITS[name];
  const value = String(text).trim() === "" ? NaN : Number(text);
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    const kind = whole ? "a whole number" : "a number";
    throw new Error(`${name} must be ${kind} from ${least} to ${most}, not "${text}".`);
  }
  return value;
}

/** A seed, as text, since JavaScript's numbers are too short for it. */
function seedOf(text) {
  const word = String(text).trim();
  if (!/^\d{1,19}$/.test(word) || BigInt(word) > MOST_SEED) {
    throw new Error(`The seed must be a whole number from 0 to ${MOST_SEED}, not "${word}".`);
  }
  return BigInt(word).toString();
}

/** Check what is wanted against the model. Throws an Error in words. */
function checked(settings, models) {
  const model = models.find((one) => one.name === settings.model);
  if (!model) throw new Error(`There is no model "${settings.model}".`);
  const classes = model.classes.length;
  const morph = settings.task === "morph";
  const labels = morph ? [] : settings.labels.map(Number);
  if (labels.some((label) => !Number.isInteger(label) || label < 0 || label >= classes)) {
    throw new Error(
      classes ? `Classes of ${model.name} are numbered 0 to ${classes - 1}.` : `${model.name} knows no classes.`,
    );
  }
  if (classes && !labels.length && VERBS[settings.task] === "sample") {
    throw new Error("Choose at least one class.");
  }
  if (!model.samplers.includes(settings.sampler)) {
    throw new Error(`The model ${model.name} is not drawn with "${settings.sampler}".`);
  }
  const steps = Number(settings.steps);
  if (!model.steps.includes(steps)) {
    throw new Error(`steps must be one of ${model.steps.join(", ")}, not "${settings.steps}".`);
  }
  const request = {
    task: settings.task,
    model: model.name,
    labels,
    count: morph ? 1 : numberOf("count", settings.count, true),
    seed: seedOf(settings.seed),
    steps,
    sampler: settings.sampler,
    guidance: numberOf("guidance", settings.guidance, false),
  };
  if (Math.max(1, labels.length) * request.count > MOST_PICTURES) {
    throw new Error(`At most ${MOST_PICTURES} pictures are drawn at once.`);
  }
  if (settings.image && settings.image.length !== sizeOf(model.shape)) {
    throw new Error(`The picture has another size than those of ${model.name}: choose its model, or draw anew.`);
  }
  if (settings.task === "edit") {
    request.strength = numberOf("strength", settings.strength, false);
    request.image = settings.image;
  }
  if (settings.task === "inpaint") {
    request.image = settings.image;
    request.mask = settings.mask;
    if (!settings.mask.some((value) => value)) {
      throw new Error("Nothing is to be repainted: brush over a part of the picture first.");
    }
  }
  if (morph) {
    request.frames = numberOf("frames", settings.frames, true);
    request.endSeed = seedOf(settings.endSeed);
    request.end = classes ? Number(settings.end) : null;
    request.labels = classes ? [Number(settings.start)] : [];
    if (request.end === (request.labels[0] ?? null) && request.endSeed === request.seed) {
      throw new Error("Both ends are the same picture: choose another class or another seed.");
    }
  }
  return request;
}

/** Bytes as base64; in parts, since a function takes a limited number of arguments. */
function toBase64(bytes) {
  let letters = "";
  for (let k = 0; k < bytes.length; k += 8192) {
    letters += String.fromCharCode(...bytes.subarray(k, k + 8192));
  }
  return btoa(letters);
}

/** Bytes of base64. Some browsers have a fast way of their own. */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) bytes[k] = letters.charCodeAt(k);
  return bytes;
}

/** A mask as text: eight pixels to a byte. */
function packMask(mask) {
  const packed = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((value, i) => (packed[i >> 3] |= value ? 1 << (i & 7) : 0));
  return toBase64(packed);
}

function unpackMask(text, length) {
  const packed = fromBase64(text);
  return Uint8Array.from({ length }, (_, i) => (packed[i >> 3] >> (i & 7)) & 1);
}

/** All settings as the part of a link after #. */
function toLink(settings) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (value === null || value === undefined) continue;
    if (name === "image") words.set(name, toBase64(value));
    else if (name === "mask") words.set(name, packMask(value));
    else words.set(name, String(value));
  }
  return words.toString();
}

/** The settings of a link, as texts; images and masks as bytes. Wrong ones are left out. */
function fromLink(hash) {
  const settings = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  try {
    if (settings.image) {
      settings.image = fromBase64(settings.image);
      if (settings.mask) settings.mask = unpackMask(settings.mask, settings.image.length);
    } else {
      delete settings.mask;
    }
  } catch {
    delete settings.image;
    delete settings.mask;
  }
  return settings;
}

const VERBS = { generate: "sample", compare: "sample", edit: "edit", inpaint: "inpaint", morph: "morph" };

/** A word as a shell takes it. */
const quoted = (word) => (/^[\w.+:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Where Python finds a model. */
const placeOf = (model) => model.place ?? model.name;

/** The command line that makes the same pictures. */
function toCommand(request, model) {
  const named = request.labels.length || request.task === "edit" || request.task === "inpaint";
  if (!named && (model.classes.length || request.task === "morph")) return "# without a class: from Python only";
  const words = ["mezzotint", VERBS[request.task], quoted(placeOf(model))];
  if (request.task === "edit") words.push("drawing.png");
  if (request.task === "inpaint") words.push("picture.png", "mask.png");
  const all = request.labels.length === model.classes.length && VERBS[request.task] === "sample";
  if (!all || request.task === "morph") words.push(...request.labels.map((k) => quoted(model.classes[k])));
  if (request.task === "morph") {
    if (request.end !== null) words.push(quoted(model.classes[request.end]));
    words.push("--frames", request.frames, "--end-seed", request.endSeed);
  } else {
    words.push("--count", request.count);
  }
  if (request.task === "edit") words.push("--strength", request.strength);
  if (request.task === "inpaint") words.push("--method", model.fill_method);
  words.push("--seed", request.seed, "--steps", request.steps);
  if (!usesOwnSampler(request, model)) words.push("--sampler", request.sampler);
  if (model.classes.length) words.push("--guidance", request.guidance);
  return words.join(" ");
}

/** Whether the way of filling in has a sampler of its own. */
const usesOwnSampler = (request, model) =>
  request.task === "inpaint" && model.fill_method.startsWith("repaint");

/** Python that makes the same pictures. */
function toPython(request, model) {
  const options = [`seed=${request.seed}`, `steps=${request.steps}`];
  if (!usesOwnSampler(request, model)) options.push(`sampler="${request.sampler}"`);
  if (model.classes.length) options.push(`guidance=${request.guidance}`);
  const repeated = request.labels.flatMap((label) => Array(request.count).fill(label));
  const labels = repeated.length ? `[${repeated.join(", ")}]` : "None";
  if (!repeated.length && request.task !== "morph") options.unshift(`count=${request.count}`);
  const lines = ["import mezzotint", "", `model = mezzotint.load(${JSON.stringify(placeOf(model))})`];
  const [kind, order] = model.shape[0] === 1 ? ["L", "[None]"] : ["RGB", ".permute(2, 0, 1)"];
  const opened = (name, mode) => `torch.from_numpy(np.array(Image.open("${name}.png").convert("${mode}")))`;
  lines.splice(1, 0, ...(request.image ? ["import numpy as np", "import torch", "from PIL import Image"] : []));
  if (request.task === "morph") {
    const [start, end] = [request.labels[0] ?? "None", request.end ?? "None"];
    options.unshift(`frames=${request.frames}`, `end_seed=${request.endSeed}`);
    lines.push(`images = model.morph(${start}, ${end}, ${options.join(", ")})`);
  } else if (request.task === "edit") {
    lines.push(`drawing = ${opened("drawing", kind)}${order}`);
    lines.push(`images = model.edit(drawing, ${request.strength}, ${labels}, ${options.join(", ")})`);
  } else if (request.task === "inpaint") {
    lines.push(`picture = ${opened("picture", kind)}${order}`, `mask = ${opened("mask", "L")}`);
    options.unshift(`method="${model.fill_method}"`);
    lines.push(`images = model.inpaint(picture, mask, ${labels}, ${options.join(", ")})`);
  } else {
    lines.push(`images = model.sample(${labels}, ${options.join(", ")})`);
  }
  return lines.join("\n");
}
