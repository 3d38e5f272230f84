// The engine that asks the server: jobs go through its queue, and a job that is stopped stops computing.
"use strict";

const API = "gradio_api/";
const JOBS = { generate: 0, opinions: 1, film: 2 };  // in the order in which the server declares them

function post(path, content, signal) {
  const headers = { "content-type": "application/json" };
  return fetch(API + path, { method: "POST", headers, body: JSON.stringify(content), signal });
}

/** Events of the server, each a JSON text after "data: ". */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}

/** What to say where there is no answer at all. */
const unreachable = () => new Error("The server cannot be reached: is the studio still running?");

/** Run a job of the server; null if it was stopped. */
async function job(name, request, { progress = () => {}, waiting = () => {}, signal } = {}) {
  const session = crypto.randomUUID?.() ?? Math.random().toString(36).slice(2);
  const content = {
    data: [JSON.stringify(request)],
    fn_index: JOBS[name],
    session_hash: session,
    simple_format: true,
  };
  try {
    const joined = await post("queue/join", content, signal);
    if (joined.status === 503) throw new Error("Too many people are drawing. Try again in a moment.");
    if (joined.status === 413) throw new Error("This request is too large.");
    if (!joined.ok) throw new Error(`The server answered ${joined.status}.`);
    const { event_id } = await joined.json();
    // Closing this connection is what stops the job.
    const answers = await fetch(`${API}queue/data?session_hash=${session}`, { signal });
    for await (const event of events(answers)) {
      if (event.event_id && event.event_id !== event_id) continue;
      if (event.msg === "estimation" && event.rank > 0) waiting(event.rank);
      if (event.msg === "process_generating" && event.success) {
        const part = JSON.parse(event.output.data[0]);
        if ("progress" in part) progress(part.progress);
        else return part;
      }
      if (event.msg === "process_completed" && !event.success) {
        throw new Error(event.output.error ?? "The server could not do this.");
      }
      if (event.msg === "unexpected_error") throw new Error(event.message);
    }
    throw new Error("The server has gone away.");
  } catch (error) {
    if (signal?.aborted) return null;
    throw error instanceof TypeError ? unreachable() : error;
  }
}

class ServerEngine {
  static async open() {
    const engine = new ServerEngine();
    const response = await fetch("models.json").catch(() => {
      throw unreachable();
    });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    Object.assign(engine, await response.json());
    return engine;
  }

  async run(request, { progress, waiting, signal }) {
    const answer = await job("generate", this.packed(request), { progress, waiting, signal });
    if (!answer) return null;
    const size = sizeOf(answer.shape) * answer.count;
    const moments = (text) => {
      const bytes = fromBase64(text);
      return Array.from({ length: bytes.length / size }, (_, k) => bytes.subarray(k * size, (k + 1) * size));
    };
    const x = moments(answer.x);
    return new Film(answer.shape, answer.count, answer.t, x, answer.x0 ? moments(answer.x0) : x, answer.row);
  }

  packed(request) {
    const packed = { ...request };
    for (const name of ["image", "mask"]) if (request[name]) packed[name] = toBase64(request[name]);
    return packed;
  }

  /** What classifiers think of images, and their nearest training images. */
  async judge(model, film, labels, signal) {
    const images = toBase64(film.x.at(-1));
    return job("opinions", { model, images, labels }, { signal });
  }

  /** A film as a file. */
  async film(request, format, show) {
    const answer = await job("film", { ...this.packed(request), format, show });
    return new Blob([fromBase64(answer.file)], { type: answer.type });
  }
}

const openEngine = ServerEngine.open;
