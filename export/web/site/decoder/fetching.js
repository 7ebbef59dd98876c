/** Reads files from elsewhere, no more of them than memory allows. */

import {LimitError, UnreadableInputError} from './errors.js';

/** No file of this format within any page's limit is longer. */
export const MAX_FILE_BYTES = 2 ** 28;

/**
 * Fetches a file.
 *
 * @param {string} address
 * @return {Promise<Uint8Array>}
 * @throws {UnreadableInputError|LimitError}
 */
export async function fetchBytes(address) {
  let response;
  try {
    response = await fetch(address);
  } catch (e) {
    throw new UnreadableInputError(
        `cannot fetch ${address}: ${e.message} (there is no such server, or ` +
        'it does not let this site read the file)');
  }
  if (!response.ok) {
    throw new UnreadableInputError(
        `cannot fetch ${address}: the server says ${response.status} ` +
        response.statusText);
  }
  return readAll(response.body, address);
}

/**
 * Reads a file that was dropped or chosen.
 *
 * @param {File} file
 * @return {Promise<Uint8Array>}
 * @throws {UnreadableInputError|LimitError}
 */
export async function readFile(file) {
  try {
    return await readAll(file.stream(), file.name);
  } catch (e) {
    if (e instanceof LimitError) throw e;
    throw new UnreadableInputError(`cannot read ${file.name}: ${e.message}`);
  }
}

async function readAll(stream, name) {
  const chunks = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length > MAX_FILE_BYTES) {
      await reader.cancel();
      throw new LimitError(`${name} is longer than ${MAX_FILE_BYTES} bytes`);
    }
  }
  const bytes = new Uint8Array(length);
  let next = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, next);
    next += chunk.length;
  }
  return bytes;
}
