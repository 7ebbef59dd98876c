/**
 * The container: the bytes of a file around its lanes.
 *
 * bls2017/format/FORMAT.md describes its versions. Everything is checked
 * in the order that it gives, before anything that was read is used.
 */

import {BitstreamError} from './errors.js';
import {fingerprint64} from './fingerprint.js';

/** The newest version; all from 1 on are read. */
export const VERSION = 3;
/** Version from which on a file has boxes and short lane lengths. */
export const BOXES_VERSION = 3;
/** Pixels per position along a side. */
export const DOWNSAMPLING = 16;
export const HEADER_BYTES = 26;
const LANE_LENGTH_BYTES = 2;
/** The longest side in pixels. */
export const MAX_SIDE = 0xffff;
/** Most bytes of all boxes together. */
export const MAX_BOX_BYTES = 2 ** 24;
/** Most boxes of a file. */
export const MAX_BOXES = 64;

const MAGIC = [0x89, 0x42, 0x4c, 0x53];
/** What the byte for the quality holds for quality 1. */
const FIRST_QUALITY = 8;
const CHECKSUM_OFFSET = 18;
const MODEL_ID_OFFSET = 10;
const BOX_HEADER_BYTES = 8;
const MAX_LANE_BYTES = 0xffff;
const MAX_NUMBER_BITS = 16;

/**
 * What a file says of itself.
 *
 * @typedef {{
 *   version: number,
 *   qualityIndex: number,
 *   height: number,
 *   width: number,
 *   modelId: string,
 * }} Header Height and width are pixels from 1 to 65535; the model id is
 *     hexadecimal; quality 1 has index 0.
 */

/**
 * A piece of metadata.
 *
 * @typedef {{type: string, data: Uint8Array}} Box The type is four printable
 *     characters, such as "Exif" or "XMP ".
 */

const view = (data) =>
    new DataView(data.buffer, data.byteOffset, data.byteLength);

/** Positions of an image's latents along both sides. */
export function latentShape({height, width}) {
  return {
    h: Math.ceil(height / DOWNSAMPLING),
    w: Math.ceil(width / DOWNSAMPLING),
  };
}

/**
 * Checks and reads everything that needs no model.
 *
 * @param {Uint8Array} data A whole file.
 * @return {Header}
 * @throws {BitstreamError} if this is not a whole, unchanged file.
 */
export function unpackHeader(data) {
  if (!data.length) throw new BitstreamError('the file is empty');
  if (MAGIC.some((byte, i) => i < data.length && data[i] !== byte)) {
    throw new BitstreamError(
        'this is not a bls2017 file (it does not begin with its magic bytes)');
  }
  const version = data[MAGIC.length];
  if (version < 1 || version > VERSION) {
    throw new BitstreamError(
        `the file has version ${version}, this program reads versions 1 to ` +
        `${VERSION}`);
  }
  if (data.length < HEADER_BYTES) {
    throw new BitstreamError(
        `the file is cut off within its header (${data.length} bytes)`);
  }
  const fields = view(data);
  if (checksum(data) !== fields.getBigUint64(CHECKSUM_OFFSET, true)) {
    throw new BitstreamError(
        'the checksum is wrong: the file is damaged or cut off');
  }
  const quality = data[5];
  const height = fields.getUint16(6, true);
  const width = fields.getUint16(8, true);
  if (!height || !width) {
    throw new BitstreamError(`an image of ${width} x ${height} pixels`);
  }
  if (quality < FIRST_QUALITY) {
    throw new BitstreamError('the quality is below 1');
  }
  const modelId = data.subarray(MODEL_ID_OFFSET, CHECKSUM_OFFSET);
  return {
    version,
    qualityIndex: quality - FIRST_QUALITY,
    height,
    width,
    modelId: Array.from(modelId, hexadecimal).join(''),
  };
}

const hexadecimal = (byte) => byte.toString(16).padStart(2, '0');

/** The checksum that a file should have: of all bytes but its own. */
export function checksum(data) {
  const others = new Uint8Array(data.length - (HEADER_BYTES - CHECKSUM_OFFSET));
  others.set(data.subarray(0, CHECKSUM_OFFSET));
  others.set(data.subarray(HEADER_BYTES), CHECKSUM_OFFSET);
  return fingerprint64(others);
}

/**
 * The lanes and the metadata of a file whose header was checked.
 *
 * @param {Uint8Array} data The whole file.
 * @param {Header} header From `unpackHeader`.
 * @param {number} lanePositions Positions of a lane, from the model's tables.
 * @return {{lanes: Uint8Array[], boxes: Box[]}} Views into `data`.
 * @throws {BitstreamError} if lengths do not add up to the file's.
 */
export function unpackBody(data, header, lanePositions) {
  const {h, w} = latentShape(header);
  const count = Math.ceil(h * w / lanePositions);
  if (header.version < BOXES_VERSION) {
    return {lanes: unpackLanes(data, count), boxes: []};
  }
  const {boxes, end} = unpackBoxes(data);
  return {lanes: unpackShortLanes(data, end, count), boxes};
}

