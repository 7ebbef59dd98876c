/** The container; the conformance set has most kinds of broken files. */

import assert from 'node:assert';
import {test} from 'node:test';

import {openBody} from '../../../export/web/site/decoder/container.js';
import {BitstreamError} from '../../../export/web/site/decoder/errors.js';

function uint(value, bytes) {
  const data = Buffer.alloc(bytes);
  data.writeUIntLE(value, 0, bytes);
  return data;
}

/** Numbers of equally many bits, the least significant first. */
function packNumbers(numbers, bits) {
  const all = numbers.reduce(
      (sum, number, i) => sum | BigInt(number) << BigInt(i * bits), 0n);
  const bytes = Math.ceil(numbers.length * bits / 8);
  return Buffer.from(Array.from(
      {length: bytes}, (_, i) => Number((all >> BigInt(8 * i)) & 255n)));
}

/** A file of an empty header, with boxes, lane lengths and lanes. */
function file(boxes, smallest, numbers, bits, lanes) {
  const metadata = Buffer.concat(boxes);
  return Buffer.concat([
    Buffer.alloc(26),
    uint(metadata.length, 4),
    metadata,
    uint(smallest, 2),
    uint(bits, 1),
    packNumbers(numbers, bits),
    Buffer.alloc(lanes),
  ]);
}

test('lane lengths of all numbers of bits are read', () => {
  for (let bits = 0; bits <= 16; bits++) {
    const largest = 2 ** bits - 1;
    for (let count = 2; count < 20; count++) {
      const numbers = Array.from(
          {length: count}, (_, i) => (i * 40503 + largest) & largest);
      numbers[count - 1] = 0;
      const smallest = bits < 16 ? 7 : 0;
      const lengths = [...numbers.map((number) => smallest + number), 9];
      const all = lengths.reduce((a, b) => a + b);
      const body =
          openBody(file([], smallest, numbers, bits, all), lengths.length);
      assert.deepStrictEqual([...body.lengths], lengths);
      assert.strictEqual(body.streams.length, all);
    }
  }
});

test('lanes that end behind the file are refused', () => {
  const lanes = 2 ** 16 + 3;
  const numbers = new Array(lanes - 1).fill(0);
  // The sum exceeds 2 ** 32.
  const data = file([], 65535, numbers, 0, 65535);
  assert.throws(() => openBody(data, lanes), BitstreamError);
  assert.throws(() => openBody(file([], 3, [0, 0], 0, 5), 3), BitstreamError);
  openBody(file([], 3, [0, 0], 0, 6), 3);
});

test('boxes are read, 64 at most', () => {
  const boxes = Array.from({length: 65}, (_, i) => Buffer.concat([
    Buffer.from(`b${100 + i}`), uint(2, 4), Buffer.from(String(10 + i)),
  ]));
  const open = (count) =>
      openBody(file(boxes.slice(0, count), 0, [0], 0, 0), 2).boxes;
  const read = open(64).map(({type, data}) => [type, String(data)]);
  assert.deepStrictEqual(
      read, boxes.slice(0, 64).map((_, i) => [`b${100 + i}`, `${10 + i}`]));
  assert.throws(() => open(65), BitstreamError);
});
