/**
 * The worker in which files are decoded, one after the other.
 *
 * It takes {id, task, bytes, maxPixels}, where the task is "decode" or "info",
 * and answers {id, progress}, and at last {id, result} or {id, error}.
 */

import {Codec} from './codec.js';
import {ModelError} from './errors.js';
import {kept} from './model.js';
import {Synthesis} from './synthesis.js';
import {loadTensorFlow} from './tensorflow.js';

const MODEL_URL = new URL('../model/', import.meta.url);

/** Fetches a file of the site; what has an integrity hash never changes. */
async function readFile(name, integrity) {
  const address = new URL(name, MODEL_URL);
  const fetchBy = (cache) => fetch(address, {integrity, cache});
  try {
    // A cache may hold the file of an earlier export.
    const response = integrity ?
        await fetchBy('force-cache').catch(() => fetchBy('reload')) :
        await fetchBy('no-cache');
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (e) {
    throw new ModelError(`cannot fetch ${address}: ${e.message}`);
  }
}

/** The codec, TensorFlow.js, and the synthesis of each pair, once loaded. */
const loaded = new Map();

const loadSynthesis = (pair, model) => kept(loaded, pair, async () => {
  const {tensorflow} = model.manifest;
  const [tf, weights] = await Promise.all([
    kept(loaded, 'tensorflow', () => loadTensorFlow(tensorflow, readFile)),
    model.weights(pair),
  ]);
  return new Synthesis(tf, weights);
});

const loadCodec =
    () => kept(loaded, 'codec', () => Codec.load(readFile, loadSynthesis));

async function work({id, task, bytes, maxPixels}) {
  try {
    const codec = await loadCodec();
    const result = await codec[task](
        bytes, maxPixels, (progress) => self.postMessage({id, progress}));
    self.postMessage({id, result}, result.data ? [result.data.buffer] : []);
  } catch ({name, message}) {
    self.postMessage({id, error: {name, message}});
  }
}

let last = Promise.resolve();
self.addEventListener('message', ({data}) => {
  last = last.then(() => work(data));
});