/** The lanes of versions 1 and 2. */
function unpackLanes(data, count) {
  const start = HEADER_BYTES + LANE_LENGTH_BYTES * count;
  if (data.length < start) {
    throw new BitstreamError('the file is too short for its image');
  }
  const fields = view(data);
  const lengths = Array.from(
      {length: count},
      (_, i) => fields.getUint16(HEADER_BYTES + LANE_LENGTH_BYTES * i, true));
  if (start + sum(lengths) !== data.length) {
    throw new BitstreamError('the lanes do not fill the file');
  }
  return split(data, start, lengths);
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** Consecutive pieces of `data` with these lengths. */
function split(data, start, lengths) {
  return lengths.map((length) => data.subarray(start, start += length));
}

/**
 * The boxes of version 3, and where they end.
 *
 * @param {Uint8Array} data A file whose header was checked.
 * @return {{boxes: Box[], end: number}}
 * @throws {BitstreamError} if they are not the only spelling of themselves.
 */
export function unpackBoxes(data) {
  const fields = view(data);
  let next = HEADER_BYTES + 4;
  if (data.length < next) {
    throw new BitstreamError('the file is too short for its metadata');
  }
  const size = fields.getUint32(HEADER_BYTES, true);
  if (size > MAX_BOX_BYTES) {
    throw new BitstreamError(`the file has ${size} bytes of metadata`);
  }
  const end = next + size;
  if (data.length < end) {
    throw new BitstreamError('the file is too short for its metadata');
  }
  const boxes = [];
  while (next < end) {
    if (boxes.length === MAX_BOXES) {
      throw new BitstreamError(
          `there are more than ${MAX_BOXES} metadata boxes`);
    }
    if (end - next < BOX_HEADER_BYTES) {
      throw new BitstreamError('the metadata boxes do not fill their place');
    }
    const type = data.subarray(next, next + 4);
    const length = fields.getUint32(next + 4, true);
    next += BOX_HEADER_BYTES;
    if (type.some((byte) => byte < 0x20 || byte > 0x7e)) {
      throw new BitstreamError('a metadata box has a type that is no text');
    }
    if (!length) throw new BitstreamError('a metadata box is empty');
    if (length > end - next) {
      throw new BitstreamError('the metadata boxes do not fill their place');
    }
    const name = String.fromCharCode(...type);
    if (boxes.length && name <= boxes[boxes.length - 1].type) {
      throw new BitstreamError('the metadata boxes are not in order');
    }
    boxes.push({type: name, data: data.subarray(next, next + length)});
    next += length;
  }
  return {boxes, end};
}

/** The lanes of version 3: lengths of few bits, none for the last lane. */
function unpackShortLanes(data, start, count) {
  if (count === 1) return [checkedLast(data.subarray(start))];
  const tooShort = 'the file is too short for its image';
  if (data.length < start + 3) throw new BitstreamError(tooShort);
  const smallest = view(data).getUint16(start, true);
  const bits = data[start + 2];
  if (bits > MAX_NUMBER_BITS) {
    throw new BitstreamError(`lane lengths of ${bits} bits`);
  }
  const numbersStart = start + 3;
  const lanesStart = numbersStart + Math.ceil((count - 1) * bits / 8);
  if (data.length < lanesStart) throw new BitstreamError(tooShort);
  const numbers =
      unpackNumbers(data.subarray(numbersStart, lanesStart), count - 1, bits);
  const lengths = numbers.map((number) => smallest + number);
  if (lengths.some((length) => length > MAX_LANE_BYTES)) {
    throw new BitstreamError('a lane length is above 65535');
  }
  const lastStart = lanesStart + sum(lengths);
  if (lastStart > data.length) {
    throw new BitstreamError('the lanes do not fill the file');
  }
  const lanes = split(data, lanesStart, lengths);
  return [...lanes, checkedLast(data.subarray(lastStart))];
}

function checkedLast(lane) {
  if (lane.length > MAX_LANE_BYTES) {
    throw new BitstreamError('the lanes do not fill the file');
  }
  return lane;
}

/**
 * Numbers of equally many bits each, the least significant bit first.
 *
 * @param {Uint8Array} packed
 * @param {number} count
 * @param {number} bits Of each, 0 to 16.
 * @return {number[]}
 * @throws {BitstreamError} if there is a shorter spelling of them.
 */
export function unpackNumbers(packed, count, bits) {
  const numbers = [];
  let window = 0;
  let available = 0;
  let next = 0;
  for (let i = 0; i < count; i++) {
    while (available < bits) {
      window += packed[next++] << available;
      available += 8;
    }
    numbers.push(window & ((1 << bits) - 1));
    window >>= bits;
    available -= bits;
  }
  let smallest = Infinity;
  let largest = 0;
  for (const number of numbers) {
    smallest = Math.min(smallest, number);
    largest = Math.max(largest, number);
  }
  if (window || smallest || 32 - Math.clz32(largest) !== bits) {
    throw new BitstreamError('the lane lengths have a shorter spelling');
  }
  return numbers;
}
