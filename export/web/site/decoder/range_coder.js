/**
 * Runs range_coder.wasm, which holds the range coder and the checksum. Its
 * source is bls2017/format/range_coder.c.
 */

import {BitstreamError, check} from './errors.js';

const PAGE_BYTES = 2 ** 16;
/** An instance whose memory has grown beyond this is dropped. */
const MAX_KEPT_BYTES = 2 ** 24;
/** Numbers of 32 bits that hold a decoder. */
const STATE_WORDS = 4;

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
   * Decodes the lanes of an image, `streams`, that follow one another and have
   * `lengths` bytes. The image has h rows of w positions.
   *
   * @return {Uint16Array} [h, w, 1 + L]: the row of each position, which is its
   *     activity and the table indices of the L live channels.
   * @throws {BitstreamError} if a lane is not what an encoder writes.
   */
  decode(streams, lengths, {h, w}, tables) {
    const {numbers, arrays, contextChannels, live} = tables;
    const lanes = lengths.length;
    const positions = h * w;
    const struct = new Uint32Array(numbers.length + arrays.length);
    const grid = Uint32Array.of(h, w, lanes);
    const steps = new Uint32Array(lanes);
    const heads = new Uint16Array(positions * (1 + contextChannels));
    const coded = new Uint16Array(positions);
    const states = new Uint32Array(lanes * STATE_WORDS);
    const rows = new Uint16Array(positions * (1 + live.length));
    const placed = [
      ...arrays, struct, grid, steps, streams, lengths, heads, coded, states,
      rows,
    ];
    return this.run(placed, (exports, addresses) => {
      const {buffer} = exports.memory;
      const tablesAt = addresses.slice(0, arrays.length);
      const [at, gridAt, stepsAt, streamsAt, lengthsAt, ...outAt] =
          addresses.slice(arrays.length);
      const [headsAt, codedAt, statesAt, rowsAt] = outAt;
      new Uint32Array(buffer, at).set([...numbers, ...tablesAt]);
      const call = (decoder, ...rest) => check(
          decoder(at, ...rest), 'a lane is not what an encoder writes');
      call(
          exports.decode_heads, gridAt, streamsAt, lengthsAt, headsAt, codedAt,
          statesAt);
      const others = new Uint16Array(buffer, codedAt, positions)
                         .reduce((a, b) => a + b, 0);
      new Uint32Array(buffer, stepsAt).set(shares(others, lanes));
      call(
          exports.decode_others, lanes, stepsAt, streamsAt, lengthsAt, statesAt,
          positions, headsAt, codedAt, 0, rowsAt);
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

/** How long the runs are into which lanes cut so many things. */
function shares(total, lanes) {
  const least = Math.floor(total / lanes);
  const rest = total % lanes;
  const lengths = new Uint32Array(lanes);
  let begin = 0;
  for (let lane = 0; lane < lanes; lane++) {
    // What of floor((lane + 1) * total / lanes) stays an exact number.
    const end = Math.floor((lane + 1) * rest / lanes);
    lengths[lane] = least + end - begin;
    begin = end;
  }
  return lengths;
}
