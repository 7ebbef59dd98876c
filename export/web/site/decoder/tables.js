/** The integer coding tables of a quality. */

/**
 * Makes tables of the arrays of a quality's file.
 *
 * There are C channels, L of them live, K activities, and S symbols of all
 * channels together. `cdf` [K, S] and `activityCdf` [K + 1, K] are cumulative
 * frequencies without the tables' ends. Of each channel [C] there are the
 * smallest symbol, `minimum`, `offset` and `inverseGain`; of each live channel
 * [L] its number, `live`, where its table begins among the S, and its size.
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

/** The running sums, modulo 2**16, of columns [n, sets]; these become rows. */
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
