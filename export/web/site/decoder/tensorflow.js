import {ModelError} from './errors.js';

/**
 * Loads TensorFlow.js with its WebAssembly backend, from the files that the
 * manifest names. Its scripts are not modules; they set the global `tf`.
 */
export async function loadTensorFlow(files, readFile) {
  const copyOf = async ({file, integrity}, type) => {
    const bytes = await readFile(file, integrity);
    return URL.createObjectURL(new Blob([bytes], {type}));
  };
  // A second try must not run the scripts again: they would register the
  // backend twice.
  if (!globalThis.tf?.wasm) {
    const scripts = await Promise.all(
        [files.core, files.backend].map(
            (entry) => copyOf(entry, 'text/javascript')));
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
      await copyOf(simd ? files.simd : files.plain, 'application/wasm');
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
