/**
 * The decoder: bytes to pixels.
 *
 * x_hat <- crop <- synthesis <- x inverse gain <- + offset <- symbols
 *
 * This module runs anywhere: it knows neither TensorFlow.js nor a worker.
 */

import {openAlpha} from './alpha.js';
import {latentShape, openBody, openHeader} from './container.js';
import {check, ForeignModelError, LimitError} from './errors.js';
import {Model} from './model.js';
import {RangeCoder} from './range_coder.js';

/**
 * Decodes the files of one model. Its methods throw a BitstreamError,
 * ForeignModelError, LimitError or ModelError, as bls2017.js describes them.
 */
export class Codec {
  constructor(model, coder, loadSynthesis) {
    this.model = model;
    this.coder = coder;
    this.loadSynthesis = loadSynthesis;
  }

  /**
   * Loads the model of a site.
   *
   * @param {function(string, string=): Promise<Uint8Array>} readFile Reads a
   *     file by its name, relative to the model's folder, and integrity hash.
   * @param {function(number, Model): Promise<Synthesis>} loadSynthesis Called
   *     with a pair of transforms once a file of it turned out to be sound.
   * @return {Promise<Codec>}
   */
  static async load(readFile, loadSynthesis) {
    const model = await Model.load(readFile);
    const coder = new RangeCoder(await model.rangeCoder());
    return new Codec(model, coder, loadSynthesis);
  }

  /** Checks a file and finds what decoding it needs. */
  async open(data, maxPixels = this.model.manifest.max_pixels) {
    const {manifest} = this.model;
    const header = openHeader(data, this.coder);
    const {modelId, qualityIndex, height, width} = header;
    check(
        modelId === manifest.model_id,
        `the file was written with model ${modelId}, this is model ` +
            manifest.model_id,
        ForeignModelError);
    check(
        qualityIndex < manifest.tables.length,
        'the file has a quality the model lacks');
    check(
        height * width <= maxPixels,
        `the image has ${width} x ${height} pixels, the limit is ${maxPixels}`,
        LimitError);
    const tables = await this.model.tables(qualityIndex);
    const {lanePositions, live} = tables;
    const {h, w} = latentShape(header);
    const body = openBody(data, h * w, lanePositions);
    const {lengths} = body;
    const most =
        2 * mostPositions(h, w, lengths.length) * (1 + live.length) + 4;
    check(
        lengths.every((length) => length <= most),
        'a lane is longer than its symbols can need');
    const alpha = await openAlpha(body.boxes, header);
    return {header, tables, alpha, ...body};
  }

  /** `info` of bls2017.js. */
  async info(data, maxPixels) {
    const {header, boxes, lengths, streams} = await this.open(data, maxPixels);
    const {qualityIndex, ...sizesAndId} = header;
    return {
      ...sizesAndId,
      quality: 1 + qualityIndex / this.model.manifest.quality_steps,
      bpp: 8 * data.length / (header.height * header.width),
      bytes: data.length,
      payloadBytes: streams.length,
      lanes: lengths.length,
      // Copies: a view would take the whole file along.
      boxes: boxes.map(({type, data: box}) => ({type, data: box.slice()})),
    };
  }

  /** The symbols of all channels, [h, w, C], the same in every decoder. */
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

  /** `decode` of bls2017.js. */
  async decode(data, maxPixels, onProgress) {
    const {header, tables, alpha, rows} = await this.rows(data, maxPixels);
    const {height, width, qualityIndex} = header;
    const {pair} = this.model.manifest.tables[qualityIndex];
    const synthesis = await this.loadSynthesis(pair, this.model);
    const {w} = latentShape(header);
    const latentsOf = (rectangle) =>
        latents(rows, w, rectangle, tables, synthesis.channels);
    const pixels = await synthesis.image(header, latentsOf, onProgress);
    alpha?.forEach((value, i) => pixels[4 * i + 3] = value);
    return {width, height, data: pixels};
  }

  async rows(data, maxPixels) {
    const {header, tables, alpha, lengths, streams} =
        await this.open(data, maxPixels);
    const {h, w} = latentShape(header);
    const rows = this.coder.decode(streams, lengths, {h, w}, tables);
    return {header, tables, alpha, rows};
  }
}

/** The most positions of a lane, of both passes together. */
function mostPositions(h, w, lanes) {
  const ofRows = (rows) => Math.ceil(rows * w / lanes);
  return ofRows(Math.ceil(h / 2)) + ofRows(Math.floor(h / 2));
}

/** Sets the symbols [C] of a position. */
function setSymbols(symbols, rows, position, {minimum, live}) {
  symbols.set(minimum);
  let next = position * (1 + live.length) + 1;
  for (const channel of live) symbols[channel] += rows[next++];
}

/**
 * The latents [h, w, channels] of a rectangle of positions.
 *
 * A pair of transforms may have fewer channels than the tables, the first ones;
 * in its qualities the others are dead.
 */
function latents(rows, stride, {top, left, h, w}, tables, channels) {
  const {offset, inverseGain, minimum} = tables;
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
