/**
 * Shows a picture on a canvas: zoom, pan, and a second picture to its left.
 *
 * The scale is in pixels of the screen for a pixel of the picture; `x` and `y`
 * are where the picture's upper left corner lies, in pixels of the screen.
 */

const LARGEST_SCALE = 64;
/** The smallest scale as a share of the one at which all is seen. */
const SMALLEST_SHARE = 0.5;
/** From here on pixels are squares; below, some would be wider than others. */
const LEAST_SHARP_SCALE = 2;
/** From here on the pixel that is pointed at has an outline. */
const LEAST_OUTLINED_SCALE = 8;
const STEP = 1.4;
const WHEEL_SPEED = 0.002;
/** Screen pixels, in CSS's unit. */
const PAN_STEP = 60;
const GRAB_DISTANCE = 16;

/** A canvas that shows a picture. */
export class Viewer extends EventTarget {
  /** @param {HTMLCanvasElement} canvas It fills its place by CSS. */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.picture = null;
    this.original = null;
    this.split = 0.5;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    /** Whether the picture is kept in full view when the canvas changes. */
    this.fitted = true;
    this.pointers = new Map();
    /** The pixel that is pointed at, as listeners are told. */
    this.pointed = null;
    this.drawing = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener('wheel', (e) => this.wheel(e), {passive: false});
    canvas.addEventListener('pointerdown', (e) => this.pointerDown(e));
    canvas.addEventListener('pointermove', (e) => this.pointerMove(e));
    for (const type of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(type, (e) => this.pointerUp(e));
    }
    canvas.addEventListener('pointerleave', () => this.point(null));
    canvas.addEventListener('dblclick', (e) => this.toggle(this.at(e)));
    canvas.addEventListener('keydown', (e) => this.keyDown(e));
  }

  /** Shows a picture, or nothing, in full. */
  show(picture) {
    this.picture = picture;
    this.original = null;
    this.pointed = null;
    this.fit();
  }

  /** Shows an original of the same size left of the split; null ends it. */
  compareWith(original) {
    this.original = original;
    this.changed();
  }

  /** Moves the split; from 0 to 1, a share of the canvas. */
  setSplit(share) {
    this.split = Math.min(Math.max(share, 0), 1);
    this.changed();
  }

  /** The scale at which all of the picture is seen. */
  get fitScale() {
    const {canvas, picture} = this;
    if (!picture) return 1;
    const scale = Math.min(
        canvas.width / picture.width, canvas.height / picture.height);
    // A small picture is shown at its size in CSS, not blown up.
    return Math.min(scale, window.devicePixelRatio) || 1;
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.moveInside();
    this.changed();
  }

  /**
   * Zooms.
   *
   * @param {number} scale
   * @param {{x: number, y: number}} [at] Stays where it is; the middle of the
   *     canvas by default.
   */
  zoomTo(scale, at = this.middle) {
    const smallest = SMALLEST_SHARE * this.fitScale;
    const next = Math.min(Math.max(scale, smallest), LARGEST_SCALE);
    this.x = at.x - (at.x - this.x) * next / this.scale;
    this.y = at.y - (at.y - this.y) * next / this.scale;
    this.scale = next;
    this.fitted = false;
    this.moveInside();
    this.changed();
  }

  zoomIn() {
    this.zoomTo(this.scale * STEP);
  }

  zoomOut() {
    this.zoomTo(this.scale / STEP);
  }

  /** From all of the picture to single pixels, and back. */
  toggle(at) {
    if (this.fitted) {
      this.zoomTo(Math.max(1, 4 * this.fitScale), at);
    } else {
      this.fit();
    }
  }

  panBy(x, y) {
    this.x += x;
    this.y += y;
    this.fitted = false;
    this.moveInside();
    this.changed();
  }

  get middle() {
    return {x: this.canvas.width / 2, y: this.canvas.height / 2};
  }

  /** Centres a picture that is smaller than the canvas; keeps others in it. */
  moveInside() {
    const {canvas, picture, scale} = this;
    if (!picture) return;
    const inside = (offset, space, length) => length <= space ?
        (space - length) / 2 :
        Math.min(Math.max(offset, space - length), 0);
    this.x = inside(this.x, canvas.width, picture.width * scale);
    this.y = inside(this.y, canvas.height, picture.height * scale);
  }

  resize() {
    const {canvas} = this;
    const ratio = window.devicePixelRatio;
    const before = this.middle;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    if (this.fitted) {
      this.fit();
      return;
    }
    this.panBy(this.middle.x - before.x, this.middle.y - before.y);
  }

  /** Draws soon, and tells listeners. */
  changed() {
    this.dispatchEvent(new Event('change'));
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.draw();
    });
  }

  draw() {
    const {canvas, context, picture, original} = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    context.imageSmoothingEnabled = this.scale < LEAST_SHARP_SCALE;
    context.imageSmoothingQuality = 'high';
    if (!original) {
      this.drawTiles(picture);
      this.drawPointed();
      return;
    }
    const split = Math.round(this.split * canvas.width);
    this.drawClipped(original, 0, split);
    this.drawClipped(picture, split, canvas.width);
    this.drawPointed();
    this.drawSplit(split);
  }

  drawClipped(picture, left, right) {
    const {canvas, context} = this;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, canvas.height);
    context.clip();
    this.drawTiles(picture);
    context.restore();
  }

  drawTiles({tiles}) {
    const {scale} = this;
    for (const {x, y, w, h, bitmap} of tiles) {
      // Whole pixels of the screen, so that no seam is seen between tiles.
      const left = Math.round(this.x + x * scale);
      const top = Math.round(this.y + y * scale);
      const right = Math.round(this.x + (x + w) * scale);
      const bottom = Math.round(this.y + (y + h) * scale);
      this.context.drawImage(
          bitmap, left, top, Math.max(right - left, 1),
          Math.max(bottom - top, 1));
    }
  }

  /** An outline of the pixel that is pointed at, where pixels are large. */
  drawPointed() {
    const {context, picture, pointed, scale} = this;
    if (scale < LEAST_OUTLINED_SCALE || !pointed) return;
    if (!picture.pixelAt(pointed.x, pointed.y)) return;
    const left = Math.round(this.x + pointed.x * scale);
    const top = Math.round(this.y + pointed.y * scale);
    const side = Math.round(scale);
    const ratio = window.devicePixelRatio;
    const lines = [['rgb(0 0 0 / 60%)', 4 * ratio], ['white', 2 * ratio]];
    for (const [colour, width] of lines) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(left, top, side, side);
    }
  }

  drawSplit(x) {
    const {canvas, context} = this;
    const ratio = window.devicePixelRatio;
    const middle = canvas.height / 2;
    // Dark edges, so that the line is seen on white as well.
    context.fillStyle = 'rgb(0 0 0 / 30%)';
    context.fillRect(x - 2 * ratio, 0, 4 * ratio, canvas.height);
    context.fillStyle = 'white';
    context.strokeStyle = 'rgb(0 0 0 / 55%)';
    context.lineWidth = ratio;
    context.fillRect(x - ratio, 0, 2 * ratio, canvas.height);
    context.beginPath();
    context.arc(x, middle, 14 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(x + side * 4 * ratio, middle - 4 * ratio);
      context.lineTo(x + side * 8 * ratio, middle);
      context.lineTo(x + side * 4 * ratio, middle + 4 * ratio);
    }
    context.stroke();
  }

  /** Where an event is on the canvas, in pixels of the screen. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    return {
      x: (event.clientX - box.left) * ratio,
      y: (event.clientY - box.top) * ratio,
    };
  }

  nearSplit(at) {
    const distance = Math.abs(at.x - this.split * this.canvas.width);
    return this.original !== null &&
        distance < GRAB_DISTANCE * window.devicePixelRatio;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE;
    const delta = event.deltaY * (lines ? 20 : 1);
    // Pinching a touchpad comes as small steps with the control key.
    const speed = event.ctrlKey ? 5 * WHEEL_SPEED : WHEEL_SPEED;
    this.zoomTo(this.scale * Math.exp(-delta * speed), this.at(event));
  }

  pointerDown(event) {
    const at = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    this.movesSplit = this.pointers.size === 1 && this.nearSplit(at);
  }

  pointerMove(event) {
    const at = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.canvas.classList.toggle('split', this.nearSplit(at));
      this.point(at);
      return;
    }
    if (this.movesSplit) {
      this.setSplit(at.x / this.canvas.width);
    } else if (this.pointers.size === 2) {
      this.pinch(event.pointerId, before, at);
    } else {
      this.panBy(at.x - before.x, at.y - before.y);
    }
    this.pointers.set(event.pointerId, at);
    this.point(at);
  }

  pinch(moved, before, at) {
    const [, other] = [...this.pointers].find(([id]) => id !== moved);
    const distance = (a) => Math.hypot(a.x - other.x, a.y - other.y);
    const factor = distance(at) / Math.max(distance(before), 1);
    this.panBy((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.zoomTo(
        this.scale * factor,
        {x: (at.x + other.x) / 2, y: (at.y + other.y) / 2});
  }

  pointerUp(event) {
    this.pointers.delete(event.pointerId);
    this.movesSplit = false;
  }

  /** Tells listeners which pixel is pointed at. */
  point(at) {
    const {pointed} = this;
    const pixel = at && this.picture && {
      x: Math.floor((at.x - this.x) / this.scale),
      y: Math.floor((at.y - this.y) / this.scale),
      original: this.original !== null &&
          at.x < this.split * this.canvas.width,
    };
    this.pointed = pixel;
    this.dispatchEvent(new CustomEvent('point', {detail: pixel}));
    const moved = pixel?.x !== pointed?.x || pixel?.y !== pointed?.y;
    if (moved && this.scale >= LEAST_OUTLINED_SCALE) this.changed();
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = PAN_STEP * window.devicePixelRatio;
    const actions = {
      '+': () => this.zoomIn(),
      '=': () => this.zoomIn(),
      '-': () => this.zoomOut(),
      '0': () => this.fit(),
      '1': () => this.zoomTo(1),
      'ArrowLeft': () => this.panBy(step, 0),
      'ArrowRight': () => this.panBy(-step, 0),
      'ArrowUp': () => this.panBy(0, step),
      'ArrowDown': () => this.panBy(0, -step),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}
