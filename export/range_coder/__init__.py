"""The range coder in TensorFlow's own operations, vectorised over lanes.

`stock_encoder.encode` and `stock_decoder.decode` are built into graphs that any
TensorFlow runs. bls2017/format/FORMAT.md describes the streams.

A loop takes one step for the lanes of all images at a time, whatever their
sizes and qualities. A step is some twenty small operations, which take little
longer for hundreds of lanes than for one, hence:

- a turn of the loop is unrolled over `UNROLL` steps. Steps that fill up a
  lane's last turn are coded with a table of one symbol, which changes nothing;
- lanes stand in the order of their steps. Those that have ended come last, are
  left out of the turns that follow, and cost nothing;
- numbers are float64, which holds all of them exactly: a product of a size
  (33 bits) and a frequency (17 bits) has 50 bits;
- the encoder knows no carries. Its loop follows the size of the interval; what
  is added to base, and at which word, is summed up afterwards, and carries are
  propagated once over all words;
- the decoder follows e = value - base + 1, for which 1 <= e <= size. Table
  index s is the last one with cdf[s] * size < e * 2**16, that is with
  cdf[s] < t = ceil(e * 2**16 / size). The quotient is rounded to 53 bits, which
  does not change t: a quotient that is no integer is 2**-32 away from the next
  one at least;
- from some dozens of lanes on, two threads work on one half of them each;
- all tables stand in one rising row, table n raised by n * 2**16, so that a
  single search for t + n * 2**16 finds the table index of every lane.
"""
