/** Lane lengths, beyond what the conformance set has. */

import assert from 'node:assert';
import {test} from 'node:test';

import {openBody} from '../../../export/web/site/decoder/container.js';
import {BitstreamError} from '../../../export/web/site/decoder/errors.js';

function uint(value, bytes) {
  const data = Buffer.alloc(bytes);
  data.writeUIntLE(value, 0, bytes);
  return data;
}

/** A file of an empty header, no boxes, lane lengths and empty lanes. */
function file(smallest, numbers, bits, bytes) {
  const packed = numbers.reduce(
      (sum, number, i) => sum | BigInt(number) << BigInt(i * bits), 0n);
  const packedBytes = Math.ceil(numbers.length * bits / 8);
  const hex = packed.toString(16).padStart(2 * packedBytes, '0');
  return Buffer.concat([
    Buffer.alloc(26 + 4),
    uint(smallest, 2),
    uint(bits, 1),
    Buffer.from(bits ? hex : '', 'hex').reverse(),
    Buffer.alloc(bytes),
  ]);
}

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
      const body = openBody(data, lengths.length);
      assert.deepStrictEqual([...body.lengths], lengths);
      assert.strictEqual(body.streams.length, bytes);
    }
  }
});

test('lanes that end behind the file are refused', () => {
  const numbers = new Array(2 ** 16 + 2).fill(0);
  // The lengths sum up to more than 2 ** 32.
  const data = file(65535, numbers, 0, 65535);
  assert.throws(() => openBody(data, numbers.length + 1), BitstreamError);
});
