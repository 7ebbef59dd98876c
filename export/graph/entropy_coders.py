"""The runtimes of the range coder as a graph calls them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf

from bls2017.format import range_coder_tfc
from export.graph import byte_fields, graph_tables
from export.range_coder import stock_decoder, stock_encoder, stock_streams


class Streams(NamedTuple):
  """The lanes of several images.

  Attributes:
    payload: uint8 [total], all lanes one after the other.
    lengths: int32 [lanes].
  """

  payload: tf.Tensor
  lengths: tf.Tensor


class Rows(NamedTuple):
  """The rows of several images, one image after the other.

  Attributes:
    activities: int32 [positions of all images]; zeros where K is 1.
    indices: int32 [sum of positions x L], table indices of live channels.
  """

  activities: tf.Tensor
  indices: tf.Tensor


class EntropyCoder(Protocol):
  """Rows to streams and back; `stock_streams` says what both hold.

  The qualities of `images` are indices of the model's qualities; those of
  images without positions mean nothing.
  """

  def encode(self, rows: Rows, images: stock_streams.Images) -> Streams:
    """The streams of images."""

  def decode(
    self, streams: Streams, images: stock_streams.Images
  ) -> tuple[Rows, tf.Tensor]:
    """The rows, and bool [N]: whether an encoder wrote an image's streams."""


def make(runtime: str, tables: graph_tables.GraphTables) -> EntropyCoder:
  """A coder.

  Args:
    runtime: One of `export.RUNTIMES`.
    tables: Those of the model.
  """
  coder = StockCoder if runtime == "stock" else TfcCoder
  return coder(tables)


class StockCoder:
  """TensorFlow's own operations, all images in one loop."""

  def __init__(self, tables: graph_tables.GraphTables):
    """Takes the tables of the model."""
    self._tables = tables

  def encode(self, rows: Rows, images: stock_streams.Images) -> Streams:
    """See `EntropyCoder.encode`."""
    images, tables = self._together(images)
    return Streams(
      *stock_encoder.encode(*rows, images, tables, self._tables.num_activities)
    )

  def decode(
    self, streams: Streams, images: stock_streams.Images
  ) -> tuple[Rows, tf.Tensor]:
    """See `EntropyCoder.decode`."""
    images, tables = self._together(images)
    decoded = stock_decoder.decode(
      *streams, images, tables, self._tables.num_activities
    )
    return Rows(decoded.activities, decoded.indices), decoded.sound

  def _together(
    self, images: stock_streams.Images
  ) -> tuple[stock_streams.Images, stock_streams.Tables]:
    """The tables of the qualities that are needed, and the images' rows."""
    coded = images.positions > 0
    # Images that are not coded share the tables of one that is.
    shared = tf.reduce_max(
      tf.pad(tf.where(coded, images.qualities, 0), [[0, 1]])
    )
    needed, rows = tf.unique(tf.where(coded, images.qualities, shared))
    return (images._replace(qualities=rows), self._tables.for_qualities(needed))


