"""A frozen model as a graph that codes batches of images.

It works on one image after the other, so that its memory is that of one.
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
_ROWS = tf.TensorSpec((None, None), tf.int32)
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

    def compress(item: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
      content, index, *found = item
      faults = verdict.Verdict(*found)
      nothing = tf.constant("")
      image, alpha, faults = tf.cond(
        faults.is_ok(),
        lambda: _with_packed_alpha(*read(content)),
        lambda: (tf.zeros((0, 0, 3), tf.uint8), nothing, faults),
      )
      file, faults = tf.cond(
        faults.is_ok(),
        lambda: self._compress(image, alpha, index),
        lambda: (tf.constant(""), faults),
      )
      return file, *faults

    files, *found = _map(
      compress, (inputs, qualities, *faults), (_STRING, _NUMBER, _STRING)
    )
    return files, verdict.Verdict(*found)

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

  @tf.function(input_signature=[_IMAGE, _STRING, _NUMBER], autograph=False)
  def _compress(
    self, image: tf.Tensor, alpha: tf.Tensor, index: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """The file of an image and the box of its alpha; empty with a fault."""
    channels = self._tables.channels(index)
    latents = self._transforms.latents(image, index)
    scaled = graph_quantization.scaled(latents, channels)
    finite = tf.reduce_all(tf.math.is_finite(scaled))
    message = "the model's latents of the image are not finite"
    faults = verdict.first_fault((~finite, verdict.MODEL, message))
    height, width, _ = tf.unstack(tf.shape(image))

    def encode() -> tf.Tensor:
      tables = self._tables.for_quality(index)
      shape = lanes.latent_shape(height, width)
      rows, num_lanes = graph_quantization.quantize(
        scaled,
        shape,
        channels,
        tables,
        self._tables.fewest_lanes(index, shape),
      )
      payload, lengths = stock_encoder.encode(rows, shape, num_lanes, tables)
      header = graph_container.Headers(height, width, index)
      return graph_container.pack(
        header, self.model_id, alpha, payload, lengths
      )

    return tf.cond(finite, encode, lambda: tf.constant("")), faults

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
    index = header.quality_index
    shape = lanes.latent_shape(header.height, header.width)
    limits = graph_lanes.Limits(
      shape,
      self._tables.fewest_lanes(index, shape),
      self._tables.columns(index),
    )
    payload, lengths, alpha, faults = graph_lanes.unpack(data, limits)
    is_sound = tf.cond(
      tf.strings.length(alpha) > 0,
      lambda: graph_alpha.is_sound(alpha, header.height, header.width),
      lambda: tf.constant(True),
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

    def item(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
      faults = verdict.Verdict(*(x[i] for x in opened.faults))
      result, faults = tf.cond(
        faults.is_ok(), lambda: decompress(i), lambda: (fallback, faults)
      )
      return result, *faults

    def decompress(i: tf.Tensor) -> tuple[tf.Tensor, verdict.Verdict]:
      index, height, width = (
        x[i] for x in (opened.quality_index, opened.height, opened.width)
      )
      rows, canonical = self._decode(
        byte_fields.from_string(opened.payload[i]),
        opened.lengths[i],
        index,
        height,
        width,
      )
      message = "the payload is not what an encoder of this format writes"
      faults = verdict.first_fault((~canonical, verdict.CORRUPT, message))
      result = tf.cond(
        canonical,
        lambda: finish(i, self._synthesise(rows, index, height, width)),
        lambda: fallback,
      )
      return result, faults

    spec = tf.TensorSpec(fallback.shape, fallback.dtype)
    results, *found = _map(
      item, tf.range(tf.size(opened.height)), (spec, _NUMBER, _STRING)
    )
    return results, verdict.Verdict(*found)

  @tf.function(
    input_signature=[_BYTES, _NUMBERS, *[_NUMBER] * 3], autograph=False
  )
  def _decode(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    index: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    shape = lanes.latent_shape(height, width)
    tables = self._tables.for_quality(index)
    return stock_decoder.decode(payload, lengths, shape, tables)

  @tf.function(input_signature=[_ROWS, *[_NUMBER] * 3], autograph=False)
  def _synthesise(
    self,
    rows: tf.Tensor,
    index: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    """The image of its rows, as `stock_decoder.decode` gives them."""
    channels = self._tables.channels(index)
    h, w = lanes.latent_shape(height, width)
    # A product with ones and zeros puts the live channels into place; it is
    # exact, and faster than scattering numbers one by one.
    live = tf.one_hot(channels.live, self._num_latents)
    symbols = tf.matmul(tf.cast(rows[:, 1:], tf.float32), live)
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


def _map(function: Callable[..., Any], inputs: Any, specs: Any) -> Any:
  """Maps over a batch, one item at a time: its memory is that of one."""
  return tf.map_fn(
    function, inputs, fn_output_signature=specs, parallel_iterations=1
  )
