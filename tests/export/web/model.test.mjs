import assert from 'node:assert';
import {test} from 'node:test';

import {ModelError} from '../../../export/web/site/decoder/errors.js';
import {Model} from '../../../export/web/site/decoder/model.js';
import {tilesOf} from '../../../export/web/site/decoder/synthesis.js';
import {QualityTables} from '../../../export/web/site/decoder/tables.js';
import {input, reader} from './site.mjs';

const SITE = Object.values(input.sites)[0];
const PAIRS = 'tests/conformance/pairs';

test('a manifest of another format is refused', async () => {
  for (const text of ['{"format": 1}', '{}', '<!doctype html>']) {
    const read = async () => new TextEncoder().encode(text);
    await assert.rejects(Model.load(read), ModelError);
  }
});

test('a damaged file is refused', async () => {
  const read = reader(SITE);
  const damaged = [
    (bytes) => bytes.subarray(0, -9),
    (bytes) => bytes.map((byte, i) => i === 20 ? byte ^ 255 : byte),
    () => new Uint8Array(0),
  ];
  for (const damage of damaged) {
    const model = await Model.load(
        async (name) =>
            name.endsWith('.json') ? read(name) : damage(await read(name)));
    await assert.rejects(model.tables(0), ModelError);
    await assert.rejects(model.weights(0), ModelError);
  }
});

test('files are read once, and again only after an error', async () => {
  const names = [];
  let fails = true;
  const model = await Model.load(async (name) => {
    names.push(name);
    if (fails && !name.endsWith('.json')) throw new ModelError('no network');
    return reader(SITE)(name);
  });
  await assert.rejects(model.tables(1), /no network/);
  await assert.rejects(model.weights(0), /no network/);
  fails = false;
  assert.strictEqual(await model.tables(1), await model.tables(1));
  assert.strictEqual(await model.weights(0), await model.weights(0));
  assert.strictEqual(names.length, 1 + 2 + 2);
});

for (const [name, sums] of Object.entries(input.sums)) {
  test(`${name}: weights are the library's`, async () => {
    const model = await Model.load(reader(input.sites[name]));
    for (const [pair, sumsOfPair] of sums.entries()) {
      checkWeights(await model.weights(pair), sumsOfPair);
    }
  });
}

/** Weights are finite, of their shapes, and sum up to what they should. */
function checkWeights(weights, sums) {
  assert.strictEqual(Object.keys(weights).length, 12);
  for (const [name, {values, shape}] of Object.entries(weights)) {
    assert.strictEqual(values.length, shape.reduce((a, b) => a * b, 1), name);
    assert(values.every(Number.isFinite), name);
    const sum = values.reduce((a, b) => a + b, 0);
    assert(Math.abs(sum - sums[name]) < 1e-3 * values.length, name);
  }
}

test('a pair is fetched when a quality of it is asked for', async () => {
  const names = [];
  const read = reader(input.sites[PAIRS]);
  const model = await Model.load(async (name) => {
    names.push(name);
    return read(name);
  });
  const pairs = model.manifest.tables.map((_, index) => model.pairOf(index));
  assert.deepStrictEqual(pairs, [0, 0, 0, 1, 1]);
  await model.weights(1);
  const fetched = model.manifest.weights.map(({file}) => names.includes(file));
  assert.deepStrictEqual(fetched, [false, true]);
  const channels = [];
  for (const pair of [0, 1]) {
    const weights = await model.weights(pair);
    channels.push(weights['synthesis/igdn_in/beta'].values.length);
  }
  assert.deepStrictEqual(channels, [12, 21]);
});

test('tables whose frequencies do not sum up are refused', () => {
  const arrays = {
    inverseGain: new Float32Array(1),
    offset: new Float32Array(1),
    minimum: new Int16Array(1),
    size: Uint16Array.of(2),
    frequencies: Uint16Array.of(65533, 1),
    activityFrequencies: new Uint16Array(0),
  };
  new QualityTables(arrays, 1);
  for (const frequencies of [[65533, 0], [65534, 1], [65535, 65535]]) {
    const wrong = {...arrays, frequencies: Uint16Array.from(frequencies)};
    assert.throws(() => new QualityTables(wrong, 1), ModelError);
  }
});

test('tiles cover every position once, with what they depend on', () => {
  for (const [h, w] of [[1, 1], [48, 48], [49, 130], [3, 500]]) {
    const seen = new Uint8Array(h * w);
    for (const {inner, outer} of tilesOf({h, w})) {
      for (let y = inner.top; y < inner.top + inner.h; y++) {
        for (let x = inner.left; x < inner.left + inner.w; x++) {
          seen[y * w + x]++;
        }
      }
      const ends = (r) => [r.top, r.left, r.top + r.h, r.left + r.w];
      const [top, left, bottom, right] = ends(inner);
      assert.deepStrictEqual(ends(outer), [
        Math.max(top - 2, 0),
        Math.max(left - 2, 0),
        Math.min(bottom + 2, h),
        Math.min(right + 2, w),
      ]);
    }
    assert(seen.every((count) => count === 1));
  }
});
