/** Reads whole files, up to a length that no .bls image needs. */

import {LimitError, UnreadableInputError} from './errors.js';

const MAX_FILE_BYTES = 2 ** 28;

/** The bytes at an address. */
export async function fetchBytes(address) {
  const response = await fetch(address).catch((e) => {
    throw new UnreadableInputError(
        `cannot fetch ${address}: ${e.message} (there is no such server, or ` +
        'it does not let this site read the file)');
  });
  if (!response.ok) {
    throw new UnreadableInputError(
        `cannot fetch ${address}: the server says ${response.status} ` +
        response.statusText);
  }
  return readAll(response.body, address);
}

/** The bytes of a stream; errors call it by the name. */
export async function readAll(stream, name) {
  const chunks = [];
  let length = 0;
  const reader = stream.getReader();
  const read = () => reader.read().catch((e) => {
    throw new UnreadableInputError(`cannot read ${name}: ${e.message}`);
  });
  for (let part = await read(); !part.done; part = await read()) {
    chunks.push(part.value);
    length += part.value.length;
    if (length > MAX_FILE_BYTES) {
      reader.cancel();
      throw new LimitError(`${name} is longer than ${MAX_FILE_BYTES} bytes`);
    }
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
