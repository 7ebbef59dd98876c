/**
 * Shows a picture on a canvas: zoom, pan, and an original to its left.
 *
 * Lengths on the canvas are in pixels of the screen. The scale is how many of
 * them a pixel of the picture takes; `x` and `y` are where the picture's upper
 * left corner lies.
 */

const MAX_SCALE = 64;
/** The smallest scale, as a share of the one at which all is seen. */
const MIN_SHARE = 0.5;
/** From here on pixels are squares; below, some would be wider than others. */
const SHARP_SCALE = 2;
/** From here on the pixel that is pointed at has an outline. */
const OUTLINE_SCALE = 8;
const ZOOM_STEP = 1.4;
const WHEEL_SPEED = 0.002;
/** In pixels of CSS. */
const PAN_STEP = 60;
const GRAB_DISTANCE = 16;
const EVENTS = [
  'wheel', 'pointerdown', 'pointermove', 'pointerup', 'pointerleave',
  'dblclick', 'keydown',
];
const HANDLE = new Path2D('M14 0A14 14 0 1 1-14 0A14 14 0 1 1 14 0z');
const ARROWS = new Path2D('M-4-4L-8 0L-4 4M4-4L8 0L4 4');

export class Viewer {
  /** Calls `onPoint` with the pixel {x, y, colour} pointed at, or null. */
  constructor(canvas, onChange, onPoint) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.onChange = onChange;
    this.onPoint = onPoint;
    this.picture = null;
    this.original = null;
    this.pointed = null;
    this.split = 0.5;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    /** Whether all of the picture stays in view when the canvas changes. */
    this.fitted = true;
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    for (const type of EVENTS) {
      canvas.addEventListener(type, this, {passive: false});
    }
  }

  /** Shows all of a picture, or nothing. */
  show(picture) {
    this.picture = picture;
    this.original = null;
    this.pointed = null;
    this.canvas.classList.toggle('checkered', !(picture?.isOpaque ?? true));
    this.fit();
  }

  /** Shows an original of the same size left of the split, or none. */
  compareWith(original) {
    if (original !== this.original) this.split = 0.5;
    this.original = original;
    this.changed();
  }

  /** Moves the split, a share of the canvas. */
  setSplit(share) {
    this.split = Math.min(Math.max(share, 0), 1);
    this.changed();
  }

  get middle() {
    return {x: this.canvas.width / 2, y: this.canvas.height / 2};
  }

  /** The scale at which all is seen; a small picture is not blown up. */
  get fitScale() {
    const {canvas, picture} = this;
    if (!picture) return 1;
    const scales =
        [canvas.width / picture.width, canvas.height / picture.height];
    return Math.min(...scales, devicePixelRatio) || 1;
  }

  fit() {
    this.scale = this.fitScale;
    this.moveTo(0, 0);
    this.fitted = true;
  }

  zoomBy(steps) {
    this.zoomTo(this.scale * ZOOM_STEP ** steps);
  }

  /** Zooms to a scale; the place `at` stays where it is. */
  zoomTo(scale, at = this.middle) {
    const least = MIN_SHARE * this.fitScale;
    const next = Math.min(Math.max(scale, least), MAX_SCALE);
    const factor = next / this.scale;
    this.scale = next;
    this.moveTo(
        at.x - (at.x - this.x) * factor, at.y - (at.y - this.y) * factor);
  }

  panBy(x, y) {
    this.moveTo(this.x + x, this.y + y);
  }

  /** Moves the picture; a smaller one than the canvas stays in its middle. */
  moveTo(x, y) {
    const {canvas, picture, scale} = this;
    const inside = (start, space, length) => length <= space ?
        (space - length) / 2 :
        Math.min(Math.max(start, space - length), 0);
    this.x = inside(x, canvas.width, (picture?.width ?? 0) * scale);
    this.y = inside(y, canvas.height, (picture?.height ?? 0) * scale);
    this.fitted = false;
    this.changed();
  }

  resize() {
    const {canvas, middle} = this;
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (this.fitted) this.fit();
    else this.panBy(this.middle.x - middle.x, this.middle.y - middle.y);
  }

  changed() {
    this.onChange();
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const {canvas, context, picture, original} = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    context.imageSmoothingEnabled = this.scale < SHARP_SCALE;
    context.imageSmoothingQuality = 'high';
    const split = original ? Math.round(this.split * canvas.width) : 0;
    if (original) this.drawPicture(original, 0, split);
    this.drawPicture(picture, split, canvas.width);
    if (this.pointed && this.scale >= OUTLINE_SCALE) this.drawOutline();
    if (original) this.drawSplit(split);
  }

  /** Draws a picture between two columns of the canvas. */
  drawPicture({tiles}, left, right) {
    const {context} = this;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, this.canvas.height);
    context.clip();
    for (const {x, y, w, h, canvas} of tiles) {
      // Whole pixels of the screen, so that no seam is seen between tiles.
      const [x1, y1] = this.onCanvas(x, y);
      const [x2, y2] = this.onCanvas(x + w, y + h);
      context.drawImage(
          canvas, x1, y1, Math.max(x2 - x1, 1), Math.max(y2 - y1, 1));
    }
    context.restore();
  }

  /** Where on the canvas a pixel of the picture begins. */
  onCanvas(x, y) {
    const {scale} = this;
    return [Math.round(this.x + x * scale), Math.round(this.y + y * scale)];
  }

  drawOutline() {
    const {context, pointed} = this;
    const [left, top] = this.onCanvas(pointed.x, pointed.y);
    const side = Math.round(this.scale);
    for (const [colour, width] of [['rgb(0 0 0 / 60%)', 4], ['white', 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * devicePixelRatio;
      context.strokeRect(left, top, side, side);
    }
  }

  drawSplit(x) {
    const {canvas, context} = this;
    const middle = canvas.height / 2;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, x, middle);
    // Dark edges, so that the line is seen on white as well.
    context.fillStyle = 'rgb(0 0 0 / 30%)';
    context.fillRect(-2, -middle, 4, 2 * middle);
    context.fillStyle = 'white';
    context.fillRect(-1, -middle, 2, 2 * middle);
    context.strokeStyle = 'rgb(0 0 0 / 55%)';
    context.lineWidth = 1;
    context.fill(HANDLE);
    context.stroke(HANDLE);
    context.stroke(ARROWS);
    context.resetTransform();
  }

  handleEvent(event) {
    this[event.type](event);
  }

  /** Where on the canvas an event is. */
  at({clientX, clientY}) {
    const {left, top} = this.canvas.getBoundingClientRect();
    return {
      x: (clientX - left) * devicePixelRatio,
      y: (clientY - top) * devicePixelRatio,
    };
  }

  nearSplit({x}) {
    const distance = Math.abs(x - this.split * this.canvas.width);
    return this.original !== null &&
        distance < GRAB_DISTANCE * devicePixelRatio;
  }

  wheel(event) {
    event.preventDefault();
    // Pinching a touchpad comes as small steps with the control key.
    const speed = event.ctrlKey ? 5 * WHEEL_SPEED : WHEEL_SPEED;
    const factor = Math.exp(-event.deltaY * speed);
    this.zoomTo(this.scale * factor, this.at(event));
  }

  /** Zooms in on single pixels, or back out. */
  dblclick(event) {
    if (!this.fitted) this.fit();
    else this.zoomTo(Math.max(1, 4 * this.fitScale), this.at(event));
  }

  pointerdown(event) {
    const at = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    this.movesSplit = this.pointers.size === 1 && this.nearSplit(at);
  }

  pointermove(event) {
    const at = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) this.canvas.classList.toggle('split', this.nearSplit(at));
    else if (this.movesSplit) this.setSplit(at.x / this.canvas.width);
    else if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
    else this.panBy(at.x - before.x, at.y - before.y);
    if (before) this.pointers.set(event.pointerId, at);
    this.point(at);
  }

  pinch(id, before, at) {
    const [, other] = [...this.pointers].find(([otherId]) => otherId !== id);
    const distance = ({x, y}) => Math.hypot(x - other.x, y - other.y);
    this.panBy((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.zoomTo(
        this.scale * distance(at) / Math.max(distance(before), 1),
        {x: (at.x + other.x) / 2, y: (at.y + other.y) / 2});
  }

  pointerup({pointerId}) {
    this.pointers.delete(pointerId);
    this.movesSplit = false;
  }

  /** Comes when a mouse leaves, a finger is lifted, or a gesture ends. */
  pointerleave(event) {
    this.pointerup(event);
    this.point(null);
  }

  /** Notes the pixel at a place on the canvas. */
  point(at) {
    const {picture, original, pointed} = this;
    this.pointed = null;
    if (at && picture) {
      const x = Math.floor((at.x - this.x) / this.scale);
      const y = Math.floor((at.y - this.y) / this.scale);
      const isLeft = at.x < this.split * this.canvas.width;
      const colour = (original && isLeft ? original : picture).colourAt(x, y);
      if (colour) this.pointed = {x, y, colour};
    }
    this.onPoint(this.pointed);
    const {x, y} = this.pointed ?? {};
    const moved = x !== pointed?.x || y !== pointed?.y;
    if (moved && this.scale >= OUTLINE_SCALE) this.changed();
  }

  keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = PAN_STEP * devicePixelRatio;
    const action = {
      '+': () => this.zoomBy(1),
      '=': () => this.zoomBy(1),
      '-': () => this.zoomBy(-1),
      '0': () => this.fit(),
      '1': () => this.zoomTo(1),
      'ArrowLeft': () => this.panBy(step, 0),
      'ArrowRight': () => this.panBy(-step, 0),
      'ArrowUp': () => this.panBy(0, step),
      'ArrowDown': () => this.panBy(0, -step),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
