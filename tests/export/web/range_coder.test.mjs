import assert from 'node:assert';
import fs from 'node:fs';
import {test} from 'node:test';

import {BitstreamError} from '../../../export/web/site/decoder/errors.js';
import {RangeCoder} from '../../../export/web/site/decoder/range_coder.js';
import {makeTables} from '../../../export/web/site/decoder/tables.js';

const WASM = new URL(
    '../../../bls2017/format/range_coder.wasm', import.meta.url);
const coder = new RangeCoder(new WebAssembly.Module(fs.readFileSync(WASM)));

/** The bytes that stand for a table's frequencies, in so many equal sets. */
function storedOf(frequencies, sets = 1) {
  const bytes = frequencies.flat().map((frequency) => {
    const shift = Math.max(Math.floor(Math.log2(frequency)) - 4, 0);
    return 16 * shift + (frequency >> shift);
  });
  return {
    values: Uint8Array.from(new Array(sets).fill(bytes).flat()),
    shape: [sets, bytes.length],
  };
}

/**
 * Tables of live channels, the last of which is coded first, from the
 * frequencies of each. A context channel's are in reverse where there is no
 * position to the left. Symbol 0 is each table's first. `given` are arrays to
 * take instead.
 */
function tablesOf(channels, lanePositions, contexts = 0, ends, given) {
  ends ??= [[channels.length - contexts]];
  const live = channels.map((_, i) => i).reverse();
  const inOrder = live.map((channel) => channels[channel]);
  const first = inOrder.slice(0, contexts);
  const activities = ends.length;
  const equal = (n) => new Array(n).fill(2 ** 16 / n);
  const filled = (value, ...shape) => ({
    values: new Uint8Array(shape.reduce((a, b) => a * b)).fill(value),
    shape,
  });
  return makeTables({
    live: {values: Uint16Array.from(live)},
    size: {values: Uint16Array.from(channels, ({length}) => length)},
    minimum: {values: new Int16Array(channels.length)},
    offset: {},
    inverse_gain: {},
    ends: {
      values: Uint16Array.from(ends.flat()),
      shape: [activities, ends[0].length],
    },
    end_cdf: storedOf([equal(ends[0].length)], activities),
    activity_cdf: storedOf([equal(activities)]),
    activity_tables: filled(0, 2, activities + 1),
    surroundings: filled(0, activities, activities),
    cdf: storedOf(inOrder.slice(contexts), activities),
    context_cdf:
        storedOf(first.flatMap((table) => [table, [...table].reverse()])),
    context_tables: {
      values: Uint8Array.from(
          {length: contexts * activities * 2}, (_, i) => i % 2),
      shape: [contexts, activities, 2],
    },
    // There is one class, and none is 1.
    contexts_of: {
      values: Uint8Array.from(
          {length: 8 * contexts}, (_, i) => Math.floor(i / 2) % 2),
      shape: [2, contexts, 2, 2],
    },
    context_classes: {values: new Uint8Array(first.flat().length)},
    ...given,
  }, lanePositions);
}

/** Decodes one lane of as many positions as it may have, in h rows. */
const decode = (stream, tables, h = 1) => coder.decode(
    stream, Uint32Array.of(stream.length), {h, w: tables.lanePositions / h},
    tables);

test('fingerprints are those of FORMAT.md', () => {
  const fingerprints = {
    18: 0x79f8c18b091f57e6n,
    40: 0x08f45b937b49468cn,
    100: 0x3cff0f886d8d6195n,
  };
  for (const [length, expected] of Object.entries(fingerprints)) {
    const data = Uint8Array.from({length: 5 + Number(length)}, (_, i) => i - 5);
    assert.strictEqual(coder.fingerprint64(data.subarray(5)), expected);
  }
});

const HALVES = [32768, 32768];
// Most streams are refused, and stack traces take time.
Error.stackTraceLimit = 0;

/** The rows of all sound streams of at most two bytes. */
function rowsOfSoundStreams(tables, h) {
  const rows = [];
  const see = (...bytes) => {
    try {
      rows.push(decode(Uint8Array.from(bytes), tables, h).join());
    } catch (e) {
      if (!(e instanceof BitstreamError)) throw e;
    }
  };
  see();
  for (let a = 0; a < 256; a++) {
    see(a);
    for (let b = 0; b < 256; b++) see(a, b);
  }
  return rows;
}

test('rows have one stream', () => {
  // Two positions of two activities, each of which has a choice of ends.
  const channels = [[7936, 57600], HALVES, [19456, 46080]];
  const tables = tablesOf(channels, 2, 1, [[0, 2], [1, 2]]);
  for (const h of [1, 2]) {
    const rows = rowsOfSoundStreams(tables, h);
    assert.strictEqual(rows.length, (2 * 2 ** 3) ** 2);
    assert.strictEqual(new Set(rows).size, rows.length);
  }
});

test('kinds have the products of frequencies', () => {
  const ends = [[0, 1], [1, 1]];
  const tables = tablesOf([HALVES], 1, 0, ends, {
    activity_cdf: storedOf([[40960, 24576], [57344, 8192]]),
    end_cdf: storedOf([[49152, 16384], HALVES]),
  });
  // The first of the largest ones is less by the sum of what others are more.
  assert.deepStrictEqual([...tables.arrays[0]], [
    0, 30717, 30717 + 10241, 30717 + 10241 + 12289,
    0, 43005, 43005 + 14337, 43005 + 14337 + 4097,
  ]);
});

test('memory grows with what is decoded, and is given back', () => {
  const tables = tablesOf([[65535, 1]], 1);
  const lanes = 2 ** 22;
  const rows = coder.decode(
      new Uint8Array(0), new Uint32Array(lanes), {h: 2 ** 11, w: 2 ** 11},
      tables);
  assert(rows.every((index) => index === 0));
  assert.strictEqual(coder.instance, null);
  assert.strictEqual(decode(new Uint8Array(0), tables).length, 2);
  assert.notStrictEqual(coder.instance, null);
});

test('a range coder that traps refuses the file', () => {
  const broken = tablesOf([HALVES], 3);
  broken.arrays[5] = Uint32Array.of(0x7fff0000);
  const stream = new Uint8Array(0);
  assert.throws(() => decode(stream, broken), {
    name: 'BitstreamError',
    message: /out of bounds/,
  });
  assert.strictEqual(decode(stream, tablesOf([HALVES], 3)).length, 6);
});
