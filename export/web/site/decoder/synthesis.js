/**
 * The synthesis transform on TensorFlow.js: latents to pixels.
 *
 * Each stage is an inverse GDN and a convolution that scales up, which is one
 * ordinary convolution for each phase of the output (all at once in the last
 * stage, whose phases have three channels). The export stores such kernels.
 *
 * A large image is made in tiles. A pixel depends on latents at most two
 * positions away, so a tile takes two more on each side where the image goes
 * on, and gives the same pixels as the whole.
 */

import {DOWNSAMPLING, latentShape} from './container.js';

/** Of the last stage. */
const STRIDE = 4;
const COLOURS = 3;
const MIDDLE = 127.5;
const RANGE = 255;

/** Positions along a tile's side; they bound the memory that is taken. */
const TILE_POSITIONS = 48;
/** Positions around a tile that its pixels depend on. */
const BORDER_POSITIONS = 2;

/** The synthesis of a pair of transforms, in TensorFlow.js's memory. */
export class Synthesis {
  /** Takes TensorFlow.js and the arrays {values, shape} of `weights`. */
  constructor(tf, weights) {
    this.tf = tf;
    const tensors = (start) =>
        Object.entries(weights).filter(([name]) => name.startsWith(start))
            .map(([, {values, shape}]) => tf.tensor(values, shape));
    this.stages = [0, 1, 2].map((stage) => ({
      gamma: tensors(`${stage}/gamma`)[0],
      beta: tensors(`${stage}/beta`)[0],
      bias: tensors(`${stage}/bias`)[0],
      kernels: tensors(`${stage}/kernel`),
    }));
    /** Channels of the latents. */
    this.channels = this.stages[0].beta.size;
  }

  /**
   * The RGBA pixels [height, width, 4] of an image. `latentsOf` gives the
   * latents [h, w, channels] of a rectangle {top, left, h, w} of positions.
   */
  async image(size, latentsOf, onProgress) {
    const {height, width} = size;
    const pixels = new Uint8ClampedArray(4 * height * width).fill(255);
    const tiles = [...tilesOf(latentShape(size))];
    for (const [i, {inner, outer}] of tiles.entries()) {
      const phases = await this.phases(latentsOf(outer), outer);
      putPixels(phases, inner, outer, pixels, size);
      onProgress((i + 1) / tiles.length);
    }
    return pixels;
  }

  /** Float32Array [4 h, 4 w, 4, 4, 3], about -0.5 to 0.5: the last phases. */
  async phases(latents, {h, w}) {
    const {tf} = this;
    const y = tf.tidy(() => {
      const input = tf.tensor(latents, [1, h, w, this.channels]);
      return this.stages.reduce(
          (y, stage) => tf.tidy(() => this.up(y, stage)), input);
    });
    const values = await y.data();
    y.dispose();
    return values;
  }

  up(y, {gamma, beta, bias, kernels}) {
    const {tf} = this;
    const pool = tf.fused.conv2d(
        {x: tf.square(y), filter: gamma, strides: 1, pad: 'valid', bias: beta});
    const x = tf.mul(y, tf.sqrt(pool));
    const phases = kernels.map((filter) => {
      const [rows, columns] = filter.shape;
      const pad = [[0, 0], [rows - 2, 1], [columns - 2, 1], [0, 0]];
      return tf.fused.conv2d({x, filter, strides: 1, pad, bias});
    });
    if (phases.length === 1) return phases[0];
    return tf.depthToSpace(tf.concat(phases, 3), 2, 'NHWC');
  }
}

/**
 * Yields the tiles of an image, each as two rectangles {top, left, h, w} of
 * positions: what the tile gives, and what it is made from.
 */
export function* tilesOf({h, w}) {
  for (let top = 0; top < h; top += TILE_POSITIONS) {
    for (let left = 0; left < w; left += TILE_POSITIONS) {
      const rectangle = (border) => {
        const outerTop = Math.max(top - border, 0);
        const outerLeft = Math.max(left - border, 0);
        return {
          top: outerTop,
          left: outerLeft,
          h: Math.min(top + TILE_POSITIONS + border, h) - outerTop,
          w: Math.min(left + TILE_POSITIONS + border, w) - outerLeft,
        };
      };
      yield {inner: rectangle(0), outer: rectangle(BORDER_POSITIONS)};
    }
  }
}

/** Rounds a tile's phases to bytes, each at its place in the image. */
function putPixels(phases, inner, outer, pixels, {height, width}) {
  const cellSize = STRIDE ** 2 * COLOURS;
  const cellsOfRow = outer.w * DOWNSAMPLING / STRIDE;
  const top = inner.top * DOWNSAMPLING;
  const left = inner.left * DOWNSAMPLING;
  const bottom = Math.min(top + inner.h * DOWNSAMPLING, height);
  const right = Math.min(left + inner.w * DOWNSAMPLING, width);
  for (let y = top; y < bottom; y++) {
    const row = y - outer.top * DOWNSAMPLING;
    for (let x = left; x < right; x++) {
      const column = x - outer.left * DOWNSAMPLING;
      const cell =
          ((row / STRIDE) | 0) * cellsOfRow + ((column / STRIDE) | 0);
      const phase = (row % STRIDE) * STRIDE + column % STRIDE;
      const from = cell * cellSize + phase * COLOURS;
      const to = 4 * (y * width + x);
      // The array rounds halves to even numbers, and clips.
      pixels[to] = RANGE * phases[from] + MIDDLE;
      pixels[to + 1] = RANGE * phases[from + 1] + MIDDLE;
      pixels[to + 2] = RANGE * phases[from + 2] + MIDDLE;
    }
  }
}
