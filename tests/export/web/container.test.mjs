/** Version 3 of the container; the conformance set has the other ones. */

import assert from 'node:assert';
import {test} from 'node:test';

import * as container from '../../../export/web/site/decoder/container.js';
import {BitstreamError} from '../../../export/web/site/decoder/errors.js';

const MAGIC = [0x89, 0x42, 0x4c, 0x53];

function uint(value, bytes) {
  const data = Buffer.alloc(bytes);
  data.writeUIntLE(value, 0, bytes);
  return data;
}

function box(type, content) {
  return Buffer.concat(
      [Buffer.from(type), uint(content.length, 4), Buffer.from(content)]);
}

/** Numbers of equally many bits, the least significant first. */
function packNumbers(numbers, bits) {
  let all = 0n;
  numbers.forEach((number, i) => {
    all |= BigInt(number) << BigInt(i * bits);
  });
  const bytes = Math.ceil(numbers.length * bits / 8);
  const byte = (i) => Number((all >> BigInt(8 * i)) & 255n);
  return Buffer.from(Array.from({length: bytes}, (_, i) => byte(i)));
}

function packLengths(lengths) {
  const smallest = Math.min(...lengths);
  const numbers = lengths.map((length) => length - smallest);
  const bits = Math.max(...numbers).toString(2).length;
  const needed = Math.max(...numbers) ? bits : 0;
  return Buffer.concat([
    uint(smallest, 2),
    uint(needed, 1),
    packNumbers(numbers, needed),
  ]);
}

/** A sealed file of version 3; `h` positions in one column. */
function file({boxes = [], lengths, lanes, positions}) {
  const metadata = Buffer.concat(boxes);
  const body = Buffer.concat([
    uint(metadata.length, 4),
    metadata,
    lengths,
    ...lanes,
  ]);
  const fields = Buffer.concat([
    Buffer.from([...MAGIC, 3, 8]),
    uint(16 * positions, 2),
    uint(16, 2),
    Buffer.from('a model!'),
  ]);
  return seal(Buffer.concat([fields, Buffer.alloc(8), body]));
}

function seal(data) {
  const sealed = new Uint8Array(data);
  const view = new DataView(sealed.buffer);
  view.setBigUint64(18, container.checksum(sealed), true);
  return sealed;
}

function unpack(data, lanePositions = 1) {
  return container.unpackBody(
      data, container.unpackHeader(data), lanePositions);
}

const sizes = (lanes) => lanes.map((lane) => lane.length);

/** Lanes whose bytes say which they are. */
function lanesOf(lengths) {
  return lengths.map((length, i) => Buffer.alloc(length, i + 1));
}

const LENGTHS = [[5], [5, 9], [7, 7, 7], [0, 1, 0], [300, 2, 65000, 65535]];
const SOUND = LENGTHS.map((lengths) => file({
  positions: lengths.length,
  lengths: lengths.length > 1 ? packLengths(lengths.slice(0, -1)) :
                                Buffer.alloc(0),
  lanes: lanesOf(lengths),
}));

test('lanes have the lengths that were packed', () => {
  LENGTHS.forEach((lengths, i) => {
    const {lanes, boxes} = unpack(SOUND[i]);
    assert.deepStrictEqual(sizes(lanes), lengths);
    lanes.forEach((lane, j) => {
      assert(lane.every((byte) => byte === j + 1));
    });
    assert.deepStrictEqual(boxes, []);
  });
});

test('numbers of all widths are unpacked', () => {
  for (let bits = 1; bits <= 16; bits++) {
    const largest = 2 ** bits - 1;
    for (let count = 2; count < 20; count++) {
      const numbers = Array.from(
          {length: count}, (_, i) => (i * 40503 + largest) & largest);
      numbers[count - 1] = 0;
      const packed = packNumbers(numbers, bits);
      assert.deepStrictEqual(
          container.unpackNumbers(packed, count, bits), numbers);
    }
  }
});

