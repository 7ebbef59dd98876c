/**
 * The integer coding tables of one quality.
 *
 * bls2017/format/coding_tables.py describes them; their names are the same.
 */

import {ModelError} from './errors.js';

/** What a table's frequencies sum up to. */
const TOTAL = 2 ** 16;

/** What a lane takes beyond its symbols, at most. */
const MAX_LANE_END_BYTES = 4;

/**
 * What decoding at one quality needs. C channels, L of them live, K
 * activities, S symbols of all channels together.
 */
export class QualityTables {
  /**
   * @param {Object} arrays
   * @param {Float32Array} arrays.inverseGain [C]
   * @param {Float32Array} arrays.offset [C]
   * @param {Int16Array} arrays.minimum [C], each channel's smallest symbol.
   * @param {Uint16Array} arrays.size [C], symbols of each channel.
   * @param {Uint16Array} arrays.frequencies [S, K], less one.
   * @param {Uint16Array} arrays.activityFrequencies [K, K + 1], less one; the
   *     column K is that of a lane's first position. Empty where K is 1.
   * @param {number} lanePositions Positions of a lane.
   * @throws {ModelError} if these are not sound tables.
   */
  constructor(arrays, lanePositions) {
    const {inverseGain, offset, minimum, size} = arrays;
    this.inverseGain = inverseGain;
    this.offset = offset;
    this.minimum = minimum;
    this.lanePositions = lanePositions;
    /** S, the distance between the sets in `cdf`. */
    this.tableSymbols = size.reduce((a, b) => a + b, 0);
    /** K, sets of tables. */
    this.numActivities = arrays.frequencies.length / this.tableSymbols;
    /** [K, S], without the tables' ends. */
    this.cdf = cumulative(arrays.frequencies, this.numActivities, size);
    const sets = this.numActivities > 1 ? this.numActivities + 1 : 0;
    /** [K + 1, K], likewise. */
    this.activityCdf =
        cumulative(arrays.activityFrequencies, sets, [this.numActivities]);
    this.listLiveChannels(size);
  }

  /** Sets what is kept for each of the L live channels. */
  listLiveChannels(size) {
    const live = [];
    const starts = [];
    const likeliest = [];
    let start = 0;
    size.forEach((count, channel) => {
      if (count > 1) {
        live.push(channel);
        starts.push(start);
        // Zero, or what is next to it.
        const zero = -this.minimum[channel];
        likeliest.push(Math.max(0, Math.min(count - 1, zero)));
      }
      start += count;
    });
    /** The channels that are coded, increasing. */
    this.live = Int32Array.from(live);
    /** Where each of them begins among the S. */
    this.starts = Int32Array.from(starts);
    /** Symbols of each. */
    this.sizes = Int32Array.from(live, (channel) => size[channel]);
    /** The table index that is tried first. */
    this.likeliest = Int32Array.from(likeliest);
  }

  /** Symbols of a position: the activity, where K > 1, and the channels'. */
  get columns() {
    return this.live.length + (this.numActivities > 1 ? 1 : 0);
  }

  /** The longest stream that so many positions can need: 2 bytes a symbol. */
  maxLaneBytes(positions) {
    return 2 * positions * this.columns + MAX_LANE_END_BYTES;
  }

  /**
   * The symbols of all channels, from the table indices of the live ones.
   *
   * @param {Int16Array} indices [positions, L]
   * @param {Int32Array} symbols [C], where those of one position go.
   * @param {number} position Which.
   */
  symbolsAt(indices, symbols, position) {
    const {live, minimum} = this;
    symbols.set(minimum);
    const first = position * live.length;
    for (let i = 0; i < live.length; i++) {
      symbols[live[i]] += indices[first + i];
    }
  }
}

/**
 * Sums frequencies up.
 *
 * @param {Uint16Array} frequencies [symbols, sets], less one.
 * @param {number} sets Sets of tables.
 * @param {ArrayLike<number>} sizes Symbols of a set's tables.
 * @return {Uint16Array} [sets, symbols], each the sum of what is below it.
 * @throws {ModelError} if a table's sum is not 2**16.
 */
function cumulative(frequencies, sets, sizes) {
  const symbols = sets ? frequencies.length / sets : 0;
  const cdf = new Uint16Array(frequencies.length);
  let start = 0;
  for (const size of symbols ? sizes : []) {
    for (let set = 0; set < sets; set++) {
      let below = 0;
      for (let i = start; i < start + size; i++) {
        cdf[set * symbols + i] = below;
        below += frequencies[i * sets + set] + 1;
      }
      if (below !== TOTAL) throw new ModelError('the tables are damaged');
    }
    start += size;
  }
  return cdf;
}
