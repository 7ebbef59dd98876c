/**
 * The synthesis transform on TensorFlow.js: latents to pixels.
 *
 * Each stage is an inverse GDN and a convolution that scales up. As in
 * bls2017/model/frozen_transforms.py, such a convolution is one ordinary
 * convolution for each phase of the output, and the last stage's phases, whose
 * kernel holds the scale of the pixels, are put in place while they are rounded
 * to bytes.
 *
 * A large image is made in tiles. A pixel depends on latents at most two
 * positions away, so a tile takes two more on each side where the image goes
 * on, and gives the same pixels as the whole.
 */

import {DOWNSAMPLING, latentShape} from './container.js';

/** Strides of the stages, and the names of their inverse GDNs. */
const STAGES = [
  {stride: 2, normalization: 'synthesis/igdn_in', name: 'synthesis/0'},
  {stride: 2, normalization: 'synthesis/0/igdn', name: 'synthesis/1'},
  {stride: 4, normalization: 'synthesis/1/igdn', name: 'synthesis/2'},
];
const LAST = STAGES.length - 1;
const MIDDLE = 127.5;
const RANGE = 255;
const COLOURS = 3;
const OPAQUE = 255;

/** Positions along a tile's side; they bound the memory that is taken. */
const TILE_POSITIONS = 48;
/** Positions around a tile that its pixels depend on. */
const BORDER_POSITIONS = 2;

/** A pair's synthesis, its weights in TensorFlow.js's memory. */
export class Synthesis {
  /**
   * @param {Object} tf TensorFlow.js, its backend ready.
   * @param {Object<string, {values: Float32Array, shape: number[]}>} weights
   */
  constructor(tf, weights) {
    this.tf = tf;
    /** Channels of the latents. */
    this.channels = weights[`${STAGES[0].normalization}/beta`].values.length;
    this.stages = STAGES.map((stage, i) => {
      const {values: gamma, shape} = weights[`${stage.normalization}/gamma`];
      return {
        stride: stage.stride,
        gamma: tf.tensor(gamma, [1, 1, ...shape], 'float32'),
        beta: tf.tensor1d(weights[`${stage.normalization}/beta`].values),
        convolutions: this.convolutions(
            weights[`${stage.name}/kernel`], weights[`${stage.name}/bias`],
            stage.stride, i === LAST),
      };
    });
  }

  /** The convolutions of a stage, those of its first phase first. */
  convolutions(kernel, bias, stride, last) {
    const phases = [];
    for (let row = 0; row < stride; row++) {
      for (let column = 0; column < stride; column++) {
        phases.push({row, column});
      }
    }
    if (!last) {
      return phases.map(
          (phase) => this.convolution(kernel, bias.values, stride, [phase]));
    }
    // All phases of the last stage at once: they have three channels each.
    const scaled = {
      values: kernel.values.map((x) => x * RANGE),
      shape: kernel.shape,
    };
    const biases = phases.flatMap(
        () => Array.from(bias.values, (x) => x * RANGE + MIDDLE));
    return [this.convolution(scaled, biases, stride, phases)];
  }

  convolution(kernel, bias, stride, phases) {
    const {tf} = this;
    const {values, shape, padding} = phaseKernel(kernel, stride, phases);
    return {
      filter: tf.tensor(values, shape, 'float32'),
      bias: tf.tensor1d(bias),
      padding: [[0, 0], ...padding, [0, 0]],
    };
  }

  /**
   * Makes an image.
   *
   * @param {{height: number, width: number}} size Of the image in pixels.
   * @param {function(Object): Float32Array} latentsOf Gives the latents of a
   *     rectangle {top, left, h, w} of positions, [h, w, channels].
   * @param {function(number): void} onProgress Told the share that is done.
   * @return {Promise<Uint8ClampedArray>} RGBA, [height, width, 4].
   */
  async image(size, latentsOf, onProgress = () => {}) {
    const shape = latentShape(size);
    const length = 4 * size.height * size.width;
    const pixels = new Uint8ClampedArray(length).fill(OPAQUE);
    const tiles = [...tilesOf(shape)];
    for (const [i, tile] of tiles.entries()) {
      const {outer} = tile;
      const phases = await this.phases(latentsOf(outer), [outer.h, outer.w]);
      putPixels(phases, tile, pixels, size);
      onProgress((i + 1) / tiles.length);
    }
    return pixels;
  }

  /** Float32Array [4 h, 4 w, 4, 4, 3], about 0 to 255: the last phases. */
  async phases(latents, [h, w]) {
    const {tf, channels} = this;
    let y = tf.tensor(latents, [1, h, w, channels], 'float32');
    for (const [i, stage] of this.stages.entries()) {
      const input = y;
      y = tf.tidy(() => {
        const parts = this.stageOutputs(input, stage);
        if (i === LAST) return parts[0];
        return tf.depthToSpace(tf.concat(parts, 3), stage.stride, 'NHWC');
      });
      input.dispose();
    }
    const values = await y.data();
    y.dispose();
    return values;
  }

