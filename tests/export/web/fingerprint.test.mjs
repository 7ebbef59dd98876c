import assert from 'node:assert';
import {test} from 'node:test';

import {fingerprint64} from '../../../export/web/site/decoder/fingerprint.js';
import {input} from './site.mjs';

test('fingerprints are those of the library', () => {
  assert(input.fingerprints.length > 200);
  for (const {hex, fingerprint} of input.fingerprints) {
    const data = new Uint8Array(Buffer.from(hex, 'hex'));
    assert.strictEqual(String(fingerprint64(data)), fingerprint, hex);
  }
});

test('bytes within a larger buffer have the same fingerprint', () => {
  const data = Uint8Array.from({length: 200}, (_, i) => i * i);
  assert.strictEqual(
      fingerprint64(data.subarray(3, 150)), fingerprint64(data.slice(3, 150)));
});
