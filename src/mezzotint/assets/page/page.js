// The page: a form on one side, pictures on the other, and an engine between them.
"use strict";

const EXPLANATIONS = {
  generate: "Choose classes and press the button. Then move the slider: on the left the noisy image, on the "
    + "right what the model expects it to become.",
  edit: "Draw something, choose what it is to become, and how free the model is.",
  inpaint: "Brush over what is to be drawn anew. All the rest stays exactly as it is.",
  morph: "From one picture to another: the noise and the class are mixed, not the images.",
  compare: "The same seed under two settings, side by side.",
};
const BUTTONS = { generate: "Generate", edit: "Turn it into that", inpaint: "Fill it in", morph: "Morph",
  compare: "Compare" };

const $ = (id) => document.getElementById(id);

class Page {
  constructor(engine) {
    this.engine = engine;
    this.task = "generate";
    this.chosen = new Set();
    this.stages = [];
    this.requests = [];
    this.easel = new Easel($("easel"), () => {});
    this.images = { edit: {}, inpaint: {} };  // by their shapes
    this.limitFields();
    this.fillModels();
    this.listen();
    this.useModel(engine.models[0].name);
    this.restore(fromLink(location.hash));
    $("about").textContent = engine.about ?? "The model runs in this browser. Nothing leaves it.";
  }

  get model() {
    return this.engine.models.find((model) => model.name === $("model").value);
  }

  limitFields() {
    for (const [name, [least, most]] of Object.entries(LIMITS)) {
      for (const id of [name, `other-${name}`]) if ($(id)) Object.assign($(id), { min: least, max: most });
    }
  }

  fillModels() {
    for (const id of ["model", "other-model"]) {
      $(id).replaceChildren(...this.engine.models.map(({ name }) => new Option(name)));
    }
  }

  /** Choose a model: its classes, its samplers, its steps. */
  useModel(name) {
    $("model").value = name;
    const model = this.model;
    $("classes").replaceChildren(...model.classes.map((word, k) => this.chip(word, k)));
    this.chosen = new Set(model.classes.length > 10 ? [0] : model.classes.keys());
    $("classes-field").disabled = !model.classes.length;
    for (const [id, place] of [["start", 3], ["end", 8]]) {
      $(id).replaceChildren(...model.classes.map((word, k) => new Option(word, k)));
      $(id).value = String(Math.min(place, Math.max(0, model.classes.length - 1)));
    }
    this.fillOptions("", model);
    this.useOther(name);
    this.keepImage();
    this.easel.reshape(model.shape);
    this.bringImage();
    $("colour").parentElement.hidden = model.shape[0] === 1;
    this.showChosen();
  }

  useOther(name) {
    $("other-model").value = name;
    this.fillOptions("other-", this.engine.models.find((model) => model.name === name));
  }

  fillOptions(prefix, model) {
    const { sampling } = model;
    $(`${prefix}steps`).replaceChildren(...model.steps.map((n) => new Option(n)));
    $(`${prefix}steps`).value = String(this.task === "inpaint" ? model.fill_steps : sampling.steps);
    $(`${prefix}sampler`).replaceChildren(...model.samplers.map((word) => new Option(word)));
    $(`${prefix}sampler`).value = sampling.sampler;
    $(`${prefix}guidance`).value = String(sampling.guidance);
    $(`${prefix}guidance`).disabled = !model.classes.length;
  }

  chip(word, label) {
    const chip = make("button", { type: "button", textContent: word });
    chip.dataset.label = label;
    chip.addEventListener("click", () => {
      if (this.task === "edit" || this.task === "inpaint") this.chosen = new Set([label]);
      else if (!this.chosen.delete(label)) this.chosen.add(label);
      this.showChosen();
    });
    return chip;
  }

  /** Choose so many classes, the first ones. */
  choose(number) {
    this.chosen = new Set([...this.chosen].slice(0, number));
    this.showChosen();
  }

  showChosen() {
    for (const chip of $("classes").children) {
      chip.setAttribute("aria-pressed", String(this.chosen.has(Number(chip.dataset.label))));
    }
  }

