/** What the tests share: the sites that `test_decoder.py` exported. */

import fs from 'node:fs';
import path from 'node:path';

import {Codec} from '../../../export/web/site/decoder/codec.js';

/** By model: the folder of its site, and the sums of its weights. */
export const models = JSON.parse(process.env.WEB_TEST_MODELS);

/** Reads files of a site as the worker does. */
export function readerOf(site) {
  return async (name) =>
      new Uint8Array(fs.readFileSync(path.join(site, 'model', name)));
}

/** A codec that decodes symbols, but no pixels. */
export function loadCodec(site) {
  return Codec.load(readerOf(site), async () => {
    throw new Error('there is no TensorFlow.js here');
  });
}
