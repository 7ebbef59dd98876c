"""The range coder in TensorFlow's own operations, vectorised over lanes.

`stock_encoder.encode` and `stock_decoder.decode` are built into graphs that any
TensorFlow runs. bls2017/format/FORMAT.md describes the streams.

A step takes one table index of every lane of an image. It is some twenty small
operations, which take little longer for hundreds of lanes than for one, so
there are few steps, and little else in a loop:

- runs are equally long, but for one position or step. What a shorter one lacks
  is filled up with a table of one symbol, which changes nothing, and so is the
  last turn of a loop that is unrolled over `UNROLL` steps, and a turn for a
  pass without positions;
- the decoder has three loops. A turn of the first two, one for each pass,
  decodes the head of a position of each lane: the kind, then the context
  channels, whose tables follow from it and from the turns before. What the
  second pass knows of the first one is looked up before its loop. Then the
  tables of all other steps are known, and are put in order before the third
  loop;
- the encoder's loop follows only the sizes of intervals. What is added to base,
  and at which word, is computed afterwards for all steps at once, and carries
  are propagated once over all words;
- numbers are float64, which holds all of them exactly: a product of a size
  (33 bits) and a frequency (17 bits) has 50 bits;
- with v = value - base, table index s is the last one with
  cdf[s] * size < (v + 1) * 2**16, that is with
  cdf[s] <= t = floor(((v + 1) * 2**16 - 1) / size). The decoder follows
  f = v + 1 - 2**-16, and size in units of 2**16, so that t is their quotient
  rounded down. It is rounded to 53 bits before, which does not change t: a
  quotient that is no integer is 2**-32 away from the next one at least;
- all tables stand in one rising row of int32, table n raised by n * 2**16, so
  that a single search for t + n * 2**16 finds the table index of every lane,
  and in the same place what it narrows the interval to;
- whether the streams are those of an encoder is checked after the loops.
"""
