/**
 * The container: the bytes of a file around its lanes.
 *
 * bls2017/format/FORMAT.md describes it. Everything is checked in the order
 * that it gives, before anything that was read is used.
 */

import {BitstreamError} from './errors.js';

/** Pixels per position along a side. */
export const DOWNSAMPLING = 16;

const MAGIC = [0x89, 0x42, 0x4c, 0x53];
const VERSION = 3;
/** The byte for quality 1. */
const FIRST_QUALITY = 8;
const MODEL_ID_OFFSET = 10;
const CHECKSUM_OFFSET = 18;
const HEADER_BYTES = 26;
/** All boxes together. */
const MAX_BOXES_BYTES = 2 ** 24;
const MAX_BOXES = 64;
const BOX_HEADER_BYTES = 8;
const MAX_LENGTH_BITS = 16;
const MAX_LANE_BYTES = 0xffff;

/**
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

const viewOf = ({buffer, byteOffset, byteLength}) =>
    new DataView(buffer, byteOffset, byteLength);

/** Rows and columns of positions of an image. */
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
 * @param {RangeCoder} coder Computes the checksum.
 * @return {Header}
 * @throws {BitstreamError} if this is not a whole, unchanged file.
 */
export function openHeader(data, coder) {
  if (!data.length) throw new BitstreamError('the file is empty');
  if (data.subarray(0, MAGIC.length).some((byte, i) => byte !== MAGIC[i])) {
    throw new BitstreamError(
        'this is not a bls2017 file (it does not begin with its magic bytes)');
  }
  const version = data[MAGIC.length] ?? VERSION;
  if (version !== VERSION) {
    throw new BitstreamError(
        `the file has version ${version}, this program reads ${VERSION}`);
  }
  if (data.length < HEADER_BYTES) {
    throw new BitstreamError(
        `the file is cut off within its header (${data.length} bytes)`);
  }
  const view = viewOf(data);
  if (checksum(data, coder) !== view.getBigUint64(CHECKSUM_OFFSET, true)) {
    throw new BitstreamError(
        'the checksum is wrong: the file is damaged or cut off');
  }
  const height = view.getUint16(6, true);
  const width = view.getUint16(8, true);
  if (!height || !width) {
    throw new BitstreamError(`an image of ${width} x ${height} pixels`);
  }
  const qualityIndex = data[5] - FIRST_QUALITY;
  if (qualityIndex < 0) throw new BitstreamError('the quality is below 1');
  const modelId = view.getBigUint64(MODEL_ID_OFFSET);
  return {
    version,
    qualityIndex,
    height,
    width,
    modelId: modelId.toString(16).padStart(16, '0'),
  };
}

/** The fingerprint of all bytes but the checksum's. */
function checksum(data, coder) {
  const others = new Uint8Array(data.length - HEADER_BYTES + CHECKSUM_OFFSET);
  others.set(data.subarray(0, CHECKSUM_OFFSET));
  others.set(data.subarray(HEADER_BYTES), CHECKSUM_OFFSET);
  return coder.fingerprint64(others);
}

/**
 * Reads the metadata and the lanes of a file whose header was checked.
 *
 * @param {Uint8Array} data The whole file.
 * @param {number} lanes How many there are.
 * @return {{boxes: Box[], lengths: Uint32Array, streams: Uint8Array}} The
 *     lengths of the lanes in bytes, and the lanes one after the other. Boxes
 *     and streams are views of `data`.
 * @throws {BitstreamError}
 */
export function openBody(data, lanes) {
  const {boxes, end} = openBoxes(data);
  const {lengths, start} = openLengths(data, end, lanes);
  return {boxes, lengths, streams: data.subarray(start)};
}

function openBoxes(data) {
  const view = viewOf(data);
  let start = HEADER_BYTES + 4;
  checkEnd(start <= data.length);
  const end = start + view.getUint32(HEADER_BYTES, true);
  if (end > Math.min(data.length, start + MAX_BOXES_BYTES)) {
    throw new BitstreamError('the metadata is longer than its file');
  }
  const boxes = [];
  while (start < end) {
    if (boxes.length === MAX_BOXES) {
      throw new BitstreamError(
          `there are more than ${MAX_BOXES} pieces of metadata`);
    }
    const content = start + BOX_HEADER_BYTES;
    checkEnd(content <= end);
    const type = String.fromCharCode(...data.subarray(start, start + 4));
    const next = content + view.getUint32(start + 4, true);
    const last = boxes.at(-1)?.type ?? '';
    if (!/^[ -~]{4}$/.test(type) || type <= last) {
      throw new BitstreamError('the types of the metadata are not in order');
    }
    if (next === content || next > end) {
      throw new BitstreamError('the metadata does not fill its room');
    }
    boxes.push({type, data: data.subarray(content, next)});
    start = next;
  }
  return {boxes, end};
}

function openLengths(data, start, lanes) {
  const lengths = new Uint32Array(lanes);
  const stored = lanes - 1;
  if (stored) {
    const view = viewOf(data);
    checkEnd(start + 3 <= data.length);
    const smallest = view.getUint16(start, true);
    const bits = view.getUint8(start + 2);
    const packedAt = start + 3;
    start = packedAt + Math.ceil(stored * bits / 8);
    checkEnd(bits <= MAX_LENGTH_BITS && start <= data.length);
    const numbers = openNumbers(data.subarray(packedAt, start), stored, bits);
    numbers.forEach((number, i) => {
      lengths[i] = smallest + number;
    });
  }
  const last = data.length - start - lengths.reduce((a, b) => a + b, 0);
  checkEnd(last >= 0);
  lengths[stored] = last;
  if (lengths.some((length) => length > MAX_LANE_BYTES)) {
    throw new BitstreamError(`a lane is above ${MAX_LANE_BYTES} bytes`);
  }
  return {lengths, start};
}

/** Numbers of equally many bits, the least significant bit first. */
function openNumbers(packed, count, bits) {
  const numbers = new Uint16Array(count);
  let window = 0;
  let available = 0;
  let next = 0;
  for (let i = 0; i < count; i++) {
    while (available < bits) {
      window += packed[next++] << available;
      available += 8;
    }
    numbers[i] = window & ((1 << bits) - 1);
    window >>= bits;
    available -= bits;
  }
  const smallest = numbers.reduce((a, b) => Math.min(a, b));
  const largest = numbers.reduce((a, b) => Math.max(a, b));
  if (window || smallest || 32 - Math.clz32(largest) !== bits) {
    throw new BitstreamError('the lane lengths have a shorter spelling');
  }
  return numbers;
}

function checkEnd(isInside) {
  if (!isInside) throw new BitstreamError('the file is too short');
}
