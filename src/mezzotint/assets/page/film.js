// A denoising as it is shown: moments of noisy and of expected images, under one slider of time.
"use strict";

const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);

class Film {
  /**
   * shape: (channels, height, width); count: images of each moment; t: times; x, x0: bytes of each moment;
   * row: whether the images are the frames of a morph.
   */
  constructor(shape, count, t, x, x0, row) {
    Object.assign(this, { shape, count, t, x, x0, row });
  }

  get length() {
    return this.row ? this.count : this.t.length;
  }

  image(moment, k) {
    const size = sizeOf(this.shape);
    return moment.subarray(k * size, (k + 1) * size);
  }

  last(k) {
    return this.image(this.x.at(-1), k);
  }
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The pictures of one film, with their captions. */
class Stage {
  constructor(title, film, names, actions) {
    this.film = film;
    this.figures = [];
    this.element = make("div", { className: "stage" });
    if (title) this.element.append(make("h2", { textContent: title }));
    if (film.row) this.buildRow(names);
    else this.buildPictures(names, actions);
  }

  buildRow(names) {
    const screen = make("canvas", { role: "img" });
    screen.setAttribute("aria-label", `From ${names[0]} to ${names[1]}`);
    const strip = make("div", { className: "strip", tabIndex: 0, role: "group", ariaLabel: "All frames" });
    for (let k = 0; k < this.film.count; k++) {
      const frame = make("canvas");
      paintImage(frame, this.film.last(k), this.film.shape);
      strip.append(frame);
    }
    const figure = make("div", { className: "frames" }, screen);
    this.element.append(make("ul", { className: "pictures" }, make("li", {}, figure)), strip);
    this.figures.push({ screens: [screen] });
  }

  buildPictures(names, actions) {
    this.list = make("ul", { className: "pictures pairs" });
    for (let k = 0; k < this.film.count; k++) {
      const screens = ["noisy", "expected"].map((kind) => {
        const screen = make("canvas", { role: "img" });
        screen.setAttribute("aria-label", `${names[k]}, ${kind}`);
        return screen;
      });
      const caption = make("div", { className: "caption", textContent: names[k] });
      const use = make("button", { type: "button", textContent: "Mend this" });
      use.addEventListener("click", () => actions.mend(this.film.last(k)));
      const frames = make("div", { className: "frames" }, ...screens);
      this.list.append(make("li", {}, frames, caption, use));
      this.figures.push({ screens, caption });
    }
    this.element.append(this.list);
  }

  /** Show a moment. */
  show(moment, expected) {
    const film = this.film;
    if (film.row) {
      paintImage(this.figures[0].screens[0], film.last(Math.min(moment, film.count - 1)), film.shape);
      return;
    }
    const k = Math.min(moment, film.length - 1);
    this.list.classList.toggle("pairs", expected);
    this.figures.forEach(({ screens }, place) => {
      paintImage(screens[0], film.image(film.x[k], place), film.shape);
      screens[1].hidden = !expected;
      if (expected) paintImage(screens[1], film.image(film.x0[k], place), film.shape);
    });
  }

  /** Write opinions of classifiers under the pictures. */
  caption(opinions, classes) {
    opinions.forEach((opinion, k) => {
      const caption = this.figures[k]?.caption;
      if (!caption) return;
      for (const [who, label, share] of opinion.classes) {
        const percent = share === null ? "" : ` (${Math.round(100 * share)}%)`;
        const right = opinion.label === null || label === opinion.label;
        const line = make("div", {
          className: right ? "match" : "miss",
          textContent: `${who}: ${classes[label]}${percent}`,
        });
        caption.append(line);
      }
      if (opinion.nearest) {
        const tiny = make("canvas", { role: "img" });
        tiny.setAttribute("aria-label", "nearest training image");
        paintImage(tiny, fromBase64(opinion.nearest.image), this.film.shape);
        const words = `nearest training image, ${opinion.nearest.distance.toFixed(0)} grey levels away `;
        caption.append(make("div", { textContent: words }), tiny);
      }
    });
  }
}

/** All pictures of a moment as one PNG file, each pixel enlarged. */
function pngOf(films, moment, scale = 4, gap = 2) {
  const height = Math.max(...films.map((film) => film.shape[1]));
  const width = Math.max(...films.map((film) => film.shape[2]));
  const counts = films.map((film) => film.count);
  const columns = Math.min(10, Math.max(...counts));
  const rows = counts.map((count) => Math.ceil(count / columns));
  const canvas = make("canvas");
  canvas.width = (columns * (width + gap) + gap) * scale;
  canvas.height = (rows.reduce((sum, n) => sum + n, 0) * (height + gap) + gap) * scale;
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(96 96 96)";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  const tile = make("canvas");
  let top = 0;
  films.forEach((film, place) => {
    const k = film.row ? 0 : Math.min(moment, film.length - 1);
    for (let image = 0; image < film.count; image++) {
      paintImage(tile, film.image(film.x[k], image), film.shape);
      const x = gap + (image % columns) * (width + gap);
      const y = gap + (top + Math.floor(image / columns)) * (height + gap);
      context.drawImage(tile, x * scale, y * scale, tile.width * scale, tile.height * scale);
    }
    top += rows[place];
  });
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** A file for the visitor to keep. */
function offer(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
