/** The integer coding tables of a quality. */

/**
 * Tables of C channels, L of them live, with K activities and S symbols of all
 * channels together.
 *
 * @typedef {{
 *   activities: number,
 *   symbols: number,
 *   lanePositions: number,
 *   cdf: Uint16Array,
 *   activityCdf: Uint16Array,
 *   minimum: Int16Array,
 *   offset: Float32Array,
 *   inverseGain: Float32Array,
 *   live: number[],
 *   starts: Uint32Array,
 *   sizes: Uint16Array,
 * }} Tables `activities` is K and `symbols` is S. `cdf` [K, S] and
 *     `activityCdf` [K + 1, K] are without the tables' ends. `minimum` (smallest
 *     symbols), `offset` and `inverseGain` are [C]. Of each live channel, [L],
 *     there are its number, where its table begins among the S, and its size.
 */

/**
 * Makes tables of the arrays of a quality's file.
 *
 * @param {Object<string, {values: TypedArray, shape: number[]}>} arrays
 * @param {number} lanePositions Positions of a lane.
 * @return {Tables}
 */
export function makeTables(arrays, lanePositions) {
  const sizes = arrays.size.values;
  const live = [];
  const starts = [];
  let symbols = 0;
  sizes.forEach((size, channel) => {
    if (size > 1) {
      live.push(channel);
      starts.push(symbols);
    }
    symbols += size;
  });
  return {
    activities: arrays.cdf_steps.shape[1],
    symbols,
    lanePositions,
    cdf: summedUp(arrays.cdf_steps),
    activityCdf: summedUp(arrays.activity_cdf_steps),
    minimum: arrays.minimum.values,
    offset: arrays.offset.values,
    inverseGain: arrays.inverse_gain.values,
    live,
    starts: Uint32Array.from(starts),
    sizes: Uint16Array.from(live, (channel) => sizes[channel]),
  };
}

/** Running sums modulo 2**16 of columns [n, sets], which become rows. */
function summedUp({values, shape: [n, sets]}) {
  const sums = new Uint16Array(values.length);
  for (let set = 0; set < sets; set++) {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      sum += values[i * sets + set];
      sums[set * n + i] = sum;
    }
  }
  return sums;
}
