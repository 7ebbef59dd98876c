/**
 * Loads TensorFlow.js with its WebAssembly backend.
 *
 * Its scripts are not modules; they set the global `tf`. They run only if they
 * have the integrity hashes that the manifest gives.
 */

import {ModelError} from './errors.js';

/**
 * @param {Object<string, {file: string, integrity: string}>} files Of the
 *     manifest: core, backend, plain and simd.
 * @param {string} base The address that the files are relative to.
 * @return {Promise<Object>} `tf`, ready.
 * @throws {ModelError} if it cannot be fetched or started.
 */
export async function loadTensorFlow(files, base) {
  const fetched = (entry, type) => fetchVerified(entry, base, type);
  // A second try must not run the scripts again: they would register the
  // backend twice.
  if (!globalThis.tf?.wasm) {
    const scripts = await Promise.all(
        [files.core, files.backend].map(
            (entry) => fetched(entry, 'text/javascript')));
    for (const address of scripts) {
      await import(address);
      URL.revokeObjectURL(address);
    }
  }
  const {tf} = globalThis;
  // Threads do not make this transform faster.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const binary =
      await fetched(simd ? files.simd : files.plain, 'application/wasm');
  tf.wasm.setWasmPaths({
    'tfjs-backend-wasm.wasm': binary,
    'tfjs-backend-wasm-simd.wasm': binary,
    'tfjs-backend-wasm-threaded-simd.wasm': binary,
  });
  if (!await tf.setBackend('wasm')) {
    throw new ModelError('this browser cannot run WebAssembly');
  }
  await tf.ready();
  URL.revokeObjectURL(binary);
  return tf;
}

/** The address of a copy of a file whose integrity was checked. */
async function fetchVerified({file, integrity}, base, type) {
  const address = new URL(file, base);
  try {
    const response = await fetch(address, {integrity});
    if (!response.ok) throw new Error(`status ${response.status}`);
    const bytes = await response.arrayBuffer();
    return URL.createObjectURL(new Blob([bytes], {type}));
  } catch (e) {
    throw new ModelError(
        `cannot fetch TensorFlow.js from ${address}: ${e.message}`);
  }
}