  /** Choose a task: its fields, and the easel if it needs one. */
  useTask(task) {
    this.keepImage();
    this.task = task;
    for (const tab of $("tabs").children) {
      const selected = tab.dataset.task === task;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    for (const element of document.querySelectorAll("[data-tasks]")) {
      element.hidden = !element.dataset.tasks.split(" ").includes(task);
    }
    $("colour").parentElement.hidden ||= this.model.shape[0] === 1;
    for (const element of document.querySelectorAll(".with-classes")) {
      element.hidden ||= !this.model.classes.length;
    }
    $("sampler").disabled = task === "inpaint" && this.model.fill_method.startsWith("repaint");
    $("explanation").textContent = EXPLANATIONS[task];
    $("run").textContent = BUTTONS[task];
    if ((task === "edit" || task === "inpaint") && this.chosen.size !== 1) {
      this.chosen = new Set(this.model.classes.length ? [Math.min(3, this.model.classes.length - 1)] : []);
    }
    this.showChosen();
    this.fillOptions("", this.model);
    this.easel.masking = task === "inpaint";
    this.easel.radius = task === "inpaint" ? 3 : 1.5;
    $("brush").value = String(this.easel.radius);
    if (!this.bringImage() && task === "inpaint" && this.stages.length && this.fits(this.stages[0].film)) {
      this.easel.image.set(this.stages[0].film.last(0));
    }
    this.easel.draw();
  }

  /** Whether the pictures of a film can be put on the easel. */
  fits(film) {
    return !film.row && String(film.shape) === String(this.model.shape);
  }

  keepImage() {
    if (!(this.task in this.images)) return;
    const { shape, image, mask } = this.easel;
    this.images[this.task][shape] = { image: image.slice(), mask: mask.slice() };
  }

  /** Put on the easel what was on it for this task and shape; whether there was anything. */
  bringImage() {
    const kept = this.images[this.task]?.[this.easel.shape];
    if (!kept) return false;
    this.easel.image.set(kept.image);
    this.easel.mask.set(kept.mask);
    this.easel.draw();
    return true;
  }

  /** What the form says, as texts. */
  settings() {
    const drawn = this.task === "edit" || this.task === "inpaint";
    return {
      task: this.task,
      model: $("model").value,
      labels: [...this.chosen].sort((a, b) => a - b),
      count: $("count").value,
      seed: $("seed").value,
      steps: $("steps").value,
      sampler: $("sampler").value,
      guidance: $("guidance").value,
      strength: this.task === "edit" ? $("strength").value : null,
      image: drawn ? this.easel.image.slice() : null,  // the visitor may draw on
      mask: this.task === "inpaint" ? this.easel.mask.slice() : null,
      start: this.task === "morph" ? $("start").value : null,
      end: this.task === "morph" ? $("end").value : null,
      frames: this.task === "morph" ? $("frames").value : null,
      endSeed: this.task === "morph" ? $("end-seed").value : null,
      ...(this.task === "compare" ? this.otherSettings() : {}),
    };
  }

  otherSettings() {
    return {
      otherModel: $("other-model").value,
      otherSteps: $("other-steps").value,
      otherSampler: $("other-sampler").value,
      otherGuidance: $("other-guidance").value,
    };
  }

  /** Put the settings of a link into the form. */
  restore(settings) {
    const known = (name) => this.engine.models.some((model) => model.name === name);
    if (Object.hasOwn(EXPLANATIONS, settings.task ?? "")) this.useTask(settings.task);
    if (known(settings.model)) this.useModel(settings.model);
    if (known(settings.otherModel)) this.useOther(settings.otherModel);
    const size = sizeOf(this.model.shape);
    if (settings.image?.length === size) {
      this.easel.image.set(settings.image);
      this.easel.mask.fill(0).set(settings.mask?.subarray(0, this.easel.mask.length) ?? []);
    }
    this.useTask(this.task);
    const fields = { count: "count", seed: "seed", steps: "steps", sampler: "sampler", guidance: "guidance",
      strength: "strength", start: "start", end: "end", frames: "frames", endSeed: "end-seed",
      otherSteps: "other-steps", otherSampler: "other-sampler", otherGuidance: "other-guidance" };
    for (const [name, id] of Object.entries(fields)) if (settings[name]) $(id).value = settings[name];
    if (settings.labels !== undefined) {
      const labels = settings.labels === "" ? [] : settings.labels.split(",").map(Number);
      this.chosen = new Set(labels.filter((label) => label >= 0 && label < this.model.classes.length));
      this.showChosen();
    }
    $("strength-value").textContent = $("strength").value;
  }

  listen() {
    for (const tab of $("tabs").children) {
      tab.addEventListener("click", () => this.useTask(tab.dataset.task));
    }
    $("tabs").addEventListener("keydown", (event) => this.changeTab(event));
    $("model").addEventListener("change", () => {
      this.useModel($("model").value);
      this.useTask(this.task);
    });
    $("other-model").addEventListener("change", () => this.useOther($("other-model").value));
    $("strength").addEventListener("input", () => ($("strength-value").textContent = $("strength").value));
    $("dice").addEventListener("click", () => {
      $("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
    });
    $("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    $("settings").noValidate = true;
    $("stop").addEventListener("click", () => this.stopper?.abort());
    $("time").addEventListener("input", () => {
      clearInterval(this.timer);
      this.show(Number($("time").value));
    });
    $("expected").addEventListener("change", () => this.show(Number($("time").value)));
    $("play").addEventListener("click", () => this.play());
    this.listenToTools();
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.addEventListener("click", () => this.copy($(button.dataset.copy)));
    }
    window.addEventListener("hashchange", () => this.restore(fromLink(location.hash)));
  }

  listenToTools() {
    $("brush").addEventListener("input", () => (this.easel.radius = Number($("brush").value)));
    $("clear").addEventListener("click", () => this.easel.clear());
    $("colour").addEventListener("input", () => {
      const digits = $("colour").value.slice(1);
      this.easel.colour = [0, 2, 4].map((place) => parseInt(digits.slice(place, place + 2), 16));
    });
    $("erase").addEventListener("click", () => {
      this.easel.erasing = !this.easel.erasing;
      $("erase").setAttribute("aria-pressed", String(this.easel.erasing));
    });
    $("upload").addEventListener("change", async () => {
      const [file] = $("upload").files;
      $("upload").value = "";
      if (!file) return;
      try {
        this.easel.load(await createImageBitmap(file));
        this.say("");
      } catch {
        this.fail(new Error(`${file.name} is not a picture that this browser can open.`));
      }
    });
    $("save-drawing").addEventListener("click", () => this.saveEasel("drawing", this.easel.image));
    $("save-both").addEventListener("click", async () => {
      await this.saveEasel("picture", this.easel.image);
      await this.saveEasel("mask", this.easel.mask.map((value) => 255 * value), 1);
    });
  }

  async saveEasel(name, values, channels = this.easel.shape[0]) {
    const canvas = make("canvas");
    paintImage(canvas, values, [channels, ...this.easel.shape.slice(1)]);
    offer(await new Promise((done) => canvas.toBlob(done, "image/png")), `${name}.png`);
  }

  changeTab(event) {
    const tabs = [...$("tabs").children];
    const stride = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!stride) return;
    const place = tabs.findIndex((tab) => tab.dataset.task === this.task);
    const next = tabs[(place + stride + tabs.length) % tabs.length];
    this.useTask(next.dataset.task);
    next.focus();
  }

  /** Check the form, and draw. */
  async run() {
    let requests;
    let settings;
    try {
      settings = this.settings();
      requests = this.requestsOf(settings);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.stopper?.abort();
    const stopper = new AbortController();
    this.stopper = stopper;
    this.busy(true);
    const began = performance.now();
    try {
      const films = [];
      for (const request of requests) {
        const film = await this.engine.run(request, {
          signal: stopper.signal,
          progress: (part) => ($("progress").value = (films.length + part) / requests.length),
          waiting: (rank) => this.say(`${rank} before you …`),
        });
        if (!film) break;
        films.push(film);
      }
      if (films.length < requests.length) this.say("Stopped.");
      else await this.present(films, requests, settings, performance.now() - began);
    } catch (error) {
      if (!stopper.signal.aborted) this.fail(error);
    } finally {
      if (this.stopper === stopper) this.busy(false);
    }
  }

  requestsOf(settings) {
    const task = settings.task === "compare" ? "generate" : settings.task;
    const first = checked({ ...settings, task }, this.engine.models);
    if (settings.task !== "compare") return [first];
    const other = {
      ...settings,
      task,
      model: settings.otherModel,
      steps: settings.otherSteps,
      sampler: settings.otherSampler,
      guidance: settings.otherGuidance,
    };
    return [first, checked(other, this.engine.models)];
  }

  async present(films, requests, settings, milliseconds) {
    this.requests = requests;
    this.stages = films.map((film, k) => {
      const actions = { mend: (image) => this.mend(image, requests[k].model) };
      const title = films.length > 1 ? this.titleOf(requests[k]) : "";
      return new Stage(title, film, this.namesOf(requests[k], film), actions);
    });
    $("stages").className = films.length > 1 ? "side-by-side" : "";
    $("stages").replaceChildren(...this.stages.map((stage) => stage.element));
    $("results").hidden = false;
    $("expected-label").hidden = films[0].row;
    $("time").max = String(Math.max(...films.map((film) => film.length)) - 1);
    this.describe(settings);
    const number = films.reduce((sum, film) => sum + film.count, 0);
    const pictures = number === 1 ? "1 picture" : `${number} pictures`;
    this.say(`${pictures} in ${(milliseconds / 1000).toFixed(2)} s.`);
    document.documentElement.dataset.milliseconds = milliseconds.toFixed(1);
    this.play();
    await this.judge();
  }

  titleOf(request) {
    return `${request.model}: ${request.steps} steps, ${request.sampler}, guidance ${request.guidance}`;
  }

  namesOf(request, film) {
    const { classes } = this.engine.models.find((model) => model.name === request.model);
    if (film.row) return [classes[request.labels[0]] ?? "one", classes[request.end] ?? "the other"];
    if (!request.labels.length) return Array(film.count).fill("picture");
    return request.labels.flatMap((label) => Array(request.count).fill(classes[label]));
  }

  /** Ask classifiers what they think, if the engine has some. */
  async judge() {
    if (!this.engine.opinions) return;
    for (const [k, stage] of this.stages.entries()) {
      if (stage.film.row || stage.film.count > this.engine.opinions.most) continue;
      const request = this.requests[k];
      const labels = request.labels.flatMap((label) => Array(request.count).fill(label));
      const answer = await this.engine.judge(request.model, stage.film, labels, this.stopper.signal);
      const { classes } = this.engine.models.find((model) => model.name === request.model);
      if (answer && this.stages[k] === stage) stage.caption(answer.opinions, classes);
    }
  }

  /** Say how to make the same: command, Python, link, files. */
  describe(settings) {
    const link = toLink(settings);
    history.replaceState(null, "", `#${link}`);
    $("link").value = location.href;
    const model = (request) => this.engine.models.find((one) => one.name === request.model);
    $("command").value = this.requests.map((request) => toCommand(request, model(request))).join("\n");
    $("python").value = this.requests.map((request) => toPython(request, model(request))).join("\n");
    const name = `${settings.task}-seed${settings.seed}`;
    $("downloads").replaceChildren(
      ...this.engine.formats.map((format) => {
        const button = make("button", { type: "button", textContent: `Save ${format.toUpperCase()}` });
        button.dataset.format = format;
        button.addEventListener("click", () => this.save(format, name));
        return button;
      }),
    );
  }

  async save(format, name) {
    try {
      if (format === "png") {
        const films = this.stages.map((stage) => stage.film);
        offer(await pngOf(films, Number($("time").value)), `${name}.png`);
        return;
      }
      const show = $("expected").checked ? "both" : "x";
      for (const [k, request] of this.requests.entries()) {
        const place = this.requests.length > 1 ? `-${k + 1}` : "";
        offer(await this.engine.film(request, format, show), `${name}${place}.${format}`);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** Put a picture on the easel, with the model that drew it. */
  mend(image, name) {
    if (this.model.name !== name) this.useModel(name);
    this.useTask("inpaint");
    this.easel.setImage(image);
    $("easel").focus();
    $("easel").scrollIntoView({ block: "center" });
  }

  show(moment) {
    $("time").value = String(moment);
    for (const stage of this.stages) stage.show(moment, $("expected").checked);
    const [{ film }] = this.stages;
    const k = Math.min(moment, film.length - 1);
    const value = film.row ? `frame ${k + 1} of ${film.count}` : `t = ${film.t[k].toFixed(3)}`;
    $("time-value").textContent = value;
  }

  /** Play from noise to image; a visitor who wants no motion sees the image at once. */
  play() {
    clearInterval(this.timer);
    const last = Number($("time").max);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.show(last);
      return;
    }
    let moment = 0;
    const stride = Math.max(30, Math.min(250, 1500 / (last + 1)));
    this.show(0);
    this.timer = setInterval(() => {
      moment += 1;
      if (moment > last) clearInterval(this.timer);
      else this.show(moment);
    }, stride);
  }

  async copy(area) {
    area.select();
    try {
      await navigator.clipboard.writeText(area.value);
      this.say("Copied.");
    } catch {
      this.say("Press Ctrl+C to copy what is marked.");
    }
  }

  busy(working) {
    $("stop").disabled = !working;
    $("progress").hidden = !working;
    $("progress").value = 0;
    $("settings").setAttribute("aria-busy", String(working));
    if (working) this.say("Drawing …");
  }

  say(words) {
    $("status").className = "";
    $("status").textContent = words;
  }

  fail(error) {
    $("status").className = "error";
    $("status").textContent = error.message || String(error);
  }
}

openEngine().then(
  (engine) => {
    const page = new Page(engine);
    if (!location.hash) page.choose(engine.first);
    document.documentElement.dataset.ready = "yes";
    window.mezzotint = page;  // for the console, and for tests
    page.run();
  },
  (error) => {
    const words = location.protocol === "file:"
      ? "A page of several files needs a web server: run `python -m http.server` in its folder. "
      : "";
    $("status").className = "error";
    $("status").textContent = `${words}${error.message}`;
  },
);