test('boxes are read, unknown ones as well', () => {
  const boxes = [box('Exif', 'II*\0'), box('XMP ', '<x/>'), box('zzz~', '?')];
  const data = file({
    boxes,
    positions: 2,
    lengths: packLengths([3]),
    lanes: lanesOf([3, 4]),
  });
  const body = unpack(data);
  assert.deepStrictEqual(
      body.boxes.map(({type, data}) => [type, Buffer.from(data).toString()]),
      [['Exif', 'II*\0'], ['XMP ', '<x/>'], ['zzz~', '?']]);
  assert.deepStrictEqual(sizes(body.lanes), [3, 4]);
});

test('other spellings of lane lengths are refused', () => {
  const wrong = {
    'the smallest number is not 0':
        [uint(2, 2), uint(2, 1), packNumbers([1, 2], 2)],
    'more bits than needed': [uint(3, 2), uint(2, 1), packNumbers([0, 1], 2)],
    'bits of equal lengths': [uint(3, 2), uint(1, 1), packNumbers([0, 0], 1)],
    'a bit is left over': [uint(3, 2), uint(1, 1), Buffer.from([0b110])],
    'more than 16 bits': [uint(3, 2), uint(17, 1), packNumbers([0, 1], 17)],
    'a length above 65535':
        [uint(65535, 2), uint(1, 1), packNumbers([0, 1], 1)],
    'numbers are cut off': [uint(3, 2), uint(16, 1), Buffer.from([0, 0, 1])],
    'no numbers': [uint(3, 2)],
    'lanes end behind the file':
        [uint(60000, 2), uint(1, 1), packNumbers([0, 1], 1)],
  };
  for (const [fault, lengths] of Object.entries(wrong)) {
    const data = file({
      positions: 3,
      lengths: Buffer.concat(lengths),
      lanes: fault.includes('cut') || fault.startsWith('no ') ?
          [] :
          lanesOf([3, 4, 5]),
    });
    assert.throws(() => unpack(data), BitstreamError, fault);
  }
});

test('a last lane above 65535 bytes is refused', () => {
  for (const lengths of [[65536], [5, 65536]]) {
    const data = file({
      positions: lengths.length,
      lengths: lengths.length > 1 ? packLengths([5]) : Buffer.alloc(0),
      lanes: lanesOf(lengths),
    });
    assert.throws(() => unpack(data), BitstreamError);
  }
});

test('other spellings of boxes are refused', () => {
  const wrong = {
    'not in order': [box('XMP ', '1'), box('Exif', '2')],
    'twice': [box('Exif', '1'), box('Exif', '2')],
    'empty': [box('Exif', '')],
    'no text': [box('Exi\n', '1')],
    'too short': [Buffer.from('Exif')],
    'too long': [Buffer.from('Exif'), uint(2, 4), Buffer.from('1')],
  };
  for (const [fault, boxes] of Object.entries(wrong)) {
    const data = file({
      boxes,
      positions: 1,
      lengths: Buffer.alloc(0),
      lanes: lanesOf([9]),
    });
    assert.throws(() => unpack(data), BitstreamError, fault);
  }
});

test('more boxes than the limit are refused', () => {
  const types = Array.from(
      {length: container.MAX_BOXES + 1}, (_, i) => `b${100 + i}`);
  const data = (count) => file({
    boxes: types.slice(0, count).map((type) => box(type, '1')),
    positions: 1,
    lengths: Buffer.alloc(0),
    lanes: lanesOf([9]),
  });
  assert.strictEqual(unpack(data(64)).boxes.length, 64);
  assert.throws(() => unpack(data(65)), BitstreamError);
});

test('boxes beyond the file or the limit are refused', () => {
  const data = Buffer.from(SOUND[0]);
  for (const size of [6, 2 ** 24, 2 ** 24 + 1, 2 ** 32 - 1]) {
    data.writeUInt32LE(size, 26);
    assert.throws(() => unpack(seal(data)), BitstreamError);
  }
});

test('a file that ends anywhere is refused', () => {
  for (let length = 0; length < SOUND[2].length; length++) {
    const cut = Buffer.from(SOUND[2].subarray(0, length));
    assert.throws(() => unpack(new Uint8Array(cut)), BitstreamError);
    // The last lane may be shorter, where its length is all that changed.
    if (length >= 26 && length < SOUND[2].length - 7) {
      assert.throws(() => unpack(seal(cut)), BitstreamError);
    }
  }
});
