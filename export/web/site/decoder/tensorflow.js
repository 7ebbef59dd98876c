/**
 * Loads TensorFlow.js with its WebAssembly backend.
 *
 * Its scripts are not modules; they set the global `tf`. Those from elsewhere
 * are fetched with their integrity hashes, and run only where these are right.
 */

import {ModelError} from './errors.js';

const BINARIES = {
  plain: 'tfjs-backend-wasm.wasm',
  simd: 'tfjs-backend-wasm-simd.wasm',
  threads: 'tfjs-backend-wasm-threaded-simd.wasm',
};

/**
 * @param {Object<string, {file: string, integrity: string}>} files Of the
 *     manifest: core, backend, plain and simd.
 * @param {string} base Address that the files are relative to.
 * @return {Promise<Object>} `tf`, ready.
 * @throws {ModelError} if it cannot be fetched or started.
 */
export async function loadTensorFlow(files, base) {
  // What ran in a try that failed later must not run again: it would register
  // its backend and kernels twice.
  if (!globalThis.tf?.wasm) await runScripts([files.core, files.backend], base);
  const {tf} = globalThis;
  // Threads do not make this transform faster.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const binary = await verified(
      simd ? files.simd : files.plain, base, 'application/wasm');
  tf.wasm.setWasmPaths(Object.fromEntries(
      Object.values(BINARIES).map((name) => [name, binary])));
  if (!await tf.setBackend('wasm')) {
    throw new ModelError('this browser cannot run WebAssembly');
  }
  await tf.ready();
  URL.revokeObjectURL(binary);
  return tf;
}

/** Fetches scripts side by side, and runs them one after the other. */
async function runScripts(entries, base) {
  const addresses = await Promise.all(
      entries.map((entry) => verified(entry, base, 'text/javascript')));
  for (const address of addresses) {
    await import(address);
    URL.revokeObjectURL(address);
  }
}

/** The address of a copy of a file whose integrity was checked. */
async function verified({file, integrity}, base, type) {
  const address = new URL(file, base);
  let bytes;
  try {
    const response = await fetch(address, {integrity});
    if (!response.ok) throw new Error(`status ${response.status}`);
    bytes = await response.arrayBuffer();
  } catch (e) {
    throw new ModelError(
        `cannot fetch TensorFlow.js from ${address}: ${e.message}`);
  }
  return URL.createObjectURL(new Blob([bytes], {type}));
}
