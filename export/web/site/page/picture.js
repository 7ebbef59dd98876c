/** Pixels, and the bitmaps by which they are drawn. */

import {UnreadableInputError} from '../decoder/errors.js';

/** Longest side of a bitmap: every graphics processor takes so much. */
const TILE_PIXELS = 4096;

/** An image that can be drawn and asked for its pixels. */
export class Picture {
  constructor({width, height, data}, tiles) {
    this.width = width;
    this.height = height;
    /** RGBA. */
    this.data = data;
    this.tiles = tiles;
  }

  /**
   * @param {{width: number, height: number, data: Uint8ClampedArray}} image
   * @return {Promise<Picture>}
   */
  static async of(image) {
    const {width, height, data} = image;
    const pixels = new ImageData(data, width, height);
    const tiles = [];
    for (let y = 0; y < height; y += TILE_PIXELS) {
      for (let x = 0; x < width; x += TILE_PIXELS) {
        const w = Math.min(TILE_PIXELS, width - x);
        const h = Math.min(TILE_PIXELS, height - y);
        const bitmap = await createImageBitmap(pixels, x, y, w, h);
        tiles.push({x, y, w, h, bitmap});
      }
    }
    return new Picture(image, tiles);
  }

  /**
   * The picture of a file of a format that the browser reads itself.
   *
   * @param {File} file
   * @return {Promise<Picture>}
   * @throws {UnreadableInputError}
   */
  static async read(file) {
    try {
      const bitmap = await createImageBitmap(file);
      const {width, height} = bitmap;
      const context = canvasOf(width, height).getContext('2d');
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      return await Picture.of(context.getImageData(0, 0, width, height));
    } catch {
      throw new UnreadableInputError(
          `${file.name} is not an image that this browser reads`);
    }
  }

  /** The red, green and blue of a pixel, or null outside. */
  pixelAt(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const at = 4 * (y * this.width + x);
    return Array.from(this.data.subarray(at, at + 3));
  }

  /** Whether the other picture has the same sides. */
  fits({width, height}) {
    return this.width === width && this.height === height;
  }

  /** Peak signal-to-noise ratio in dB, of a picture of the same size. */
  psnr(other) {
    let sum = 0;
    for (let i = 0; i < this.data.length; i++) {
      sum += (this.data[i] - other.data[i]) ** 2;
    }
    // Both are opaque: a fourth of the values are equal.
    const error = sum / (3 * this.width * this.height);
    return 10 * Math.log10(255 ** 2 / error);
  }

  /**
   * The picture as a PNG.
   *
   * @return {Promise<Blob>}
   * @throws {UnreadableInputError} where the browser has no such large canvas.
   */
  async png() {
    const canvas = canvasOf(this.width, this.height);
    const context = canvas.getContext('2d');
    context?.putImageData(
        new ImageData(this.data, this.width, this.height), 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    if (blob) return blob;
    throw new UnreadableInputError(
        'the image is too large for this browser to save');
  }

  /** Gives the memory of its bitmaps back. */
  close() {
    for (const {bitmap} of this.tiles) bitmap.close();
  }
}

function canvasOf(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
