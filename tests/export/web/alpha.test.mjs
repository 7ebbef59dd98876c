/** Boxes of alpha, sound and broken, as `test_decoder.py` made them. */

import assert from 'node:assert';
import fs from 'node:fs';
import {test} from 'node:test';

import {openAlpha} from '../../../export/web/site/decoder/alpha.js';
import {Codec} from '../../../export/web/site/decoder/codec.js';
import {models, readerOf} from './site.mjs';

const FOLDER = new URL('../../conformance/', import.meta.url);
const HEADER_BYTES = 26;
const CHECKSUM_OFFSET = 18;

const bytesOf = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
const cases = JSON.parse(fs.readFileSync(process.env.WEB_TEST_ALPHA));
const boxesOf = ({content}) => [
  {type: 'AAAA', data: bytesOf('00')},
  {type: 'Alph', data: bytesOf(content)},
];

test('sound boxes are read', async () => {
  const sound = cases.filter(({alpha}) => alpha !== null);
  assert(sound.length > 10);
  for (const entry of sound) {
    const found = await openAlpha(boxesOf(entry), entry);
    assert.deepStrictEqual(found, bytesOf(entry.alpha), entry.name);
  }
});

test('broken boxes are refused, in little memory', async () => {
  const broken = cases.filter(({alpha}) => alpha === null);
  assert(broken.some(({name}) => name === 'bomb'));
  for (const entry of broken) {
    const before = process.memoryUsage().arrayBuffers;
    const refused = openAlpha(boxesOf(entry), entry);
    const taken = process.memoryUsage().arrayBuffers - before;
    assert(taken < 2 ** 24, `${entry.name} takes ${taken} bytes`);
    await assert.rejects(refused, {name: 'BitstreamError'}, entry.name);
  }
  assert(process.resourceUsage().maxRSS < 2 ** 19, 'more than 512 MiB');
});

test('without a box all is opaque', async () => {
  const boxes = [{type: 'Exif', data: bytesOf('00')}];
  assert.strictEqual(await openAlpha(boxes, {height: 1, width: 1}), null);
});

test('alpha becomes the fourth sample of pixels', async () => {
  const set = JSON.parse(fs.readFileSync(new URL('conformance.json', FOLDER)));
  const {file, model} = set.sound.find(
      ({model, height, width}) => model in models && height * width === 1);
  // The first case is of one pixel as well.
  const [{content, alpha}] = cases;
  const synthesis = {image: async () => new Uint8ClampedArray([1, 2, 3, 255])};
  const codec =
      await Codec.load(readerOf(models[model].site), async () => synthesis);
  const sound = fs.readFileSync(new URL(`files/${file}`, FOLDER));
  const opaque = await codec.decode(new Uint8Array(sound));
  assert.deepStrictEqual([...opaque.data], [1, 2, 3, 255]);

  function withBox(data) {
    const head = Buffer.alloc(8);
    head.write('Alph');
    head.writeUInt32LE(data.length, 4);
    const fields = sound.subarray(0, CHECKSUM_OFFSET);
    // The boxes of both files are shorter than 128 bytes.
    const length = Buffer.of(head.length + data.length);
    const end = HEADER_BYTES + 1 + sound[HEADER_BYTES];
    const body = [length, head, data, sound.subarray(end)];
    const checksum = Buffer.alloc(8);
    const covered = new Uint8Array(Buffer.concat([fields, ...body]));
    checksum.writeBigUInt64LE(codec.coder.fingerprint64(covered));
    return new Uint8Array(Buffer.concat([fields, checksum, ...body]));
  }

  const box = bytesOf(content);
  const {width, height, data} = await codec.decode(withBox(box));
  assert.deepStrictEqual([width, height], [1, 1]);
  assert.deepStrictEqual([...data], [1, 2, 3, ...bytesOf(alpha)]);
  for (const refuse of ['decode', 'info', 'symbols']) {
    const broken = withBox(box.subarray(1));
    await assert.rejects(codec[refuse](broken), {name: 'BitstreamError'});
  }
});
