/**
 * The decoder: bytes to pixels.
 *
 * x_hat <- crop <- synthesis <- x inverse gain <- + offset <- symbols
 *
 * This module knows neither TensorFlow.js nor a worker, so that it runs
 * anywhere.
 */

import {latentShape, openBody, openHeader} from './container.js';
import {BitstreamError, ForeignModelError, LimitError} from './errors.js';
import {Model} from './model.js';
import {RangeCoder} from './range_coder.js';

/** Decodes the files of one model. */
export class Codec {
  constructor(model, coder, loadSynthesis) {
    this.model = model;
    this.coder = coder;
    this.loadSynthesis = loadSynthesis;
  }

  /**
   * @param {ReadFile} readFile Reads files of the site's model.
   * @param {function(number, Model): Promise<Synthesis>} loadSynthesis Called
   *     with a pair of transforms once a file of it turned out to be sound.
   * @return {Promise<Codec>}
   * @throws {ModelError}
   */
  static async load(readFile, loadSynthesis) {
    const model = await Model.load(readFile);
    const coder = new RangeCoder(await model.rangeCoder());
    return new Codec(model, coder, loadSynthesis);
  }

  /**
   * Checks a file and finds what decoding it needs.
   *
   * @param {Uint8Array} data
   * @param {number} [maxPixels] Images of more are refused.
   * @return {Promise<Object>} header, tables, boxes, lengths and streams.
   * @throws {BitstreamError|ForeignModelError|LimitError|ModelError}
   */
  async open(data, maxPixels = this.model.manifest.max_pixels) {
    const {manifest} = this.model;
    const header = openHeader(data, this.coder);
    if (header.modelId !== manifest.model_id) {
      throw new ForeignModelError(
          `the file was written with model ${header.modelId}, this is model ` +
          manifest.model_id);
    }
    if (header.qualityIndex >= manifest.tables.length) {
      throw new BitstreamError('the file has a quality the model lacks');
    }
    if (header.height * header.width > maxPixels) {
      throw new LimitError(
          `the image has ${header.width} x ${header.height} pixels, the limit` +
          ` is ${maxPixels}`);
    }
    const tables = await this.model.tables(header.qualityIndex);
    const {h, w} = latentShape(header);
    const positions = h * w;
    const lanes = Math.ceil(positions / tables.lanePositions);
    const body = openBody(data, lanes);
    checkLengths(body.lengths, positions, tables);
    return {header, tables, positions, ...body};
  }

  /**
   * Says what a file is, without decoding it.
   *
   * @param {Uint8Array} data
   * @param {number} [maxPixels]
   * @return {Promise<Object>} version, height and width in pixels, quality,
   *     modelId, bpp (bits of the whole file per pixel), bytes, payloadBytes
   *     (of the lanes), lanes (their number) and boxes (the metadata).
   * @throws As `open`.
   */
  async info(data, maxPixels) {
    const {header, boxes, lengths, streams} = await this.open(data, maxPixels);
    const {version, height, width, qualityIndex, modelId} = header;
    return {
      version,
      height,
      width,
      quality: 1 + qualityIndex / this.model.manifest.quality_steps,
      modelId,
      bpp: 8 * data.length / (height * width),
      bytes: data.length,
      payloadBytes: streams.length,
      lanes: lengths.length,
      // Copies: a view would take the whole file along.
      boxes: boxes.map(({type, data: box}) => ({type, data: box.slice()})),
    };
  }

  /**
   * Decodes the symbols of a file, which are the same in every decoder.
   *
   * @param {Uint8Array} data
   * @return {Promise<{h: number, w: number, symbols: Int32Array}>} [h, w, C].
   * @throws As `open`.
   */
  async symbols(data) {
    const {header, tables, rows} = await this.rows(data);
    const {h, w} = latentShape(header);
    const channels = tables.minimum.length;
    const symbols = new Int32Array(h * w * channels);
    for (let p = 0; p < h * w; p++) {
      const position = symbols.subarray(p * channels, (p + 1) * channels);
      setSymbols(position, rows, p, tables);
    }
    return {h, w, symbols};
  }

  /**
   * Decodes an image.
   *
   * @param {Uint8Array} data
   * @param {number} [maxPixels]
   * @param {function(number): void} [onProgress] Told the share that is done.
   * @return {Promise<{width: number, height: number, data: Uint8ClampedArray}>}
   *     The data are RGBA, as `ImageData` takes them.
   * @throws As `open`.
   */
  async decode(data, maxPixels, onProgress) {
    const {header, tables, rows} = await this.rows(data, maxPixels);
    const {height, width} = header;
    const {pair} = this.model.manifest.tables[header.qualityIndex];
    const synthesis = await this.loadSynthesis(pair, this.model);
    const {channels} = synthesis;
    const pixels = await synthesis.image(
        header, (part) => latents(part, rows, header, tables, channels),
        onProgress);
    return {width, height, data: pixels};
  }

  async rows(data, maxPixels) {
    const {header, tables, positions, lengths, streams} =
        await this.open(data, maxPixels);
    const rows = this.coder.decode(streams, lengths, positions, tables);
    return {header, tables, rows};
  }
}

/** Refuses lanes that are longer than their positions can need. */
function checkLengths(lengths, positions, {lanePositions, live}) {
  lengths.forEach((length, lane) => {
    const left = positions - lane * lanePositions;
    const most = 2 * Math.min(lanePositions, left) * (1 + live.length) + 4;
    if (length > most) {
      throw new BitstreamError('a lane is longer than its symbols can need');
    }
  });
}

/** Sets the symbols [C] of a position. */
function setSymbols(symbols, rows, position, {minimum, live}) {
  symbols.set(minimum);
  // After the activity.
  let next = position * (1 + live.length) + 1;
  for (const channel of live) symbols[channel] += rows[next++];
}

/**
 * Computes the latents of a part of an image.
 *
 * Each pair of transforms has the first of the tables' channels, as many as it
 * was pruned to; in its tables the others are dead.
 *
 * @param {{top: number, left: number, h: number, w: number}} part A rectangle
 *     of positions.
 * @param {Uint16Array} rows [positions, 1 + L]
 * @param {Header} header
 * @param {Tables} tables
 * @param {number} channels Of the pair.
 * @return {Float32Array} [h, w, channels]
 */
function latents({top, left, h, w}, rows, header, tables, channels) {
  const {offset, inverseGain, minimum} = tables;
  const stride = latentShape(header).w;
  const symbols = new Int32Array(minimum.length);
  const result = new Float32Array(h * w * channels);
  let next = 0;
  for (let y = top; y < top + h; y++) {
    for (let x = left; x < left + w; x++) {
      setSymbols(symbols, rows, y * stride + x, tables);
      for (let c = 0; c < channels; c++) {
        // In 32 bits as in the library, so that both see the same latents.
        result[next++] = Math.fround(symbols[c] + offset[c]) * inverseGain[c];
      }
    }
  }
  return result;
}
