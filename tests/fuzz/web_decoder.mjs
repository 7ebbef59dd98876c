/**
 * Decodes what `web_decoder.py` sends, a file in hexadecimal on each line, and
 * answers with a line: the SHA-256 of its symbols or the name of its error.
 */

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';

const [, , site] = process.argv;
const {Codec} = await import(path.join(site, 'decoder', 'codec.js'));
const {CodecError} = await import(path.join(site, 'decoder', 'errors.js'));

const codec = await Codec.load(
    async (name) =>
        new Uint8Array(fs.readFileSync(path.join(site, 'model', name))));

async function outcome(data) {
  try {
    const {symbols} = await codec.symbols(data);
    const bytes = new Uint8Array(symbols.buffer);
    return crypto.createHash('sha256').update(bytes).digest('hex');
  } catch (error) {
    if (error instanceof CodecError) return error.name;
    throw error;
  }
}

for await (const line of readline.createInterface({input: process.stdin})) {
  console.log(await outcome(new Uint8Array(Buffer.from(line, 'hex'))));
}
