/** The conformance set, all but its pixels, which need a browser. */

import assert from 'node:assert';
import crypto from 'node:crypto';
import fs from 'node:fs';
import {test} from 'node:test';

import {loadCodec, models} from './site.mjs';

const FOLDER = new URL('../../conformance/', import.meta.url);
const set = JSON.parse(fs.readFileSync(new URL('conformance.json', FOLDER)));
const codecs = {};
for (const [model, {site}] of Object.entries(models)) {
  codecs[model] = await loadCodec(site);
}

const dataOf = ({file}) =>
    new Uint8Array(fs.readFileSync(new URL(`files/${file}`, FOLDER)));

for (const entry of set.sound) {
  const codec = codecs[entry.model];
  const data = dataOf(entry);

  test(`${entry.file} has the symbols of the set`, async () => {
    const {h, w, symbols} = await codec.symbols(data);
    assert.deepStrictEqual([h, w], entry.positions);
    const bytes = new Uint8Array(symbols.buffer);
    const digest = crypto.createHash('sha256').update(bytes).digest('hex');
    assert.strictEqual(digest, entry.symbols_sha256);
  });

  test(`${entry.file} says what the set says`, async () => {
    const info = await codec.info(data, set.max_pixels);
    for (const name of ['version', 'height', 'width', 'quality', 'lanes']) {
      assert.strictEqual(info[name], entry[name], name);
    }
    assert.strictEqual(info.bytes, data.length);
    const metadata = info.boxes.map((box) => [box.type, box.data.length]);
    assert.deepStrictEqual(Object.fromEntries(metadata), entry.metadata);
  });
}

for (const entry of set.broken) {
  test(`${entry.file} is refused`, async () => {
    const refused = codecs[entry.model].decode(dataOf(entry), set.max_pixels);
    await assert.rejects(refused, {name: entry.error});
  });
}

test('the magic is checked first, and the limit before the lanes', async () => {
  const entry = set.sound.find(({file}) => file.endsWith('-lanes.bls'));
  const data = dataOf(entry);
  const codec = codecs[entry.model];
  const pixels = entry.height * entry.width;
  await assert.rejects(codec.decode(data, pixels - 1), {name: 'LimitError'});
  await assert.rejects(codec.decode(data, pixels), /no TensorFlow.js/);
  const other = new Uint8Array(2 ** 25);
  await assert.rejects(codec.decode(other, 1), /magic/);
});
