/**
 * The files of a model, as `bls2017 export --format=web` writes them.
 *
 * model.json says what there is. Each other file holds arrays, one after the
 * other, deflated; of numbers of several bytes first the lowest bytes of all,
 * then the next, which deflates better.
 */

import {
  DOWNSAMPLING,
  HEADER_BYTES,
  MAX_BOX_BYTES,
  MAX_SIDE,
} from './container.js';
import {ModelError} from './errors.js';
import {QualityTables} from './tables.js';

export const MANIFEST_FILE = 'model.json';

/** Format of these files. */
const FORMAT = 2;

const ARRAYS = {
  float32: Float32Array,
  int16: Int16Array,
  uint16: Uint16Array,
};
/** Header, metadata, and what precedes the lane lengths, at most. */
const MAX_HEADER_BYTES = HEADER_BYTES + 4 + MAX_BOX_BYTES + 3;
/** Bytes of a lane's length and end, at most. */
const MAX_LANE_BYTES = 6;

const BYTES = {float16: 2, float32: 4, int16: 2, uint16: 2};

/**
 * Reads a file of the model's directory.
 *
 * @callback ReadFile
 * @param {string} name
 * @param {string} [integrity] As in the attribute of HTML's elements.
 * @return {Promise<Uint8Array>}
 */

/** A model, whose files are read when they are needed, each once. */
export class Model {
  /**
   * @param {Object} manifest Of model.json.
   * @param {ReadFile} readFile
   */
  constructor(manifest, readFile) {
    this.manifest = manifest;
    this.readFile = readFile;
    this.tablesOfQualities = new Map();
    this.weightsOfPairs = new Map();
  }

  /**
   * Reads model.json.
   *
   * @param {ReadFile} readFile
   * @return {Promise<Model>}
   * @throws {ModelError}
   */
  static async load(readFile) {
    const text = new TextDecoder().decode(await readFile(MANIFEST_FILE));
    let manifest;
    try {
      manifest = JSON.parse(text);
    } catch (e) {
      throw new ModelError(`${MANIFEST_FILE} is damaged: ${e.message}`);
    }
    if (manifest.format !== FORMAT) {
      throw new ModelError(
          `${MANIFEST_FILE} has format ${manifest.format}, this program reads` +
          ` ${FORMAT}`);
    }
    return new Model(manifest, readFile);
  }

  /** Qualities that the model has. */
  get numQualities() {
    return this.manifest.tables.length;
  }

  /**
   * The tables of a quality.
   *
   * @param {number} index Of the quality.
   * @return {Promise<QualityTables>}
   */
  tables(index) {
    return kept(
        this.tablesOfQualities, index,
        () => this.readTables(this.manifest.tables[index]));
  }

  async readTables(entry) {
    const arrays = await this.readArrays(entry);
    return new QualityTables(
        {
          inverseGain: arrays.inverse_gain,
          offset: arrays.offset,
          minimum: arrays.minimum,
          size: arrays.size,
          frequencies: arrays.frequencies,
          activityFrequencies: arrays.activity_frequencies,
        },
        entry.lane_positions);
  }

  /**
   * The pair of transforms of a quality.
   *
   * @param {number} index Of the quality.
   * @return {number} From 0 on.
   */
  pairOf(index) {
    return this.manifest.tables[index].pair;
  }

  /**
   * The arrays of a pair's synthesis transform, by name.
   *
   * @param {number} pair
   * @return {Promise<Object<string, {values: Float32Array, shape: number[]}>>}
   */
  weights(pair) {
    return kept(
        this.weightsOfPairs, pair,
        () => this.readWeights(this.manifest.weights[pair]));
  }

  async readWeights(entry) {
    const arrays = await this.readArrays(entry);
    return Object.fromEntries(entry.arrays.map(
        ({name, shape}) => [name, {values: arrays[name], shape}]));
  }

  /** The arrays of a file, by name; float16 becomes Float32Array. */
  async readArrays({file, integrity, arrays}) {
    const bytes = await inflate(await this.readFile(file, integrity), file);
    const length = ({shape, type}) => BYTES[type] * shape.reduce(product, 1);
    if (arrays.map(length).reduce((a, b) => a + b, 0) !== bytes.length) {
      throw new ModelError(`${file} does not have the length it should have`);
    }
    const result = {};
    let next = 0;
    for (const array of arrays) {
      const planes = bytes.subarray(next, next += length(array));
      result[array.name] = fromPlanes(planes, array.type);
    }
    return result;
  }

  /** The longest file of an image of so many pixels. */
  maxFileBytes(maxPixels) {
    // Of all images with so many pixels, the longest has the most positions.
    const longest = Math.min(maxPixels, MAX_SIDE);
    const sides = longest + Math.ceil(maxPixels / longest);
    const step = DOWNSAMPLING;
    const padded = maxPixels + (step - 1) * (sides + step - 1);
    const positions = Math.floor(padded / step ** 2);
    const columns = this.manifest.num_latents + 1;
    return MAX_HEADER_BYTES + positions * (2 * columns + MAX_LANE_BYTES);
  }
}

const product = (a, b) => a * b;

/**
 * What is loaded for a key, once; an error is not kept, as another try may find
 * the network again.
 *
 * @param {Map<T, Promise<V>>} promises Those that are kept.
 * @param {T} key
 * @param {function(): Promise<V>} load
 * @return {Promise<V>}
 * @template T, V
 */
export function kept(promises, key, load) {
  if (!promises.has(key)) {
    const promise = load();
    promises.set(key, promise);
    promise.catch(() => promises.delete(key));
  }
  return promises.get(key);
}

/** The bytes of a deflated file (zlib's format). */
async function inflate(bytes, name) {
  const stream = new Blob([bytes]).stream();
  const inflated = stream.pipeThrough(new DecompressionStream('deflate'));
  try {
    return new Uint8Array(await new Response(inflated).arrayBuffer());
  } catch {
    throw new ModelError(`${name} is damaged`);
  }
}

/** Puts the bytes of numbers together again. */
function fromPlanes(planes, type) {
  const count = BYTES[type];
  const numbers = planes.length / count;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < count; plane++) {
    for (let i = 0; i < numbers; i++) {
      bytes[i * count + plane] = planes[plane * numbers + i];
    }
  }
  if (type === 'float16') return fromHalves(new Uint16Array(bytes.buffer));
  return new ARRAYS[type](bytes.buffer);
}

/** The values of 16-bit floats. */
function fromHalves(halves) {
  const fraction = 2 ** 10;
  const values = new Float32Array(halves.length);
  halves.forEach((half, i) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const mantissa = (half & (fraction - 1)) / fraction;
    values[i] = exponent ? sign * (1 + mantissa) * 2 ** (exponent - 15) :
                           sign * mantissa * 2 ** -14;
  });
  return values;
}
