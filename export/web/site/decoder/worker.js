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

async function readFile(name, integrity) {
  const address = new URL(name, MODEL_URL);
  // These names hold a hash of the content.
  const cache = name.endsWith('.bin') ? 'force-cache' : 'no-cache';
  try {
    const response = await fetch(address, {integrity, cache});
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (e) {
    throw new ModelError(`cannot fetch ${address}: ${e.message}`);
  }
}

/** The codec, TensorFlow.js, and the synthesis of each pair, once loaded. */
const loaded = new Map();

const loadCodec =
    () => kept(loaded, 'codec', () => Codec.load(readFile, loadSynthesis));

const loadSynthesis = (pair, model) => kept(loaded, pair, async () => {
  const [tf, weights] = await Promise.all([
    kept(
        loaded, 'tensorflow',
        () => loadTensorFlow(model.manifest.tensorflow, MODEL_URL)),
    model.weights(pair),
  ]);
  return new Synthesis(tf, weights);
});

async function work({id, task, bytes, maxPixels}) {
  const codec = await loadCodec();
  if (task === 'info') return codec.info(bytes, maxPixels);
  const onProgress = (progress) => self.postMessage({id, progress});
  return codec.decode(bytes, maxPixels, onProgress);
}

let last = Promise.resolve();

self.addEventListener('message', ({data: request}) => {
  last = last.then(async () => {
    const {id} = request;
    try {
      const result = await work(request);
      const transfer = result.data ? [result.data.buffer] : [];
      self.postMessage({id, result}, transfer);
    } catch ({name, message}) {
      self.postMessage({id, error: {name, message}});
    }
  });
});