class TfcCoder:
  """tensorflow-compression's operations; only its model servers load these."""

  def __init__(self, tables: graph_tables.GraphTables):
    """Takes the tables of the model."""
    self._tables = tables
    self._activities = tables.num_activities
    self._ops = range_coder_tfc.operations()

  def encode(self, rows: Rows, images: stock_streams.Images) -> Streams:
    """See `EntropyCoder.encode`."""
    live = self._tables.live_counts(images.qualities)
    positions = tf.cumsum(images.positions, exclusive=True)
    begins = tf.cumsum(images.positions * live, exclusive=True)

    def encode(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      count = images.positions[i]
      first, begin = positions[i], begins[i]
      columns = rows.indices[begin : begin + count * live[i]]
      columns = tf.reshape(columns, tf.stack([count, live[i]]))
      if self._activities > 1:
        chosen = rows.activities[first : first + count]
        columns = tf.concat([chosen[:, None], columns], 1)
      tables = self._tables.for_quality(images.qualities[i])
      streams = self._encode(columns, tables)
      payload = byte_fields.from_string(tf.strings.reduce_join(streams))
      return payload, tf.strings.length(streams)

    nothing = (tf.zeros((0,), tf.uint8), tf.zeros((0,), tf.int32))
    return Streams(
      *stock_streams.for_images(
        tf.size(images.positions),
        lambda i: tf.cond(
          images.positions[i] > 0, lambda: encode(i), lambda: nothing
        ),
        (tf.uint8, tf.int32),
      )
    )

  def decode(
    self, streams: Streams, images: stock_streams.Images
  ) -> tuple[Rows, tf.Tensor]:
    """See `EntropyCoder.decode`."""
    step = self._tables.lane_positions(images.qualities)
    counts = (images.positions + step - 1) // step
    lanes = tf.cumsum(counts, exclusive=True)
    starts = tf.cumsum(streams.lengths, exclusive=True)

    def decode(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
      of_image = slice(lanes[i], lanes[i] + counts[i])
      parts = tf.map_fn(
        lambda x: byte_fields.to_string(streams.payload[x[0] : x[0] + x[1]]),
        (starts[of_image], streams.lengths[of_image]),
        fn_output_signature=tf.string,
      )
      tables = self._tables.for_quality(images.qualities[i])
      whole = (counts[i] - 1) * step[i]
      rows = tf.concat(
        [
          self._decode(parts[:-1], whole, tables),
          self._decode(parts[-1:], images.positions[i] - whole, tables),
        ],
        0,
      )
      sound = tf.reduce_all(self._encode(rows, tables) == parts)
      if self._activities == 1:
        activities = tf.zeros(images.positions[i][None], tf.int32)
      else:
        activities, rows = rows[:, 0], rows[:, 1:]
      return activities, tf.reshape(rows, [-1]), sound[None]

    none = tf.zeros((0,), tf.int32)
    activities, indices, sound = stock_streams.for_images(
      tf.size(images.positions),
      lambda i: tf.cond(
        images.positions[i] > 0,
        lambda: decode(i),
        lambda: (none, none, tf.constant([True])),
      ),
      (tf.int32, tf.int32, tf.bool),
    )
    return Rows(activities, indices), sound

  def _encode(
    self, symbols: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tf.Tensor:
    step = tables.lane_positions
    positions = tf.shape(symbols)[0]
    whole = (positions - 1) // step * step
    parts = ((symbols[:whole], step), (symbols[whole:], positions - whole))
    return tf.concat(
      [self._encode_lanes(part, lane, tables) for part, lane in parts], 0
    )

  def _encode_lanes(
    self,
    symbols: tf.Tensor,
    lane: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tf.Tensor:
    """Streams of lanes that are all of one length."""
    lanes = tf.shape(symbols)[0] // lane

    def encode() -> tf.Tensor:
      handle = self._ops.create_range_encoder(lanes[None], self._lookup(tables))
      values = tf.reshape(
        symbols, tf.stack([lanes, lane, tf.shape(symbols)[1]])
      )
      activities = tf.zeros(tf.stack([lanes, lane]), tf.int32)
      if self._activities > 1:
        activities, values = values[..., 0], values[..., 1:]
      numbers = self._numbers(activities, tables)
      values = tf.reshape(values, tf.shape(numbers))
      if self._activities > 1:
        before = tf.pad(
          activities[:, :-1], [[0, 0], [1, 0]],
          constant_values=self._activities,
        )  # fmt: skip
        before += self._first_activity_table(tables)
        numbers = tf.concat([before, numbers], 1)
        values = tf.concat([activities, values], 1)
      handle = self._ops.entropy_encode_index(handle, numbers, values)
      return self._ops.entropy_encode_finalize(handle)

    # The operations do not take empty tensors.
    return tf.cond(
      tf.size(symbols) > 0, encode, lambda: tf.fill(lanes[None], "")
    )

  def _decode(
    self,
    streams: tf.Tensor,
    positions: tf.Tensor,
    tables: graph_tables.QualityTables,
  ) -> tf.Tensor:
    """The symbols of lanes that are all of one length."""
    live = tf.size(tables.live)
    columns = live + int(self._activities > 1)
    lanes = tf.size(streams)
    lane = positions // tf.maximum(lanes, 1)

    def decode() -> tf.Tensor:
      handle = self._ops.create_range_decoder(streams, self._lookup(tables))
      activities = tf.zeros(tf.stack([lanes, lane]), tf.int32)
      if self._activities > 1:
        handle, activities = self._decode_activities(
          handle, lanes, lane, self._first_activity_table(tables)
        )
      numbers = self._numbers(activities, tables)
      _, symbols = self._ops.entropy_decode_index(
        handle, numbers, tf.shape(numbers)[1:], tf.int32
      )
      symbols = tf.reshape(symbols, tf.stack([positions, live]))
      if self._activities == 1:
        return symbols
      return tf.concat([tf.reshape(activities, [-1, 1]), symbols], 1)

    return tf.cond(
      positions * columns > 0,
      decode,
      lambda: tf.zeros(tf.stack([positions, columns]), tf.int32),
    )

  def _decode_activities(
    self,
    handle: tf.Tensor,
    lanes: tf.Tensor,
    lane: tf.Tensor,
    first: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """The activities, int32 [lanes, lane], one position after the other."""

    def decode(
      t: tf.Tensor,
      handle: tf.Tensor,
      before: tf.Tensor,
      decoded: tf.TensorArray,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
      handle, activity = self._ops.entropy_decode_index(
        handle, first + before, (1,), tf.int32
      )
      activity = tf.ensure_shape(activity, (None, 1))
      return t + 1, handle, activity, decoded.write(t, activity[:, 0])

    _, handle, _, decoded = tf.while_loop(
      lambda t, *_: t < lane,
      decode,
      (
        tf.constant(0),
        handle,
        tf.fill(tf.stack([lanes, 1]), self._activities),
        tf.TensorArray(tf.int32, lane, element_shape=(None,)),
      ),
      shape_invariants=(
        tf.TensorShape(()),
        tf.TensorShape(None),
        tf.TensorShape((None, 1)),
        tf.TensorShape(None),
      ),
      parallel_iterations=1,
    )
    return handle, tf.transpose(decoded.stack())

  def _numbers(
    self, activities: tf.Tensor, tables: graph_tables.QualityTables
  ) -> tf.Tensor:
    """The tables in `_lookup` of the symbols of lanes.

    Args:
      activities: int32 [lanes, lane].
      tables: Of the quality.

    Returns:
      int32 [lanes, lane * L].
    """
    channels = tf.size(tables.gain)
    numbers = activities[..., None] * channels + tables.live
    lanes, lane, live = tf.unstack(tf.shape(numbers))
    return tf.reshape(numbers, tf.stack([lanes, lane * live]))

  def _first_activity_table(
    self, tables: graph_tables.QualityTables
  ) -> tf.Tensor:
    """The number of the first table of activities."""
    return self._activities * tf.size(tables.gain)

  def _lookup(self, tables: graph_tables.QualityTables) -> tf.Tensor:
    """Tables as tfc's operations take them, without an escape code.

    For each activity those of all channels; then those of activities. Each has
    its precision before it and its end behind it.
    """
    parts = [_with_ends(tables.cdf)]
    if self._activities > 1:
      parts.append(_with_ends(tables.activity_cdf))
    return tf.concat(parts, 0)


def _with_ends(cdf: tf.Tensor) -> tf.Tensor:
  """Tables, int32 [n, S] one after the other, with precisions and ends."""
  flat = tf.reshape(cdf, [-1])
  starts = tf.where(flat == 0)[:, 0]
  tables = tf.RaggedTensor.from_row_starts(flat, starts, validate=False)
  column = tf.ones_like(starts, tf.int32)[:, None]
  precision, end = (column * value for value in (16, 1 << 16))
  return tf.concat([precision, tables, end], 1).flat_values
