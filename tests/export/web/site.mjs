/** What the tests of the decoder share: sites that pytest made, by model. */

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {Codec} from '../../../export/web/site/decoder/codec.js';
import {Model} from '../../../export/web/site/decoder/model.js';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The input that pytest wrote. */
export const input = JSON.parse(fs.readFileSync(process.env.WEB_TEST_INPUT));

/** Reads files of a site's model. */
export function reader(site) {
  return async (name) =>
      new Uint8Array(fs.readFileSync(path.join(site, 'model', name)));
}

/** A codec without synthesis. */
export async function codecOf(site, maxPixels) {
  const model = await Model.load(reader(site));
  const noSynthesis = async () => {
    throw new Error('there is no TensorFlow.js here');
  };
  return new Codec(model, noSynthesis, maxPixels);
}

/** SHA-256 of an array's bytes, hexadecimal. */
export function digest({buffer, byteOffset, byteLength}) {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return crypto.createHash('sha256').update(bytes).digest('hex');
}
