/**
 * The container: the bytes of a file around its lanes.
 *
 * bls2017/format/FORMAT.md describes it. Everything is checked in the order
 * that it gives, before anything that was read is used.
 */

import {check} from './errors.js';

/** Pixels per position along a side. */
export const DOWNSAMPLING = 16;

const MAGIC = [0x89, 0x42, 0x4c, 0x53];
const VERSION = 5;
/** The byte for quality 1. */
const FIRST_QUALITY = 8;
const MODEL_ID_OFFSET = 10;
const CHECKSUM_OFFSET = 18;
const HEADER_BYTES = 26;
/** Of a number whose bytes hold seven bits each. */
const MAX_NUMBER_BYTES = 4;
/** All boxes together. */
const MAX_BOXES_BYTES = 2 ** 24;
const MAX_BOXES = 64;
const BOX_HEADER_BYTES = 8;
const MAX_LENGTH_BITS = 16;
const MAX_LANE_BYTES = 0xffff;
const TOO_SHORT = 'the file is too short';

const viewOf = ({buffer, byteOffset, byteLength}) =>
    new DataView(buffer, byteOffset, byteLength);

/** Rows and columns of an image's positions. */
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
 * @return {{version: number, qualityIndex: number, height: number,
 *     width: number, modelId: string}} Height and width are pixels, the model
 *     id is hexadecimal.
 * @throws {BitstreamError} if this is not a whole, unchanged file.
 */
export function openHeader(data, coder) {
  check(data.length, 'the file is empty');
  const magic = data.subarray(0, MAGIC.length);
  check(
      magic.every((byte, i) => byte === MAGIC[i]),
      'this is not a bls2017 file (it does not begin with its magic bytes)');
  const version = data[MAGIC.length] ?? VERSION;
  check(
      version === VERSION,
      `the file has version ${version}, this program reads ${VERSION}`);
  check(
      data.length >= HEADER_BYTES,
      `the file is cut off within its header (${data.length} bytes)`);
  const view = viewOf(data);
  check(
      view.getBigUint64(CHECKSUM_OFFSET, true) === checksum(data, coder),
      'the checksum is wrong: the file is damaged or cut off');
  const height = view.getUint16(6, true);
  const width = view.getUint16(8, true);
  check(height && width, `an image of ${width} x ${height} pixels`);
  const qualityIndex = data[5] - FIRST_QUALITY;
  check(qualityIndex >= 0, 'the quality is below 1');
  const id = view.getBigUint64(MODEL_ID_OFFSET);
  const modelId = id.toString(16).padStart(16, '0');
  return {version, qualityIndex, height, width, modelId};
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
 * @param {number} positions Of the image.
 * @param {number} lanePositions The most positions of a lane.
 * @return {{boxes: {type: string, data: Uint8Array}[], lengths: Uint32Array,
 *     streams: Uint8Array}} The bytes of each lane, and the lanes one after the
 *     other. Boxes and streams are views of `data`.
 * @throws {BitstreamError}
 */
export function openBody(data, positions, lanePositions) {
  const {boxes, end} = openBoxes(data);
  const {number: lanes, end: lengthsStart} = openNumber(data, end);
  const fewest = Math.ceil(positions / lanePositions);
  check(
      fewest <= lanes && lanes <= positions,
      `an image of ${positions} positions cannot have ${lanes} lanes`);
  const {lengths, start} = openLengths(data, lengthsStart, lanes);
  return {boxes, lengths, streams: data.subarray(start)};
}

function openBoxes(data) {
  const view = viewOf(data);
  const boxes = [];
  const {number: size, end: first} = openNumber(data, HEADER_BYTES);
  let start = first;
  const end = start + size;
  check(end <= Math.min(data.length, start + MAX_BOXES_BYTES), TOO_SHORT);
  while (start < end) {
    check(boxes.length < MAX_BOXES, 'there are too many pieces of metadata');
    const content = start + BOX_HEADER_BYTES;
    check(content <= end, 'the metadata is cut off');
    const type = String.fromCharCode(...data.subarray(start, start + 4));
    check(
        /^[ -~]{4}$/.test(type) && (!boxes.length || type > boxes.at(-1).type),
        'the types of the metadata are not in order');
    const next = content + view.getUint32(start + 4, true);
    check(
        content < next && next <= end, 'the metadata does not fill its room');
    boxes.push({type, data: data.subarray(content, next)});
    start = next;
  }
  return {boxes, end};
}

function openLengths(data, start, lanes) {
  const lengths = new Uint32Array(lanes);
  const stored = lanes - 1;
  if (stored) {
    const {number: smallest, end} = openNumber(data, start);
    check(end < data.length, TOO_SHORT);
    const bits = data[end];
    const first = end + 1;
    start = first + Math.ceil(stored * bits / 8);
    check(bits <= MAX_LENGTH_BITS && start <= data.length, TOO_SHORT);
    const numbers = openPacked(data.subarray(first, start), stored, bits);
    lengths.set(numbers.map((number) => smallest + number));
  }
  const last = data.length - start - lengths.reduce((a, b) => a + b, 0);
  check(last >= 0, TOO_SHORT);
  lengths[stored] = last;
  check(
      lengths.every((length) => length <= MAX_LANE_BYTES),
      `a lane is longer than ${MAX_LANE_BYTES} bytes`);
  return {lengths, start};
}

/** A number in bytes of seven bits, the lower ones first, and its end. */
function openNumber(data, start) {
  const bytes = data.subarray(start, start + MAX_NUMBER_BYTES);
  const length = bytes.findIndex((byte) => byte < 0x80) + 1;
  check(length || bytes.length === MAX_NUMBER_BYTES, TOO_SHORT);
  check(
      length === 1 || length && bytes[length - 1], 'a number is misspelt');
  const number = bytes.subarray(0, length)
                     .reduceRight((high, byte) => high << 7 | byte & 0x7f, 0);
  return {number, end: start + length};
}

/** Numbers of equally many bits, the least significant bit first. */
function openPacked(packed, count, bits) {
  const numbers = new Uint32Array(count);
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
  check(
      !window && !smallest && 32 - Math.clz32(largest) === bits,
      'the lane lengths have a shorter spelling');
  return numbers;
}
