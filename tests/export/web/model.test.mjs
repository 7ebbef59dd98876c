import assert from 'node:assert';
import {test} from 'node:test';

import {ModelError} from '../../../export/web/site/decoder/errors.js';
import {Model} from '../../../export/web/site/decoder/model.js';
import {tilesOf} from '../../../export/web/site/decoder/synthesis.js';
import {models, readerOf} from './site.mjs';

const PAIRS = 'tests/conformance/pairs';
const read = readerOf(models[PAIRS].site);

test('a manifest of another format is refused', async () => {
  for (const text of ['{"format": 1}', '{}', '<!doctype html>']) {
    const other = async () => new TextEncoder().encode(text);
    await assert.rejects(Model.load(other), ModelError);
  }
});

test('a damaged file is refused', async () => {
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
    await assert.rejects(model.rangeCoder(), ModelError);
  }
});

test('files are read when needed, once, again after an error', async () => {
  const names = [];
  let fails = true;
  const model = await Model.load(async (name) => {
    names.push(name);
    if (fails && !name.endsWith('.json')) throw new ModelError('no network');
    return read(name);
  });
  const {tables, weights} = model.manifest;
  assert.deepStrictEqual(tables.map(({pair}) => pair), [0, 0, 0, 1, 1]);
  await assert.rejects(model.tables(1), /no network/);
  await assert.rejects(model.weights(1), /no network/);
  fails = false;
  assert.strictEqual(await model.tables(1), await model.tables(1));
  assert.strictEqual(await model.weights(1), await model.weights(1));
  const [table, weight] = [tables[1].file, weights[1].file];
  assert.deepStrictEqual(names, ['model.json', table, weight, table, weight]);
});

for (const [name, {site, sums}] of Object.entries(models)) {
  test(`${name}: kernels and gammas are the library's`, async () => {
    const model = await Model.load(readerOf(site));
    const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
    for (const [pair, expected] of sums.entries()) {
      const arrays = Object.values(await model.weights(pair))
          .filter(({shape}) => shape.length === 4);
      for (const {values, shape} of arrays) {
        assert.strictEqual(values.length, shape.reduce((a, b) => a * b));
      }
      const found = sum(arrays.map(({values}) => sum(values)));
      assert(Math.abs(found - expected) < 1e-3 * Math.abs(expected));
    }
  });
}

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
