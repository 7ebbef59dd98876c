/** The conformance set, all but its pixels, for which a browser is needed. */

import assert from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';

import {LimitError} from '../../../export/web/site/decoder/errors.js';
import {codecOf, digest, input, ROOT} from './site.mjs';

const FOLDER = path.join(ROOT, 'tests', 'conformance');
const manifest =
    JSON.parse(fs.readFileSync(path.join(FOLDER, 'conformance.json')));

async function opened(entry) {
  const codec = await codecOf(input.sites[entry.model], manifest.max_pixels);
  const data = fs.readFileSync(path.join(FOLDER, 'files', entry.file));
  return {codec, data: new Uint8Array(data)};
}

for (const entry of manifest.sound) {
  test(`${entry.file} has the symbols of the set`, async () => {
    const {codec, data} = await opened(entry);
    const {h, w, symbols} = await codec.symbols(data);
    assert.deepStrictEqual([h, w], entry.positions);
    assert.strictEqual(digest(symbols), entry.symbols_sha256);
  });

  test(`${entry.file} says what the set says`, async () => {
    const {codec, data} = await opened(entry);
    const info = await codec.info(data);
    for (const name of ['version', 'height', 'width', 'quality', 'lanes']) {
      assert.strictEqual(info[name], entry[name], name);
    }
    assert.strictEqual(info.bytes, data.length);
    const metadata = info.boxes.map((box) => [box.type, box.data.length]);
    assert.deepStrictEqual(Object.fromEntries(metadata), entry.metadata);
  });

  test(`${entry.file} is read before its pixels are made`, async () => {
    const {codec, data} = await opened(entry);
    await assert.rejects(codec.decode(data), /no TensorFlow.js/);
  });
}

for (const entry of manifest.broken) {
  test(`${entry.file} is refused`, async () => {
    const {codec, data} = await opened(entry);
    await assert.rejects(codec.decode(data), {name: entry.error});
  });
}

test('a file longer than any image needs is refused unread', async () => {
  const codec = await codecOf(input.sites[manifest.sound[0].model], 256);
  const longest = codec.model.maxFileBytes(256);
  const file = new Uint8Array(longest + 1);
  await assert.rejects(codec.decode(file), LimitError);
  await assert.rejects(
      codec.decode(file.subarray(1)), {name: 'BitstreamError'});
});
