"""The items of a batch: the range coder takes all of them at once.

Everything else works on one item after the other, so that its memory is that of
one item. Between the two, rows and streams of all items are kept, whose size is
the sum of the items' symbols.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import tensorflow as tf

from export import verdict
from export.graph import (
  byte_fields,
  entropy_coders,
  frozen_graph,
  graph_container,
)
from export.range_coder import stock_streams

NUMBER = tf.TensorSpec((), tf.int32)
STRING = tf.TensorSpec((), tf.string)
STATUS = (NUMBER, STRING)
_NUMBERS = tf.RaggedTensorSpec((None,), tf.int32, ragged_rank=0)


class Opened(NamedTuple):
  """What the files of a batch hold.

  Attributes:
    heights: int32 [N], pixels.
    widths: int32 [N], pixels.
    qualities: int32 [N], indices of the qualities.
    positions: int32 [N], how many the lanes hold.
    payloads: string [N], all lanes of a file.
    lengths: int32 [N, (lanes)], ragged.
    verdicts: int32 [N] and string [N]; where an item has a fault, the other
      fields mean nothing.
  """

  heights: tf.Tensor
  widths: tf.Tensor
  qualities: tf.Tensor
  positions: tf.Tensor
  payloads: tf.Tensor
  lengths: tf.RaggedTensor
  verdicts: verdict.Verdict

  def refuse(
    self, refused: tf.Tensor, message: Callable[[tf.Tensor], tuple[Any, ...]]
  ) -> Opened:
    """The same, some items having a fault of usage besides.

    Args:
      refused: bool [N].
      message: From an item's number to the parts of its message.
    """

    def item(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
      fault = (refused[i], verdict.USAGE, message(i))
      either = verdict.either(
        verdict.Verdict(*(x[i] for x in self.verdicts)),
        verdict.first_fault(fault),
      )
      return tuple(either)

    numbers = tf.range(tf.size(refused))
    return self._replace(verdicts=verdict.Verdict(*map_items(item, numbers)))


def map_items(function: Any, inputs: Any, specs: Any = STATUS) -> Any:
  """Maps over a batch, one item at a time: its memory is that of one."""
  return tf.map_fn(
    function, inputs, fn_output_signature=specs, parallel_iterations=1
  )


def compress(
  graph: frozen_graph.FrozenGraph,
  read: Callable[[Any], tuple[tf.Tensor, tf.Tensor, verdict.Verdict]],
  inputs: Any,
) -> tuple[tf.Tensor, ...]:
  """Compresses the items of a batch.

  Args:
    graph: The model.
    read: From an item's inputs to its image, uint8 [H, W, 3], the index of its
      quality, an int32 scalar, and its verdict.
    inputs: Of all items, batch-major.

  Returns:
    Files, string [N], empty where an item has a fault; int32 [N], statuses; and
    string [N], messages.
  """

  def quantize(item: Any) -> tuple[tf.Tensor, ...]:
    image, index, faults = read(item)
    none = tf.zeros((0,), tf.int32)

    def sound() -> tuple[tf.Tensor, ...]:
      rows, faults = graph.quantize(image, index)
      return *rows, *faults

    activities, indices, *faults = tf.cond(
      faults.is_ok(), sound, lambda: (none, none, *faults)
    )
    height, width, _ = tf.unstack(tf.shape(image))
    return activities, indices, height, width, index, *faults

  activities, indices, heights, widths, qualities, *verdicts = map_items(
    quantize, inputs, (_NUMBERS, _NUMBERS, NUMBER, NUMBER, NUMBER, *STATUS)
  )
  images = stock_streams.Images(
    qualities, tf.cast(activities.row_lengths(), tf.int32)
  )
  streams = graph.encode(
    entropy_coders.Rows(activities.flat_values, indices.flat_values), images
  )
  lanes = tf.pad(tf.cumsum(graph.lane_counts(images)), [[1, 0]])
  bytes_before = tf.pad(tf.cumsum(streams.lengths), [[1, 0]])

  def pack(i: tf.Tensor) -> tf.Tensor:
    first, end = lanes[i], lanes[i + 1]
    of_item = entropy_coders.Streams(
      streams.payload[bytes_before[first] : bytes_before[end]],
      streams.lengths[first:end],
    )
    return tf.cond(
      images.positions[i] > 0,
      lambda: graph.pack(heights[i], widths[i], qualities[i], of_item),
      lambda: tf.constant(""),
    )

  files = map_items(pack, tf.range(tf.size(heights)), STRING)
  return files, *verdicts


def open_files(graph: frozen_graph.FrozenGraph, files: tf.Tensor) -> Opened:
  """Checks and reads all of the files but their symbols.

  Args:
    graph: The model.
    files: string [N], any bytes.
  """

  def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
    header, lanes = graph.open(data)
    return (
      header.height,
      header.width,
      header.quality_index,
      graph_container.positions(header.height, header.width),
      lanes.payload,
      lanes.lengths,
      *lanes.verdict,
    )

  specs = (*[NUMBER] * 4, STRING, _NUMBERS, *STATUS)
  heights, widths, qualities, positions, payloads, lengths, *verdicts = (
    map_items(item, files, specs)
  )
  return Opened(
    heights,
    widths,
    qualities,
    positions,
    payloads,
    lengths,
    verdict.Verdict(*verdicts),
  )


def decompress(
  graph: frozen_graph.FrozenGraph,
  opened: Opened,
  finish: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  fallback: Callable[[], tf.Tensor],
  spec: tf.TensorSpec,
) -> tuple[tf.Tensor, ...]:
  """Decompresses the items of a batch.

  Args:
    graph: The model.
    opened: The files.
    finish: From an item's number and its image, uint8 [H, W, 3], to its result.
    fallback: The result of an item that has a fault.
    spec: Of a result.

  Returns:
    Results, [N, ...]; int32 [N], statuses; and string [N], messages.
  """
  sound = opened.verdicts.is_ok()
  images = stock_streams.Images(
    tf.where(sound, opened.qualities, 0),
    tf.where(sound, opened.positions, 0),
  )
  payloads = tf.boolean_mask(opened.payloads, sound)
  streams = entropy_coders.Streams(
    byte_fields.from_string(tf.strings.reduce_join(payloads)),
    tf.ragged.boolean_mask(opened.lengths, sound).flat_values,
  )
  rows, canonical = graph.decode(streams, images)
  counts = images.positions * graph.live_counts(images.qualities)
  ends = tf.cumsum(counts)

  def item(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
    fault = (
      ~canonical[i],
      verdict.CORRUPT,
      ("the payload is not what an encoder of this format writes",),
    )
    faults = verdict.either(
      verdict.Verdict(*(x[i] for x in opened.verdicts)),
      verdict.first_fault(fault),
    )

    def result() -> tf.Tensor:
      image = graph.synthesise(
        rows.indices[ends[i] - counts[i] : ends[i]],
        images.qualities[i],
        opened.heights[i],
        opened.widths[i],
      )
      return finish(i, image)

    return tf.cond(faults.is_ok(), result, fallback), *faults

  numbers = tf.range(tf.size(opened.heights))
  return map_items(item, numbers, (spec, *STATUS))
