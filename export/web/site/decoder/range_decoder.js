/**
 * The range decoder; bls2017/format/FORMAT.md describes a stream.
 *
 * Numbers of up to 48 bits are held exactly by JavaScript's doubles.
 */

import {BitstreamError} from './errors.js';

/** What cumulative frequencies sum up to. */
const TOTAL = 2 ** 16;
const WORD = 2 ** 16;
const TOP_BYTE = 2 ** 24;
const FULL = 2 ** 32;

/** Decodes one stream, symbol by symbol. */
export class RangeDecoder {
  /** @param {Uint8Array} stream Any bytes; zeros follow them. */
  constructor(stream) {
    this.stream = stream;
    /** Size of the interval: above 2**16, at most 2**32. */
    this.size = FULL;
    /** 32 bits of the number that the stream spells. */
    this.value = 0;
    /** How far the value lies above the interval's base, modulo 2**32. */
    this.distance = 0;
    /** Bytes taken into the value. */
    this.taken = 0;
    this.shift();
    this.shift();
    this.distance = this.value;
  }

  /** Takes the next 16 bits into the value. */
  shift() {
    const {stream, taken} = this;
    const high = taken < stream.length ? stream[taken] : 0;
    const low = taken + 1 < stream.length ? stream[taken + 1] : 0;
    const word = high * 256 + low;
    this.taken += 2;
    this.value = (this.value % WORD) * WORD + word;
    return word;
  }

  /**
   * Decodes a symbol.
   *
   * @param {Uint16Array} cdf Holds the table: cumulative frequencies, the first
   *     of them 0; the end, 2**16, is left out.
   * @param {number} first Where the table begins.
   * @param {number} count Symbols of the table.
   * @param {number} guess The likeliest symbol, which is tried first.
   * @return {number} From 0 to `count` - 1.
   */
  decode(cdf, first, count, guess) {
    const {size, distance} = this;
    // The largest c with floor(size * c / 2**16) <= distance. The product has
    // at most 48 bits. A quotient that is no integer is at least 2**-32 away
    // from one and at most 2**-37 from its double, so that rounding it up is
    // exact.
    const target = Math.ceil((distance + 1) * TOTAL / size) - 1;
    let symbol = guess;
    let end = guess + 1;
    if (cdf[first + guess] > target) {
      symbol = 0;
      end = guess;
    } else if (end < count && cdf[first + end] <= target) {
      symbol = end;
      end = count;
    }
    while (end - symbol > 1) {
      const middle = (symbol + end) >> 1;
      if (cdf[first + middle] <= target) symbol = middle;
      else end = middle;
    }
    const lower = Math.floor(size * cdf[first + symbol] / TOTAL);
    const upper = symbol + 1 === count ?
        size :
        Math.floor(size * cdf[first + symbol + 1] / TOTAL);
    this.distance = distance - lower;
    this.size = upper - lower;
    if (this.size <= WORD) {
      this.size *= WORD;
      this.distance = this.distance * WORD + this.shift();
    }
    return symbol;
  }

  /**
   * Checks that the stream is the one which an encoder writes for the symbols
   * that were decoded, so that no image has two files.
   *
   * @throws {BitstreamError}
   */
  checkEnd() {
    const {stream, value, size} = this;
    const shifted = this.taken - 4;
    const low = (value - this.distance + FULL) % FULL;
    const toByte = Math.ceil(low / TOP_BYTE) * TOP_BYTE;
    const toWord = Math.ceil(low / WORD) * WORD;
    let canonical;
    if (low + size > FULL) {
      const stripped = !stream.length || stream[stream.length - 1] !== 0;
      canonical = value === 0 && stream.length <= shifted && stripped;
    } else if (low === 0) {
      canonical = value === 0 && stream.length === shifted;
    } else if (toByte < low + size) {
      canonical = value === toByte && stream.length === shifted + 1;
    } else {
      canonical = value === toWord && stream.length === shifted + 2;
    }
    if (!canonical) {
      throw new BitstreamError(
          'the payload is not what an encoder of this format writes');
    }
  }
}

/**
 * Decodes the lanes of an image.
 *
 * @param {Uint8Array[]} lanes One stream for each lane.
 * @param {number} positions Positions of the image.
 * @param {QualityTables} tables Tables of the quality.
 * @return {Int16Array} [positions, L], the table indices of the live channels.
 * @throws {BitstreamError} if a stream is not what an encoder writes.
 */
export function decodeLanes(lanes, positions, tables) {
  const {lanePositions, numActivities, activityCdf, cdf} = tables;
  const {starts, sizes, likeliest, tableSymbols} = tables;
  const columns = starts.length;
  const indices = new Int16Array(positions * columns);
  const laneActivities = new Uint8Array(lanePositions);
  let first = 0;
  for (const lane of lanes) {
    const decoder = new RangeDecoder(lane);
    const count = Math.min(lanePositions, positions - first);
    if (numActivities > 1) {
      let before = numActivities;
      for (let p = 0; p < count; p++) {
        const table = before * numActivities;
        before = decoder.decode(activityCdf, table, numActivities, 0);
        laneActivities[p] = before;
      }
    }
    let next = first * columns;
    for (let p = 0; p < count; p++) {
      const set = laneActivities[p] * tableSymbols;
      for (let c = 0; c < columns; c++) {
        indices[next++] =
            decoder.decode(cdf, set + starts[c], sizes[c], likeliest[c]);
      }
    }
    decoder.checkEnd();
    first += count;
  }
  return indices;
}
