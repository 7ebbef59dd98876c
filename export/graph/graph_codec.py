"""A frozen model as a graph that codes batches of images.

Transforms and quantization work on one image after the other, so that their
memory is that of one. The range coder takes all images of a batch at once;
between the two stand the symbols and streams of all images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import tensorflow as tf

from bls2017.format import container, lanes
from export import verdict
from export.graph import (
  byte_fields,
  graph_alpha,
  graph_container,
  graph_lanes,
  graph_quantization,
  graph_tables,
  graph_transforms,
)
from export.range_coder import stock_decoder, stock_encoder

if TYPE_CHECKING:
  from bls2017.model import model_directory

_IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)
_BYTES = tf.TensorSpec((None,), tf.uint8)
_NUMBERS = tf.TensorSpec((None,), tf.int32)
_NUMBER = tf.TensorSpec((), tf.int32)
_STRING = tf.TensorSpec((), tf.string)
_RAGGED = tf.RaggedTensorSpec((None,), tf.int32, ragged_rank=0)

Read = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, verdict.Verdict]]


class Opened(NamedTuple):
  """The N files of a batch, read but for their symbols.

  Attributes:
    height: int32 [N], pixels.
    width: int32 [N], pixels.
    quality_index: int32 [N].
    payload: string [N], all lanes of each file.
    lengths: int32 [N, (lanes)], ragged, of the lanes.
    alpha: string [N], of `graph_alpha`, sound; empty where all is opaque.
    faults: Of [N]; where there is one, the other fields mean nothing.
  """

  height: tf.Tensor
  width: tf.Tensor
  quality_index: tf.Tensor
  payload: tf.Tensor
  lengths: tf.RaggedTensor
  alpha: tf.Tensor
  faults: verdict.Verdict

  def refused(self, *cases: verdict.Case) -> Opened:
    """Gives the same files with further faults, of tensors [N]."""
    faults = verdict.first_fault(*cases)
    return self._replace(faults=verdict.either(self.faults, faults))


class GraphCodec(tf.Module):
  """Compresses and decompresses batches of images.

  The functions that several signatures share are traced once, so a graph holds
  them once.

  Attributes:
    model_id: 8 bytes, of the model.
    max_pixels: Images of more pixels are refused.
  """

  def __init__(self, model: model_directory.FrozenModel, max_pixels: int):
    super().__init__()
    self.model_id = model.model_id
    self.max_pixels = max_pixels
    self._num_levels = model.config.num_levels
    self._quality_steps = model.config.quality_steps
    self._num_latents = model.config.num_latents
    self._transforms = graph_transforms.GraphTransforms(model)
    self._tables = graph_tables.GraphTables(model.tables)

  def quality(self, index: tf.Tensor) -> tf.Tensor:
    """Gives qualities, float32, by their indices, int32 of any shape."""
    return 1.0 + tf.cast(index, tf.float32) / self._quality_steps

  def compress(
    self, read: Read, inputs: tf.Tensor, quality: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Compresses images.

    Args:
      read: From an item of the inputs to its colours, uint8 [H, W, 3], its
        alpha, uint8 [H, W, 1] or none where all is opaque, and the verdict.
      inputs: [N, ...].
      quality: float32 [N], any numbers.

    Returns:
      string [N], files, empty where the verdict finds a fault; and a verdict of
      [N].
    """
    qualities, faults = self._quality_index(quality)
    none = tf.zeros((0,), tf.int32)

    def quantize(item: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
      content, index, *found = item
      faults = verdict.Verdict(*found)
      nothing = tf.constant("")
      image, alpha, faults = tf.cond(
        faults.is_ok(),
        lambda: _with_packed_alpha(*read(content)),
        lambda: (tf.zeros((0, 0, 3), tf.uint8), nothing, faults),
      )
      activities, indices, faults = tf.cond(
        faults.is_ok(),
        lambda: self._quantize(image, index),
        lambda: (none, none, faults),
      )
      height, width, _ = tf.unstack(tf.shape(image))
      return height, width, alpha, activities, indices, *faults

    heights, widths, alphas, activities, indices, *found = _map(
      quantize,
      (inputs, qualities, *faults),
      (_NUMBER, _NUMBER, _STRING, _RAGGED, _RAGGED, _NUMBER, _STRING),
    )
    positions = tf.cast(activities.row_lengths(), tf.int32)
    payload, lengths = self._encode(
      activities.flat_values, indices.flat_values, qualities, positions
    )
    num_lanes = self._tables.num_lanes(qualities, positions)
    lengths = _ragged(lengths, num_lanes)
    payload = _ragged(payload, tf.reduce_sum(lengths, 1))

    def pack(item: tuple[tf.Tensor, ...]) -> tf.Tensor:
      *header, alpha, payload, lengths = item
      return tf.cond(
        tf.size(lengths) > 0,
        lambda: graph_container.pack(
          graph_container.Headers(*header),
          self.model_id,
          alpha,
          payload,
          lengths,
        ),
        lambda: tf.constant(""),
      )

    files = (heights, widths, qualities, alphas, payload, lengths)
    return _map(pack, files, _STRING), verdict.Verdict(*found)

  def _quality_index(
    self, quality: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Indices of the nearest qualities, int32 [N], and a verdict of [N]."""
    # A comparison with NaN is false.
    known = (quality >= 1.0) & (quality <= float(self._num_levels))
    index = tf.round((quality - 1.0) * self._quality_steps)
    faults = verdict.first_fault(
      (
        ~known,
        verdict.USAGE,
        f"quality must be between 1 and {self._num_levels}, not ",
        tf.strings.as_string(quality, shortest=True),
      )
    )
    return tf.cast(tf.where(known, index, 0.0), tf.int32), faults

  @tf.function(input_signature=[_IMAGE, _NUMBER], autograph=False)
  def _quantize(
    self, image: tf.Tensor, index: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, verdict.Verdict]:
    """The activities and table indices of an image, flat; none with a fault."""
    channels = self._tables.channels(index)
    latents = self._transforms.latents(image, index)
    scaled = graph_quantization.scaled(latents, channels)
    finite = tf.reduce_all(tf.math.is_finite(scaled))
    message = "the model's latents of the image are not finite"
    faults = verdict.first_fault((~finite, verdict.MODEL, message))

    def quantize() -> tuple[tf.Tensor, tf.Tensor]:
      tables = self._tables.for_qualities(index[None])
      activities, indices = graph_quantization.quantize(
        scaled, channels, tables
      )
      return activities, tf.reshape(indices, [-1])

    none = tf.zeros((0,), tf.int32)
    activities, indices = tf.cond(finite, quantize, lambda: (none, none))
    return activities, indices, faults

  @tf.function(input_signature=[_NUMBERS] * 4, autograph=False)
  def _encode(
    self,
    activities: tf.Tensor,
    indices: tf.Tensor,
    qualities: tf.Tensor,
    positions: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    images, tables = self._tables.for_images(qualities, positions)
    return stock_encoder.encode(activities, indices, images, tables)

  def open(self, files: tf.Tensor) -> Opened:
    """Checks and reads all of files but their symbols.

    Args:
      files: string [N], any bytes.
    """

    def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
      header, faults = graph_container.unpack_header(
        data, self.model_id, len(self._tables), self.max_pixels
      )
      *lanes_and_alpha, faults = tf.cond(
        faults.is_ok(),
        lambda: self._lanes(data, header),
        lambda: graph_lanes.no_lanes(faults),
      )
      return *header, *lanes_and_alpha, *faults

    specs = (*[_NUMBER] * 3, _STRING, _RAGGED, _STRING, _NUMBER, _STRING)
    height, width, index, payload, lengths, alpha, *found = _map(
      item, files, specs
    )
    faults = verdict.Verdict(*found)
    return Opened(height, width, index, payload, lengths, alpha, faults)

  def _lanes(
    self, data: tf.Tensor, header: graph_container.Headers
  ) -> graph_lanes.Lanes:
    positions = graph_container.positions(header.height, header.width)
    index = header.quality_index
    step = self._tables.lane_positions(index)
    count = self._tables.num_lanes(index, positions)
    last = positions - (count - 1) * step
    payload, lengths, alpha, faults = graph_lanes.unpack(
      data,
      count,
      self._tables.max_lane_bytes(index, step),
      self._tables.max_lane_bytes(index, last),
    )
    is_sound = tf.cond(
      tf.strings.length(alpha) > 0,
      lambda: graph_alpha.is_sound(alpha, header.height, header.width),
      lambda: True,
    )
    broken = verdict.first_fault(
      (~is_sound, verdict.CORRUPT, "the box of alpha is broken")
    )
    return payload, lengths, alpha, verdict.either(faults, broken)

  def decompress(
    self,
    opened: Opened,
    finish: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    fallback: tf.Tensor,
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Decompresses files.

    Args:
      opened: The files.
      finish: From an item's number and its image, uint8 [H, W, 3], to its
        result; alpha stands in `opened`.
      fallback: The result of an item that has a fault.

    Returns:
      [N, ...], results; and a verdict of [N].
    """
    sound = opened.faults.is_ok()
    qualities = tf.where(sound, opened.quality_index, 0)
    positions = graph_container.positions(opened.height, opened.width)
    positions = tf.where(sound, positions, 0)
    payloads = tf.boolean_mask(opened.payload, sound)
    indices, canonical = self._decode(
      byte_fields.from_string(tf.strings.reduce_join(payloads)),
      tf.ragged.boolean_mask(opened.lengths, sound).flat_values,
      qualities,
      positions,
    )
    message = "the payload is not what an encoder of this format writes"
    opened = opened.refused((~canonical, verdict.CORRUPT, message))
    counts = positions * self._tables.live_counts(qualities)
    ends = tf.cumsum(counts)

    def item(i: tf.Tensor) -> tf.Tensor:
      def result() -> tf.Tensor:
        image = self._synthesise(
          indices[ends[i] - counts[i] : ends[i]],
          qualities[i],
          opened.height[i],
          opened.width[i],
        )
        return finish(i, image)

      return tf.cond(
        opened.faults.status[i] == verdict.OK, result, lambda: fallback
      )

    spec = tf.TensorSpec(fallback.shape, fallback.dtype)
    results = _map(item, tf.range(tf.size(qualities)), spec)
    return results, opened.faults

  @tf.function(input_signature=[_BYTES, *[_NUMBERS] * 3], autograph=False)
  def _decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    qualities: tf.Tensor,
    positions: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    images, tables = self._tables.for_images(qualities, positions)
    _, indices, sound = stock_decoder.decode(payload, lengths, images, tables)
    return indices, sound

  @tf.function(input_signature=[_NUMBERS, *[_NUMBER] * 3], autograph=False)
  def _synthesise(
    self,
    indices: tf.Tensor,
    index: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    """The image of the table indices of live channels, int32 [positions L]."""
    channels = self._tables.channels(index)
    h, w = lanes.latent_shape(height, width)
    rows = tf.reshape(indices, tf.stack([h * w, tf.size(channels.live)]))
    # A product with ones and zeros puts the live channels into place; it is
    # exact, and faster than scattering numbers one by one.
    live = tf.one_hot(channels.live, self._num_latents)
    symbols = tf.matmul(tf.cast(rows, tf.float32), live)
    symbols += tf.cast(channels.minimum, tf.float32)
    y_hat = (symbols + channels.offset) * channels.inverse_gain
    y_hat = tf.reshape(y_hat, tf.stack([h, w, self._num_latents]))
    return self._transforms.image(y_hat, index)[:height, :width]


def _with_packed_alpha(
  image: tf.Tensor, alpha: tf.Tensor, faults: verdict.Verdict
) -> tuple[tf.Tensor, tf.Tensor, verdict.Verdict]:
  """The same, but alpha is the content of its box, and hides other colours."""
  image, alpha = tf.cond(
    tf.size(alpha) > 0,
    lambda: (graph_alpha.smeared(image, alpha), graph_alpha.pack(alpha)),
    lambda: (image, tf.constant("")),
  )
  room = container.MAX_BOXES_BYTES - container.BOX_HEADER_BYTES
  size = tf.strings.length(alpha)
  message = "alpha takes ", size, f" bytes, the limit is {room}"
  too_long = verdict.first_fault((size > room, verdict.LIMIT, *message))
  return image, alpha, verdict.either(faults, too_long)


def _ragged(values: tf.Tensor, row_lengths: tf.Tensor) -> tf.RaggedTensor:
  return tf.RaggedTensor.from_row_lengths(values, row_lengths, validate=False)


def _map(function: Callable[..., Any], inputs: Any, specs: Any) -> Any:
  """Maps over a batch, one item at a time: its memory is that of one."""
  return tf.map_fn(
    function, inputs, fn_output_signature=specs, parallel_iterations=1
  )
