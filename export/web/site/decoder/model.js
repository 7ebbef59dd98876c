/**
 * The files of a model: model.json says what there is, and export/web/
 * web_export.py describes the other ones.
 */

import {check, ModelError} from './errors.js';
import {makeTables} from './tables.js';

const MANIFEST_FILE = 'model.json';
const FORMAT = 5;

const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
};

/** A model, whose files are read when they are needed, each once. */
export class Model {
  constructor(manifest, readFile) {
    this.manifest = manifest;
    this.readFile = readFile;
    this.files = new Map();
  }

  static async load(readFile) {
    const text = new TextDecoder().decode(await readFile(MANIFEST_FILE));
    try {
      const manifest = JSON.parse(text);
      if (manifest.format !== FORMAT) throw new Error('of another format');
      return new Model(manifest, readFile);
    } catch (e) {
      throw new ModelError(`${MANIFEST_FILE} is unusable: ${e.message}`);
    }
  }

  /** Of range_coder.wasm: a WebAssembly.Module. */
  async rangeCoder() {
    const {file, integrity} = this.manifest.range_coder;
    const bytes = await this.readFile(file, integrity);
    return WebAssembly.compile(bytes).catch((e) => {
      throw new ModelError(`this browser cannot run ${file}: ${e.message}`);
    });
  }

  /** The tables of a quality, by its index. */
  tables(index) {
    const entry = this.manifest.tables[index];
    return kept(this.files, entry, async () => {
      const arrays = await this.arrays(entry);
      return makeTables(arrays, entry.lane_positions);
    });
  }

  /** The arrays of the synthesis of a pair of transforms, by its number. */
  weights(pair) {
    const entry = this.manifest.weights[pair];
    return kept(this.files, entry, () => this.arrays(entry));
  }

  /** The arrays {values, shape} of a file, by name. */
  async arrays({file, integrity, arrays}) {
    const bytes = await inflated(await this.readFile(file, integrity), file);
    const result = {};
    let next = 0;
    for (const [name, type, shape] of arrays) {
      const length = shape.reduce((a, b) => a * b, 1);
      const end = next + length * ARRAYS[type].BYTES_PER_ELEMENT;
      const values = fromPlanes(bytes.subarray(next, end), type);
      result[name] = {values, shape};
      next = end;
    }
    check(next === bytes.length, `${file} has another length`, ModelError);
    return result;
  }
}

/** What was loaded for a key, or is now; an error is not kept. */
export function kept(promises, key, load) {
  if (!promises.has(key)) {
    const promise = load();
    promises.set(key, promise);
    promise.catch(() => promises.delete(key));
  }
  return promises.get(key);
}

async function inflated(bytes, name) {
  const stream = new Blob([bytes]).stream();
  const inflating = stream.pipeThrough(new DecompressionStream('deflate'));
  try {
    return new Uint8Array(await new Response(inflating).arrayBuffer());
  } catch {
    throw new ModelError(`${name} is damaged`);
  }
}

/** Puts the bytes of numbers together again. */
function fromPlanes(planes, type) {
  const size = ARRAYS[type].BYTES_PER_ELEMENT;
  const count = Math.floor(planes.length / size);
  const bytes = new Uint8Array(count * size);
  for (let plane = 0; plane < size; plane++) {
    for (let i = 0; i < count; i++) {
      bytes[i * size + plane] = planes[plane * count + i];
    }
  }
  const values = new ARRAYS[type](bytes.buffer);
  return type === 'float16' ? fromHalves(values) : values;
}

/** The values of 16-bit floats, which are finite. */
function fromHalves(halves) {
  const values = new Float32Array(halves.length);
  halves.forEach((half, i) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = (half & 0x3ff) / 2 ** 10;
    values[i] = exponent ? sign * (1 + fraction) * 2 ** (exponent - 15) :
                           sign * fraction * 2 ** -14;
  });
  return values;
}
