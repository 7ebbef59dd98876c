/**
 * Runs range_coder.wasm, which holds the range coder and the checksum. Its
 * source is bls2017/format/range_coder.c.
 */

import {BitstreamError, check} from './errors.js';

const PAGE_BYTES = 2 ** 16;
/** An instance whose memory has grown beyond this is dropped. */
const MAX_KEPT_BYTES = 2 ** 24;

export class RangeCoder {
  /** @param {WebAssembly.Module} module Of range_coder.wasm. */
  constructor(module) {
    this.module = module;
    this.instance = null;
  }

  /** FarmHash's Fingerprint64 of bytes, a BigInt from 0 to 2**64 - 1. */
  fingerprint64(data) {
    return this.run([data], (exports, [address]) => {
      const fingerprint = exports.fingerprint64(address, data.length);
      return BigInt.asUintN(64, fingerprint);
    });
  }

  /**
   * Decodes lanes, `streams`, that follow one another and have `lengths` bytes.
   *
   * @return {Uint16Array} [positions, 1 + L]: the row of each position, which
   *     is its activity and the table indices of the L live channels.
   * @throws {BitstreamError} if a lane is not what an encoder writes.
   */
  decode(streams, lengths, positions, tables) {
    const {activities, symbols, lanePositions} = tables;
    const {cdf, activityCdf, starts, sizes} = tables;
    const numbers = [activities, starts.length, symbols, lanePositions];
    const struct = new Uint32Array(8);
    const rows = new Uint16Array(positions * (1 + starts.length));
    const arrays =
        [cdf, activityCdf, starts, sizes, struct, streams, lengths, rows];
    return this.run(arrays, (exports, addresses) => {
      const {buffer} = exports.memory;
      const [at, streamsAt, lengthsAt, rowsAt] = addresses.slice(4);
      new Uint32Array(buffer, at).set([...numbers, ...addresses.slice(0, 4)]);
      const isSound =
          exports.decode(at, positions, streamsAt, lengthsAt, rowsAt);
      check(isSound, 'a lane is not what an encoder writes');
      rows.set(new Uint16Array(buffer, rowsAt, rows.length));
      return rows;
    });
  }

  /** Copies arrays into memory; returns what `work` makes of the addresses. */
  run(arrays, work) {
    this.instance ??= new WebAssembly.Instance(this.module);
    const {exports} = this.instance;
    const {memory} = exports;
    try {
      let end = exports.__heap_base.value;
      const addresses = arrays.map(({byteLength}) => {
        const address = end;
        end += 8 * Math.ceil(byteLength / 8);
        return address;
      });
      const missing = end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      arrays.forEach(({buffer, byteOffset, byteLength}, i) => {
        const bytes = new Uint8Array(buffer, byteOffset, byteLength);
        new Uint8Array(memory.buffer).set(bytes, addresses[i]);
      });
      return work(exports, addresses);
    } catch (e) {
      if (!(e instanceof WebAssembly.RuntimeError)) throw e;
      this.instance = null;
      throw new BitstreamError(`the range coder stopped: ${e.message}`);
    } finally {
      if (memory.buffer.byteLength > MAX_KEPT_BYTES) this.instance = null;
    }
  }
}
