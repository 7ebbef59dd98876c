/** Lane lengths, beyond what the conformance set has. */

import assert from 'node:assert';
import {test} from 'node:test';

import {openBody} from '../../../export/web/site/decoder/container.js';
import {BitstreamError} from '../../../export/web/site/decoder/errors.js';

/** A number in bytes of seven bits, the lower ones first. */
function spelt(number) {
  return number < 128 ? [number] :
                        [number & 127 | 128, ...spelt(number >> 7)];
}

/** A file of an empty header, no boxes, lane lengths and empty lanes. */
function file(smallest, numbers, bits, bytes) {
  const packed = numbers.reduce(
      (sum, number, i) => sum | BigInt(number) << BigInt(i * bits), 0n);
  const packedBytes = Math.ceil(numbers.length * bits / 8);
  const hex = packed.toString(16).padStart(2 * packedBytes, '0');
  return Buffer.concat([
    Buffer.alloc(26),
    Buffer.from([0, ...spelt(numbers.length + 1), ...spelt(smallest), bits]),
    Buffer.from(bits ? hex : '', 'hex').reverse(),
    Buffer.alloc(bytes),
  ]);
}

/** The body of a file of this many lanes, of one position each. */
const open = (data, lanes) => openBody(data, lanes, 1);

test('lane lengths of all numbers of bits are read', () => {
  for (let bits = 0; bits <= 16; bits++) {
    for (let count = 2; count < 20; count++) {
      const largest = 2 ** bits - 1;
      const numbers = Array.from(
          {length: count}, (_, i) => (i * 40503 + largest) & largest);
      numbers[count - 1] = 0;
      const smallest = bits < 16 ? 7 : 0;
      const lengths = [...numbers.map((number) => smallest + number), 9];
      const bytes = lengths.reduce((a, b) => a + b);
      const data = file(smallest, numbers, bits, bytes);
      const body = open(data, lengths.length);
      assert.deepStrictEqual([...body.lengths], lengths);
      assert.strictEqual(body.streams.length, bytes);
    }
  }
});

test('lanes that end behind the file are refused', () => {
  const numbers = new Array(2 ** 16 + 2).fill(0);
  // The lengths sum up to more than 2 ** 32.
  const data = file(65535, numbers, 0, 65535);
  assert.throws(() => open(data, numbers.length + 1), BitstreamError);
});

/** A file of an empty header, no boxes, and what follows them. */
const fileOf = (...body) => Buffer.from([...new Array(27).fill(0), ...body]);

test('numbers have one spelling of at most four bytes', () => {
  for (const lanes of [1, 127, 128, 16383, 16384, 2 ** 21 - 1, 2 ** 21]) {
    const number = spelt(lanes);
    const lengths = lanes > 1 ? [0, 0] : [];
    const body = open(fileOf(...number, ...lengths), lanes);
    assert.strictEqual(body.lengths.length, lanes);
    const longer = [...number.slice(0, -1), number.at(-1) | 128, 0];
    assert.throws(
        () => open(fileOf(...longer, ...lengths), lanes), /misspelt/);
    for (let end = 0; end < number.length; end++) {
      const cut = fileOf(...number.slice(0, end));
      assert.throws(() => open(cut, lanes), /too short/);
    }
  }
});

test('the positions bound the number of lanes', () => {
  const lanesOf = (lanes, positions, lanePositions) =>
      openBody(fileOf(lanes, 0, 0), positions, lanePositions).lengths.length;
  for (const lanes of [3, 4, 9]) assert.strictEqual(lanesOf(lanes, 9, 4), lanes);
  for (const lanes of [0, 1, 2, 10]) {
    assert.throws(() => lanesOf(lanes, 9, 4), /cannot have/);
  }
});