  stageOutputs(y, {gamma, beta, convolutions}) {
    const {tf} = this;
    const pool = tf.fused.conv2d(
        {x: tf.square(y), filter: gamma, strides: 1, pad: 'valid', bias: beta});
    const x = tf.mul(y, tf.sqrt(pool));
    return convolutions.map(
        ({filter, bias, padding}) => tf.fused.conv2d(
            {x, filter, strides: 1, pad: padding, bias}));
  }
}

/**
 * The kernel of some phases of an upsampling convolution.
 *
 * Tap t of the kernel adds input i to output stride * i + t - floor(k / 2).
 *
 * @param {{values: Float32Array, shape: number[]}} kernel [k, k, in, out]
 * @param {number} stride By which it scales up.
 * @param {{row: number, column: number}[]} phases Of the output.
 * @return {{values: Float32Array, shape: number[], padding: number[][]}} The
 *     kernel [rows, columns, in, phases * out] and the zeros around its input.
 */
function phaseKernel({values, shape}, stride, phases) {
  const [support, , channelsIn, channelsOut] = shape;
  const half = support >> 1;
  const rows = reach(phases.map((phase) => phase.row), half, stride);
  const columns = reach(phases.map((phase) => phase.column), half, stride);
  const depth = phases.length * channelsOut;
  const result =
      new Float32Array(rows.count * columns.count * channelsIn * depth);
  const copyTap = (row, column, u, v, j) => {
    for (let i = 0; i < channelsIn; i++) {
      const from = ((row * support + column) * channelsIn + i) * channelsOut;
      const to = ((u * columns.count + v) * channelsIn + i) * depth;
      result.set(
          values.subarray(from, from + channelsOut), to + j * channelsOut);
    }
  };
  for (let u = 0; u < rows.count; u++) {
    for (let v = 0; v < columns.count; v++) {
      phases.forEach((phase, j) => {
        // Input i + u - rows.before adds to output stride * i + phase.
        const row = phase.row - (u - rows.before) * stride + half;
        const column = phase.column - (v - columns.before) * stride + half;
        const inside =
            row >= 0 && row < support && column >= 0 && column < support;
        if (inside) copyTap(row, column, u, v, j);
      });
    }
  }
  return {
    values: result,
    shape: [rows.count, columns.count, channelsIn, depth],
    padding: [[rows.before, rows.after], [columns.before, columns.after]],
  };
}

/** How many inputs before and after its own these phases depend on. */
function reach(phases, half, stride) {
  const before = Math.max(
      ...phases.map((phase) => Math.floor((half - phase) / stride)));
  const after = Math.max(
      ...phases.map((phase) => Math.floor((half + phase) / stride)));
  return {before, after, count: before + 1 + after};
}

/**
 * The tiles of an image.
 *
 * @yields {{inner: Object, outer: Object}} Rectangles {top, left, h, w} of
 *     positions: what the tile gives, and what it is made from.
 */
export function* tilesOf({h, w}) {
  for (let top = 0; top < h; top += TILE_POSITIONS) {
    for (let left = 0; left < w; left += TILE_POSITIONS) {
      const bottom = Math.min(top + TILE_POSITIONS, h);
      const right = Math.min(left + TILE_POSITIONS, w);
      const outerTop = Math.max(top - BORDER_POSITIONS, 0);
      const outerLeft = Math.max(left - BORDER_POSITIONS, 0);
      yield {
        inner: {top, left, h: bottom - top, w: right - left},
        outer: {
          top: outerTop,
          left: outerLeft,
          h: Math.min(bottom + BORDER_POSITIONS, h) - outerTop,
          w: Math.min(right + BORDER_POSITIONS, w) - outerLeft,
        },
      };
    }
  }
}

/** Rounds a tile's phases to bytes, each at its place in the image. */
function putPixels(phases, {inner, outer}, pixels, {height, width}) {
  const {stride} = STAGES[LAST];
  const depth = stride * stride * COLOURS;
  const columns = outer.w * DOWNSAMPLING / stride;
  const top = inner.top * DOWNSAMPLING;
  const left = inner.left * DOWNSAMPLING;
  const bottom = Math.min(top + inner.h * DOWNSAMPLING, height);
  const right = Math.min(left + inner.w * DOWNSAMPLING, width);
  for (let y = top; y < bottom; y++) {
    const row = y - outer.top * DOWNSAMPLING;
    for (let x = left; x < right; x++) {
      const column = x - outer.left * DOWNSAMPLING;
      const cell = ((row / stride) | 0) * columns + ((column / stride) | 0);
      const phase = (row % stride) * stride + column % stride;
      const from = cell * depth + phase * COLOURS;
      const to = 4 * (y * width + x);
      // Such an array rounds half to even and clips.
      pixels[to] = phases[from];
      pixels[to + 1] = phases[from + 1];
      pixels[to + 2] = phases[from + 2];
    }
  }
}
