/**
 * Decodes .bls images in a browser.
 *
 *     import {decode} from './decoder/bls2017.js';
 *     import {showImages} from './decoder/images.js';
 *
 *     const {width, height, data} = await decode(bytes);
 *     showImages();  // From now on <img src="x.bls"> works.
 *
 * A worker does the work; the first file starts it.
 */

import {CodecError, ModelError, revived} from './errors.js';

export * from './errors.js';

/**
 * Decodes an image.
 *
 * @param {Uint8Array|ArrayBuffer|Blob} bytes A whole file.
 * @param {Object} [options]
 * @param {number} [options.maxPixels] Images of more are refused; the export
 *     says how many by default.
 * @param {function(number): void} [options.onProgress] Told the share that is
 *     done, from 0 to 1.
 * @return {Promise<{width: number, height: number, data: Uint8ClampedArray}>}
 *     The data are RGBA, as `ImageData` takes them.
 * @throws {BitstreamError} if the bytes are not a whole, unchanged file.
 * @throws {ForeignModelError} if another model wrote them.
 * @throws {LimitError} if the image is over the limit.
 * @throws {ModelError} if a file of the site cannot be used.
 */
export function decode(bytes, {maxPixels, onProgress} = {}) {
  return ask('decode', bytes, maxPixels, onProgress);
}

/**
 * Says what a file is, without decoding it.
 *
 * @param {Uint8Array|ArrayBuffer|Blob} bytes A whole file.
 * @param {Object} [options] As of `decode`.
 * @return {Promise<Object>} version, height, width, quality, modelId
 *     (hexadecimal), bpp, bytes, payloadBytes, lanes, and boxes: the metadata
 *     as [{type, data}].
 * @throws As `decode`.
 */
export function info(bytes, {maxPixels} = {}) {
  return ask('info', bytes, maxPixels);
}

/** What the worker has not answered yet, by number. */
const requests = new Map();
let worker = null;
let nextId = 0;

async function ask(task, bytes, maxPixels, onProgress) {
  if (bytes instanceof Blob) bytes = await bytes.arrayBuffer();
  if (bytes instanceof ArrayBuffer) bytes = new Uint8Array(bytes);
  const id = nextId++;
  return new Promise((resolve, reject) => {
    requests.set(id, {resolve, reject, onProgress});
    worker ??= startWorker();
    worker.postMessage({id, task, bytes, maxPixels});
  });
}

function startWorker() {
  const address = new URL('worker.js', import.meta.url);
  const started = new Worker(address, {type: 'module'});
  started.addEventListener('message', ({data}) => answer(data));
  started.addEventListener('error', (event) => {
    event.preventDefault();
    const why = event.message || 'its script cannot be loaded';
    endWorker(new ModelError(`the decoder's worker stopped: ${why}`));
  });
  return started;
}

function answer({id, progress, result, error}) {
  const request = requests.get(id);
  if (!request) return;
  if (progress !== undefined) {
    request.onProgress?.(progress);
    return;
  }
  requests.delete(id);
  if (result) {
    request.resolve(result);
    return;
  }
  const reason = revived(error);
  request.reject(reason);
  // Memory ran out, say. TensorFlow.js does not recover from that; the next
  // file gets a new worker.
  if (reason.constructor === CodecError) endWorker(reason);
}

function endWorker(reason) {
  worker?.terminate();
  worker = null;
  for (const {reject} of requests.values()) reject(reason);
  requests.clear();
}
