// The engine that runs models in this browser, by onnxruntime-web's WebAssembly on one thread.
"use strict";

/** Bytes of a part of the page: inlined and compressed, or a file beside it. */
async function bytesOf(name) {
  const inlined = document.getElementById(`file:${name}`);
  if (!inlined) {
    const response = await fetch(name);
    if (!response.ok) throw new Error(`${name} could not be loaded (${response.status}).`);
    return new Uint8Array(await response.arrayBuffer());
  }
  const packed = fromBase64(inlined.textContent.trim());
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The JSON that Mezzotint writes into the metadata of an ONNX file. */
function readMetadata(bytes) {
  const text = new TextDecoder();
  const number = (at) => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return [value, at];
    }
  };
  const strings = (from, to) => {
    const found = [];
    for (let at = from; at < to; ) {
      const [, start] = number(at);
      const [length, begin] = number(start);
      found.push(text.decode(bytes.subarray(begin, begin + length)));
      at = begin + length;
    }
    return found;
  };
  for (let at = 0; at < bytes.length; ) {
    const [tag, start] = number(at);
    const [value, begin] = number(start);
    const nested = (tag & 7) === 2;
    if (tag >> 3 === 14 && nested) {  // ModelProto.metadata_props
      const [key, content] = strings(begin, begin + value);
      if (key === "mezzotint") return JSON.parse(content);
    }
    at = nested ? begin + value : begin;
  }
  throw new Error("This ONNX file was not written by Mezzotint.");
}

class BrowserEngine {
  /** names: of the models' files, as a script of the page lists them. */
  static async open() {
    const engine = new BrowserEngine();
    const names = JSON.parse(document.getElementById("models").textContent);
    engine.files = {};
    engine.abouts = {};
    engine.sessions = {};
    engine.runtime = BrowserEngine.start();
    await Promise.all(
      names.map(async (file) => {
        const name = file.replace(/\.onnx$/, "");
        engine.files[name] = await bytesOf(file);
        engine.abouts[name] = readMetadata(engine.files[name]);
      }),
    );
    engine.models = names.map((file) => engine.describe(file.replace(/\.onnx$/, "")));
    engine.first = 1;  // code that runs for the first time is slow
    engine.formats = ["png"];
    engine.opinions = null;
    return engine;
  }

  static async start() {
    const [code, binary] = await Promise.all([
      bytesOf("ort.wasm.bundle.min.mjs"),
      document.getElementById("file:ort.wasm") && bytesOf("ort.wasm"),
    ]);
    const ort = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    ort.env.wasm.numThreads = 1;
    if (binary) ort.env.wasm.wasmBinary = binary.buffer;
    // By its address, it is compiled while it arrives.
    else ort.env.wasm.wasmPaths = { wasm: new URL("ort.wasm", document.baseURI).href };
    ort.env.logLevel = "error";
    return ort;
  }

  describe(name) {
    const about = this.abouts[name];
    const samplers = about.few_step ? ["consistency"] : ["dpm++", "ddim", "ddpm"];
    const sampler = samplers.includes(about.sampling.sampler) ? about.sampling.sampler : samplers[0];
    const steps = Object.keys(about.grids).map(Number).sort((a, b) => a - b);
    const fitting = steps.filter((n) => n <= (about.few_step ? 24 : 12));
    return {
      name,
      shape: about.shape,
      classes: about.classes,
      few_step: about.few_step,
      samplers,
      steps,
      fill_steps: fitting.at(-1) ?? steps[0],
      fill_method: about.few_step ? "replace" : "repaint",
      sampling: { ...about.sampling, sampler },
    };
  }

  async session(name) {
    const ort = await this.runtime;
    // A model of few steps asks its network so seldom that making the graph faster takes longer than it saves.
    const graphOptimizationLevel = this.abouts[name].few_step ? "disabled" : "basic";
    this.sessions[name] ??= ort.InferenceSession.create(this.files[name], { graphOptimizationLevel }).catch(
      (error) => {
        throw new Error(`The model cannot run in this browser; load the page again to try once more. ${error.message}`);
      },
    );
    return [ort, await this.sessions[name]];
  }

  /** A function that evaluates a model's network. */
  async network(name) {
    const [ort, session] = await this.session(name);
    const about = this.abouts[name];
    return async (x, timestep, weights, count) => {
      const feeds = {
        x: new ort.Tensor("float32", x, [count, ...about.shape]),
        timestep: new ort.Tensor("float32", timestep, [count]),
      };
      if (weights) feeds.labels = new ort.Tensor("float32", weights, [count, about.classes.length]);
      const { output } = await session.run(feeds);
      return output.data;
    };
  }

  /** All moments of a request; see `Film`. */
  async run(request, { progress, signal, noiseOf }) {
    const about = this.abouts[request.model];
    const run = await this.network(request.model);
    const moments = [];
    let shown = performance.now();
    for await (const step of stepsOf(about, run, request, noiseOf)) {
      if (signal.aborted) return null;
      moments.push({ t: step.t, x: step.x.map(toByte), x0: step.x0.map(toByte), exact: step.x });
      progress(moments.length / (request.steps + 1));
      if (performance.now() - shown > 30) {  // let the page draw and hear its buttons
        await new Promise((done) => setTimeout(done));
        shown = performance.now();
      }
    }
    const bytes = (values) => Uint8Array.from(values);
    if (request.task === "morph") {
      const frames = bytes(moments.at(-1).x);
      return new Film(about.shape, frames.length / sizeOf(about.shape), [0], [frames], [frames], true);
    }
    const count = moments[0].x.length / sizeOf(about.shape);
    const times = moments.map((moment) => moment.t);
    const film = new Film(
      about.shape,
      count,
      times,
      moments.map((moment) => bytes(moment.x)),
      moments.map((moment) => bytes(moment.x0)),
      false,
    );
    film.exact = moments.at(-1).exact;
    return film;
  }
}

const openEngine = BrowserEngine.open;
