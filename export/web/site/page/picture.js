/** Pictures: pixels that can be drawn, looked up and compared. */

import {UnreadableInputError} from '../decoder/errors.js';

/** The longest side of a canvas that every graphics processor draws. */
const MAX_SIDE = 4096;

export class Picture {
  /** Takes RGBA samples. */
  constructor({width, height, data}) {
    this.width = width;
    this.height = height;
    this.data = data;
    this.isOpaque = true;
    for (let i = 3; i < data.length; i += 4) this.isOpaque &&= data[i] === 255;
    /** The canvases that make up the picture, and where each begins. */
    this.tiles = [];
    const pixels = new ImageData(data, width, height);
    for (let y = 0; y < height; y += MAX_SIDE) {
      for (let x = 0; x < width; x += MAX_SIDE) {
        const w = Math.min(MAX_SIDE, width - x);
        const h = Math.min(MAX_SIDE, height - y);
        const context = contextOf(w, h);
        context.putImageData(pixels, -x, -y);
        this.tiles.push({x, y, w, h, canvas: context.canvas});
      }
    }
  }

  /** Reads a file of a format that the browser knows. */
  static async read(file) {
    try {
      const bitmap = await createImageBitmap(file);
      const {width, height} = bitmap;
      const context = contextOf(width, height);
      context.drawImage(bitmap, 0, 0);
      return new Picture(context.getImageData(0, 0, width, height));
    } catch {
      throw new UnreadableInputError(
          `${file.name} is not an image that this browser reads`);
    }
  }

  /** The red, green and blue of a pixel, or null outside. */
  colourAt(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const start = 4 * (y * this.width + x);
    return [...this.data.subarray(start, start + 3)];
  }

  /** Peak signal-to-noise ratio in dB to one of the same size, on white. */
  psnr({data}) {
    const onWhite = (samples, i) =>
        255 + (samples[i] - 255) * samples[i | 3] / 255;
    let sum = 0;
    for (let i = 0; i < data.length; i++) {
      if (i % 4 < 3) sum += (onWhite(this.data, i) - onWhite(data, i)) ** 2;
    }
    return 10 * Math.log10(255 ** 2 * 3 * data.length / 4 / sum);
  }
}

function contextOf(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext('2d');
}
