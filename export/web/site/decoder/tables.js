/** The integer coding tables of a quality. */

/**
 * Makes tables of the arrays of a quality's file.
 *
 * There are C channels, L of them live, the first X of which are context
 * channels. Of each channel [C] there are the smallest symbol, `minimum`,
 * `offset` and `inverseGain`; `live` [L] are the numbers of the live channels
 * in the order in which they are coded. `numbers` and `arrays` are the fields
 * of `Tables` in range_coder.c, which says what the other letters are.
 */
export function makeTables(arrays, lanePositions) {
  const valuesOf = (name) => arrays[name].values;
  const live = valuesOf('live');
  const minimum = valuesOf('minimum');
  const [activities, ends] = arrays.ends.shape;
  const [contextChannels, , contexts] = arrays.context_tables.shape;
  const surroundings = arrays.activity_tables.shape[0] - 1;
  const classes = arrays.contexts_of.shape[3] - 1;
  const [, symbols] = arrays.cdf.shape;
  const sizes =
      Uint16Array.from(live, (channel) => valuesOf('size')[channel]);
  const zeros = Uint16Array.from(live, (channel) => -minimum[channel]);
  const contextSizes = sizes.subarray(0, contextChannels);
  const otherSizes = sizes.subarray(contextChannels);
  const counts = tableCounts(arrays.context_tables);
  return {
    minimum,
    offset: valuesOf('offset'),
    inverseGain: valuesOf('inverse_gain'),
    live,
    lanePositions,
    contextChannels,
    numbers: [
      activities, ends, live.length, contextChannels, surroundings, classes,
      contexts, symbols,
    ],
    arrays: [
      cdfOf(kindFrequencies(
          unpacked(valuesOf('activity_cdf'), [activities]),
          unpacked(valuesOf('end_cdf'), [ends]), ends)),
      valuesOf('activity_tables'),
      valuesOf('surroundings'),
      valuesOf('ends'),
      cdfOf(unpacked(valuesOf('cdf'), otherSizes)),
      startsOf(otherSizes),
      cdfOf(unpacked(
          valuesOf('context_cdf'),
          counts.flatMap((n, c) => Array(n).fill(contextSizes[c])))),
      contextStarts(arrays.context_tables, contextSizes, counts),
      valuesOf('contexts_of'),
      valuesOf('context_classes'),
      startsOf(contextSizes),
      sizes,
      zeros,
    ],
  };
}

/** Frequencies from the bytes that FORMAT.md describes. */
function unpacked(stored, sizes) {
  const frequencies = Uint32Array.from(
      stored,
      (v) => v < 32 ? v : (16 + v % 16) * 2 ** (Math.floor(v / 16) - 1));
  return completed(frequencies, sizes);
}

/**
 * The frequencies [T, K G] of kinds, from those of the activities [T, K] and of
 * the ends [K, G] of each.
 */
function kindFrequencies(ofActivities, ofEnds, ends) {
  const kinds = ofEnds.length;
  const ofKinds = new Uint32Array(ofActivities.length * ends);
  for (let i = 0; i < ofKinds.length; i++) {
    const product = ofActivities[Math.floor(i / ends)] * ofEnds[i % kinds];
    ofKinds[i] = 1 + Math.floor(product / 65536);
  }
  return completed(ofKinds, [kinds]);
}

/**
 * Adds what each table lacks of 65536 to its largest frequency. Tables have
 * these sizes, again and again.
 */
function completed(frequencies, sizes) {
  for (let start = 0, table = 0; start < frequencies.length; table++) {
    const end = start + sizes[table % sizes.length];
    const own = frequencies.subarray(start, end);
    let largest = 0;
    let lacking = 65536;
    own.forEach((frequency, i) => {
      if (frequency > own[largest]) largest = i;
      lacking -= frequency;
    });
    own[largest] += lacking;
    start = end;
  }
  return frequencies;
}

/** Cumulative frequencies of tables: of 16 bits, so that each begins at 0. */
const cdfOf = (frequencies) => new Uint16Array(startsOf(frequencies));

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

/** Where the tables [X, K, J] begin that their numbers stand for. */
function contextStarts({values, shape: [contexts]}, sizes, counts) {
  const length = values.length / contexts;
  let first = 0;
  const firsts = counts.map((n, c) => (first += n * sizes[c]) - n * sizes[c]);
  return Uint32Array.from(values, (number, i) => {
    const c = Math.floor(i / length);
    return firsts[c] + number * sizes[c];
  });
}
