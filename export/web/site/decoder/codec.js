/**
 * The decoder: bytes to pixels.
 *
 * x_hat <- crop <- synthesis <- x inverse gain <- + offset <- symbols
 *
 * This module knows neither the network nor a worker, so that it runs anywhere.
 */

import {latentShape, unpackBody, unpackHeader} from './container.js';
import {BitstreamError, ForeignModelError, LimitError} from './errors.js';
import {decodeLanes} from './range_decoder.js';

/** Decodes the files of one model. */
export class Codec {
  /**
   * @param {Model} model
   * @param {function(number): Promise<Synthesis>} loadSynthesis Asked for that
   *     of a pair of transforms when a file of it turned out to be sound.
   * @param {number} [maxPixels] Images of more are refused.
   */
  constructor(model, loadSynthesis, maxPixels = model.manifest.max_pixels) {
    this.model = model;
    this.loadSynthesis = loadSynthesis;
    this.maxPixels = maxPixels;
  }

  /**
   * Checks a file and finds what decoding it needs.
   *
   * @param {Uint8Array} data
   * @return {Promise<{header: Header, tables: QualityTables,
   *     lanes: Uint8Array[], boxes: Box[]}>}
   * @throws {BitstreamError|LimitError}
   */
  async unpack(data) {
    const {manifest} = this.model;
    if (data.length > this.model.maxFileBytes(this.maxPixels)) {
      throw new LimitError(
          `a file of ${data.length} bytes is over the limit of pixels`);
    }
    const header = unpackHeader(data);
    if (header.modelId !== manifest.model_id) {
      throw new ForeignModelError(
          `the file was written with model ${header.modelId}, this is model ` +
          manifest.model_id);
    }
    if (header.version !== manifest.format_version) {
      throw new BitstreamError(
          `the file has version ${header.version}, those of its model have ` +
          `version ${manifest.format_version}`);
    }
    if (header.qualityIndex >= this.model.numQualities) {
      throw new BitstreamError('the file has a quality the model lacks');
    }
    if (header.height * header.width > this.maxPixels) {
      throw new LimitError(
          `the image has ${header.width} x ${header.height} pixels, the limit` +
          ` is ${this.maxPixels}`);
    }
    const tables = await this.model.tables(header.qualityIndex);
    const {lanes, boxes} = unpackBody(data, header, tables.lanePositions);
    checkLongest(lanes, header, tables);
    return {header, tables, lanes, boxes};
  }

  /**
   * What a file says of itself, without decoding it.
   *
   * @param {Uint8Array} data
   * @return {Promise<Object>} Version, height and width in pixels, quality,
   *     modelId, bpp (bits of the whole file per pixel), bytes, payloadBytes
   *     (of the lanes), lanes (their number) and boxes, the metadata.
   * @throws As `unpack`.
   */
  async info(data) {
    const {header, lanes, boxes} = await this.unpack(data);
    const {version, height, width, qualityIndex, modelId} = header;
    return {
      version,
      height,
      width,
      quality: 1 + qualityIndex / this.model.manifest.quality_steps,
      modelId,
      bpp: 8 * data.length / (height * width),
      bytes: data.length,
      payloadBytes: lanes.reduce((sum, lane) => sum + lane.length, 0),
      lanes: lanes.length,
      // Copies: a view would take the whole file along.
      boxes: boxes.map(({type, data: box}) => ({type, data: box.slice()})),
    };
  }

  /**
   * The rounded latents of a file, the same in every decoder.
   *
   * @param {Uint8Array} data
   * @return {Promise<{h: number, w: number, symbols: Int32Array}>} [h, w, C].
   * @throws As `unpack`.
   */
  async symbols(data) {
    const {header, tables, lanes} = await this.unpack(data);
    const {h, w} = latentShape(header);
    const indices = decodeLanes(lanes, h * w, tables);
    const channels = tables.minimum.length;
    const symbols = new Int32Array(h * w * channels);
    for (let p = 0; p < h * w; p++) {
      const position = symbols.subarray(p * channels, (p + 1) * channels);
      tables.symbolsAt(indices, position, p);
    }
    return {h, w, symbols};
  }

  /**
   * Decodes an image.
   *
   * @param {Uint8Array} data
   * @param {function(number): void} [onProgress] Told the share that is done.
   * @return {Promise<{width: number, height: number, data: Uint8ClampedArray}>}
   *     The data are RGBA, as `ImageData` takes them.
   * @throws As `unpack`.
   */
  async decode(data, onProgress) {
    const {header, tables, lanes} = await this.unpack(data);
    const {height, width} = header;
    const {h, w} = latentShape(header);
    const indices = decodeLanes(lanes, h * w, tables);
    const synthesis =
        await this.loadSynthesis(this.model.pairOf(header.qualityIndex));
    const {channels} = synthesis;
    const pixels = await synthesis.image(
        header, (rectangle) => latents(indices, tables, w, rectangle, channels),
        onProgress);
    return {width, height, data: pixels};
  }
}

/** Refuses a lane that is longer than its positions can need. */
function checkLongest(lanes, header, tables) {
  const {h, w} = latentShape(header);
  const {lanePositions} = tables;
  lanes.forEach((lane, i) => {
    const positions = Math.min(lanePositions, h * w - i * lanePositions);
    if (lane.length > tables.maxLaneBytes(positions)) {
      throw new BitstreamError('a lane is longer than its symbols can need');
    }
  });
}

/**
 * The latents of a rectangle of positions.
 *
 * Of several pairs of transforms each has the first of the tables' channels, as
 * many as it was pruned to; its tables have one symbol for each of the others.
 *
 * @param {Int16Array} indices [positions, L]
 * @param {QualityTables} tables
 * @param {number} stride Positions of a row of the image.
 * @param {{top: number, left: number, h: number, w: number}} rectangle
 * @param {number} channels Of the pair.
 * @return {Float32Array} [h, w, channels]
 */
function latents(indices, tables, stride, {top, left, h, w}, channels) {
  const {offset, inverseGain, minimum} = tables;
  const symbols = new Int32Array(minimum.length);
  const result = new Float32Array(h * w * channels);
  let next = 0;
  for (let row = top; row < top + h; row++) {
    for (let column = left; column < left + w; column++) {
      tables.symbolsAt(indices, symbols, row * stride + column);
      for (let c = 0; c < channels; c++) {
        // In 32 bits as the library, so that both see the same latents.
        result[next++] = Math.fround(symbols[c] + offset[c]) * inverseGain[c];
      }
    }
  }
  return result;
}
