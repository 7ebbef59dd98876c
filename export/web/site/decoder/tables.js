/** The integer coding tables of a quality. */

/**
 * Makes tables of the arrays of a quality's file.
 *
 * There are C channels, L of them live, the first X of which are context
 * channels, K activities of G ends, N classes of symbols, and S symbols of all
 * other live channels together. Of each channel [C] there are the smallest
 * symbol, `minimum`, `offset` and `inverseGain`; `live` [L] are the numbers of
 * the live channels in the order in which they are coded. `numbers` and
 * `arrays` are the fields of `Tables` in range_coder.c.
 */
export function makeTables(arrays, lanePositions) {
  const valuesOf = (name) => arrays[name].values;
  const live = valuesOf('live');
  const minimum = valuesOf('minimum');
  const [activities, ends] = arrays.ends.shape;
  const [contexts, , classes] = arrays.context_tables.shape;
  const [, symbols] = arrays.cdf.shape;
  const sizes =
      Uint16Array.from(live, (channel) => valuesOf('size')[channel]);
  const zeros = Uint16Array.from(live, (channel) => -minimum[channel]);
  const contextSizes = sizes.subarray(0, contexts);
  const counts = tableCounts(arrays.context_tables);
  return {
    minimum,
    offset: valuesOf('offset'),
    inverseGain: valuesOf('inverse_gain'),
    live,
    lanePositions,
    contexts,
    numbers: [activities, ends, live.length, contexts, classes, symbols],
    arrays: [
      unpacked(valuesOf('kind_cdf'), [activities * ends]),
      valuesOf('ends'),
      unpacked(valuesOf('cdf'), sizes.subarray(contexts)),
      startsOf(sizes.subarray(contexts)),
      unpacked(
          valuesOf('context_cdf'),
          counts.flatMap((n, c) => Array(n).fill(contextSizes[c]))),
      contextStarts(arrays.context_tables, contextSizes, counts),
      valuesOf('context_classes'),
      startsOf(contextSizes),
      sizes,
      zeros,
    ],
  };
}

/**
 * The cumulative frequencies of tables of these sizes, again and again, from
 * the bytes that FORMAT.md describes.
 */
function unpacked(stored, sizes) {
  const frequencies = Uint32Array.from(
      stored,
      (v) => v < 32 ? v : (16 + v % 16) * 2 ** (Math.floor(v / 16) - 1));
  const cdf = new Uint16Array(stored.length);
  for (let start = 0, table = 0; start < stored.length; table++) {
    const end = start + sizes[table % sizes.length];
    const own = frequencies.subarray(start, end);
    let largest = 0;
    let lacking = 65536;
    own.forEach((frequency, i) => {
      if (frequency > own[largest]) largest = i;
      lacking -= frequency;
    });
    own[largest] += lacking;
    for (let i = start, sum = 0; i < end; i++) {
      cdf[i] = sum;
      sum += frequencies[i];
    }
    start = end;
  }
  return cdf;
}

/** Where runs of these sizes begin that follow one another. */
function startsOf(sizes) {
  let next = 0;
  return Uint32Array.from(sizes, (size) => (next += size) - size);
}

/** How many tables each context channel has. */
function tableCounts({values, shape: [contexts]}) {
  const length = values.length / contexts;
  return Array.from(
      {length: contexts},
      (_, c) =>
          Math.max(...values.subarray(c * length, (c + 1) * length)) + 1);
}

/** Where the tables [X, K, N + 1] begin that their numbers stand for. */
function contextStarts({values, shape: [contexts]}, sizes, counts) {
  const length = values.length / contexts;
  let first = 0;
  const firsts = counts.map((n, c) => (first += n * sizes[c]) - n * sizes[c]);
  return Uint32Array.from(values, (number, i) => {
    const c = Math.floor(i / length);
    return firsts[c] + number * sizes[c];
  });
}
