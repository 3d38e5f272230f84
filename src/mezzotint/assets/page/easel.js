// The drawing area: an image in the model's own pixels, and a mask over it.
"use strict";

class Easel {
  /** canvas: its element; onchange: called after each stroke. */
  constructor(canvas, onchange) {
    this.canvas = canvas;
    this.onchange = onchange;
    this.masking = false;
    this.erasing = false;
    this.radius = 1.5;
    this.colour = [255, 255, 255];
    this.reshape([1, 28, 28]);
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => this.finish());
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.cursor = null;
      this.draw();
    });
  }

  /** Start afresh with images of another shape, unless it is the same. */
  reshape(shape) {
    if (this.shape && String(this.shape) === String(shape)) return;
    this.shape = shape;
    const [channels, height, width] = shape;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = new Uint8Array(channels * height * width);
    this.mask = new Uint8Array(height * width);
    this.cursor = null;
    this.last = null;
    this.draw();
  }

  clear() {
    (this.masking ? this.mask : this.image).fill(0);
    this.draw();
    this.onchange();
  }

  setImage(values) {
    this.image.set(values);
    this.mask.fill(0);
    this.draw();
    this.onchange();
  }

  /** Any picture, cut to the shape of the model's images. */
  load(picture) {
    const [channels, height, width] = this.shape;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const scale = Math.max(width / picture.width, height / picture.height);
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    const [wide, high] = [picture.width * scale, picture.height * scale];
    context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high);
    const pixels = context.getImageData(0, 0, width, height).data;
    const values = new Uint8Array(this.image.length);
    for (let i = 0; i < height * width; i++) {
      const [r, g, b] = pixels.subarray(4 * i, 4 * i + 3);
      if (channels === 1) values[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
      else [r, g, b].forEach((value, c) => (values[c * height * width + i] = value));
    }
    this.setImage(values);
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    this.last = this.place(event);
    this.dab(this.last);
    this.draw();
  }

  move(event) {
    if (!this.last) return;
    const place = this.place(event);
    const distance = Math.hypot(place[0] - this.last[0], place[1] - this.last[1]);
    const dabs = Math.max(1, Math.ceil(distance / 0.4));
    for (let k = 1; k <= dabs; k++) {
      this.dab(place.map((value, axis) => this.last[axis] + ((value - this.last[axis]) * k) / dabs));
    }
    this.last = place;
    this.draw();
  }

  finish() {
    if (!this.last) return;
    this.last = null;
    this.onchange();
  }

  key(event) {
    const strides = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [, height, width] = this.shape;
    this.cursor ??= [width / 2, height / 2];
    if (event.key in strides) {
      const [dx, dy] = strides[event.key];
      this.cursor = [
        Math.min(width - 0.5, Math.max(0.5, this.cursor[0] + dx)),
        Math.min(height - 0.5, Math.max(0.5, this.cursor[1] + dy)),
      ];
    } else if (event.key === " ") {
      this.dab(this.cursor);
      this.onchange();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.draw();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const [, height, width] = this.shape;
    return [
      ((event.clientX - box.left) / box.width) * width,
      ((event.clientY - box.top) / box.height) * height,
    ];
  }

  /** One touch of the brush, with a soft edge of one pixel. */
  dab([x, y]) {
    const [channels, height, width] = this.shape;
    const reach = this.radius + 1;
    for (let row = Math.max(0, Math.floor(y - reach)); row < Math.min(height, y + reach); row++) {
      for (let column = Math.max(0, Math.floor(x - reach)); column < Math.min(width, x + reach); column++) {
        const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const cover = Math.min(1, Math.max(0, this.radius + 0.5 - distance));
        const i = row * width + column;
        if (this.masking) {
          if (cover > 0.5) this.mask[i] = this.erasing ? 0 : 1;
          continue;
        }
        for (let c = 0; c < channels; c++) {
          const k = c * height * width + i;
          const ink = this.erasing ? 0 : this.colour[channels === 1 ? 0 : c];
          const painted = this.image[k] + cover * (ink - this.image[k]);
          const brighter = channels === 1 && !this.erasing ? Math.max(this.image[k], painted) : painted;
          this.image[k] = Math.round(brighter);
        }
      }
    }
  }

  draw() {
    paintImage(this.canvas, this.image, this.shape);
    const context = this.canvas.getContext("2d");
    const [, height, width] = this.shape;
    if (this.masking) {
      context.fillStyle = "rgb(240 90 40 / 75%)";
      this.mask.forEach((masked, i) => {
        if (masked) context.fillRect(i % width, Math.floor(i / width), 1, 1);
      });
    }
    if (this.cursor) {
      context.strokeStyle = "rgb(120 200 255)";
      context.lineWidth = 0.5;
      context.strokeRect(this.cursor[0] - 1, this.cursor[1] - 1, 2, 2);
    }
  }
}

/** Put an image (channels, height, width) of bytes on a canvas. */
function paintImage(canvas, values, [channels, height, width]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const area = height * width;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = values[channels === 1 ? i : c * area + i];
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}
