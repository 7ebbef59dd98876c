import assert from 'node:assert';
import fs from 'node:fs';
import {test} from 'node:test';

import {BitstreamError} from '../../../export/web/site/decoder/errors.js';
import {RangeCoder} from '../../../export/web/site/decoder/range_coder.js';

const WASM = new URL(
    '../../../bls2017/format/range_coder.wasm', import.meta.url);
const coder = new RangeCoder(new WebAssembly.Module(fs.readFileSync(WASM)));

/** Tables of one activity, from the frequencies of each live channel. */
function tablesOf(channels, lanePositions) {
  const sizes = channels.map((channel) => channel.length);
  const before = (numbers, i) => numbers.slice(0, i).reduce((a, b) => a + b, 0);
  return {
    activities: 1,
    symbols: before(sizes, sizes.length),
    lanePositions,
    cdf: Uint16Array.from(
        channels.flatMap((channel) => channel.map((_, i) => before(channel, i)))),
    activityCdf: new Uint16Array(2),
    starts: Uint32Array.from(sizes, (_, i) => before(sizes, i)),
    sizes: Uint16Array.from(sizes),
  };
}

const decode = (stream, tables) => coder.decode(
    stream, Uint32Array.of(stream.length), tables.lanePositions, tables);

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

const ALIKE = tablesOf([[32768, 32768]], 3);
// Most streams are refused, and stack traces take time.
Error.stackTraceLimit = 0;

/** The rows of all sound streams of at most two bytes. */
function rowsOfSoundStreams(tables) {
  const rows = [];
  const see = (...bytes) => {
    try {
      rows.push(decode(Uint8Array.from(bytes), tables).join());
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
  const skewed = tablesOf([[99, 65338, 99], [20000, 40000, 5536]], 1);
  for (const [tables, expected] of [[ALIKE, 2 ** 3], [skewed, 3 * 3]]) {
    const rows = rowsOfSoundStreams(tables);
    assert.strictEqual(rows.length, expected);
    assert.strictEqual(new Set(rows).size, expected);
  }
});

test('memory grows with what is decoded, and is given back', () => {
  const tables = tablesOf([[65535, 1]], 1);
  const lanes = 2 ** 22;
  const rows =
      coder.decode(new Uint8Array(0), new Uint32Array(lanes), lanes, tables);
  assert(rows.every((index) => index === 0));
  assert.strictEqual(coder.instance, null);
  assert.strictEqual(decode(new Uint8Array(0), tables).length, 2);
  assert.notStrictEqual(coder.instance, null);
});

test('a range coder that traps refuses the file', () => {
  const broken = {...ALIKE, starts: Uint32Array.of(0x7fff0000)};
  const stream = new Uint8Array(0);
  assert.throws(() => decode(stream, broken), {
    name: 'BitstreamError',
    message: /out of bounds/,
  });
  assert.strictEqual(decode(stream, ALIKE).length, 6);
});
