import assert from 'node:assert';
import {test} from 'node:test';

import {BitstreamError} from '../../../export/web/site/decoder/errors.js';
import {
  decodeLanes,
  RangeDecoder,
} from '../../../export/web/site/decoder/range_decoder.js';
import {QualityTables} from '../../../export/web/site/decoder/tables.js';

/** Tables of one activity; each channel has its frequencies. */
function tablesOf(channels, lanePositions) {
  return new QualityTables(
      {
        inverseGain: new Float32Array(channels.length),
        offset: new Float32Array(channels.length),
        minimum: new Int16Array(channels.length),
        size: Uint16Array.from(channels, (channel) => channel.length),
        frequencies: Uint16Array.from(channels.flat(), (f) => f - 1),
        activityFrequencies: new Uint16Array(0),
      },
      lanePositions);
}

const TABLES = {
  alike: tablesOf([[32768, 32768]], 3),
  skewed: tablesOf([[65535, 1]], 2),
  several: tablesOf([[1, 65534, 1], [65536], [20000, 40000, 5536]], 1),
};

/** All streams of at most two bytes. */
function* streams() {
  yield new Uint8Array(0);
  for (let a = 0; a < 256; a++) {
    yield Uint8Array.of(a);
    for (let b = 0; b < 256; b++) yield Uint8Array.of(a, b);
  }
}

for (const [name, tables] of Object.entries(TABLES)) {
  test(`symbols have one stream: ${name}`, () => {
    const seen = new Set();
    let refused = 0;
    for (const stream of streams()) {
      let indices;
      try {
        indices = decodeLanes([stream], tables.lanePositions, tables).join();
      } catch (error) {
        assert(error instanceof BitstreamError);
        refused++;
        continue;
      }
      assert(!seen.has(indices), indices);
      seen.add(indices);
    }
    const live = tables.live.length;
    const sequences =
        tables.sizes.reduce((a, b) => a * b, 1) ** tables.lanePositions;
    assert(live && refused > 0);
    // Short streams reach all sequences that are not too unlikely.
    assert(seen.size > 1 && seen.size <= sequences);
    if (name === 'alike') assert.strictEqual(seen.size, sequences);
  });
}

test('decoding takes a symbol whatever is tried first', () => {
  const cdf = Uint16Array.of(9, 0, 1, 500, 501, 65535);
  for (let value = 0; value < 65536; value += 7) {
    const stream = Uint8Array.of(value >> 8, value & 255);
    const symbols = [0, 1, 2, 3, 4].map(
        (guess) => new RangeDecoder(stream).decode(cdf, 1, 5, guess));
    const expected = [0, 1, 500, 501, 65535].findLastIndex((c) => c <= value);
    assert.deepStrictEqual(new Set(symbols), new Set([expected]));
  }
});
