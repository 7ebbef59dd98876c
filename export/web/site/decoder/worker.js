/**
 * The worker in which files are decoded, one after the other.
 *
 * It takes {id, task, bytes, maxPixels}, where the task is "decode" or "info",
 * and answers {id, progress}, and at last {id, result} or {id, error}.
 */

import {Codec} from './codec.js';
import {ModelError} from './errors.js';
import {kept, MANIFEST_FILE, Model} from './model.js';
import {Synthesis} from './synthesis.js';
import {loadTensorFlow} from './tensorflow.js';

const MODEL_URL = new URL('../model/', import.meta.url);

async function readFile(name, integrity) {
  const address = new URL(name, MODEL_URL);
  // A name other than the manifest's changes with the content.
  const cache = name === MANIFEST_FILE ? 'no-cache' : 'force-cache';
  try {
    const response = await fetch(address, {integrity, cache});
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (e) {
    throw new ModelError(`cannot fetch ${address}: ${e.message}`);
  }
}

/** The model, TensorFlow.js, and the synthesis of each pair, once loaded. */
const loaded = new Map();

const loadModel = () => kept(loaded, 'model', () => Model.load(readFile));

const loadSynthesis = (pair) => kept(loaded, pair, async () => {
  const model = await loadModel();
  const [tf, weights] = await Promise.all([
    kept(
        loaded, 'tensorflow',
        () => loadTensorFlow(model.manifest.tensorflow, MODEL_URL)),
    model.weights(pair),
  ]);
  return new Synthesis(tf, weights);
});

async function work({id, task, bytes, maxPixels}) {
  const codec = new Codec(await loadModel(), loadSynthesis, maxPixels);
  if (task === 'info') return codec.info(bytes);
  return codec.decode(
      bytes, (progress) => self.postMessage({id, progress}));
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
