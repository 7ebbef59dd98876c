"""A frozen model as graph functions.

Kernels, GDN parameters, gains and coding tables are constants, and each
function is traced once, however many signatures call it. The steps are those of
`bls2017.codec`: transforms and quantization take single images, the range coder
all images of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import tensorflow as tf

from bls2017.format import lanes
from export import verdict
from export.graph import (
  byte_fields,
  entropy_coders,
  graph_container,
  graph_lanes,
  graph_quantization,
  graph_tables,
  graph_transforms,
)
from export.range_coder import stock_streams

if TYPE_CHECKING:
  from bls2017.model import model_directory

_SCALAR = tf.TensorSpec((), tf.int32)
_IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)
_BYTES = tf.TensorSpec((None,), tf.uint8)
_NUMBERS = tf.TensorSpec((None,), tf.int32)


class FrozenGraph(tf.Module):
  """Compresses and decompresses single images with fixed variables.

  Attributes:
    model_id: 8 bytes, of the model.
    num_levels: Its largest quality.
    quality_steps: Qualities to a level.
    max_pixels: Images of more pixels are refused.
  """

  def __init__(self, model: model_directory.FrozenModel, max_pixels: int):
    """Takes the model; graphs are traced when they are first used.

    Args:
      model: The model.
      max_pixels: Limit of width times height.
    """
    super().__init__()
    self.model_id = model.model_id
    self.num_levels = model.config.num_levels
    self.quality_steps = model.config.quality_steps
    self.max_pixels = max_pixels
    self._transforms = graph_transforms.GraphTransforms(model)
    self._tables = graph_tables.GraphTables(model.tables)
    self._version = model.format_version
    self._coder = entropy_coders.StockCoder(self._tables)
    self._channels = model.config.num_latents
    self._quantize = _traced(self._quantize_image, _IMAGE, _SCALAR)
    self._encode = _traced(self._encode_rows, *[_NUMBERS] * 4)
    self._decode = _traced(self._decode_streams, _BYTES, *[_NUMBERS] * 3)
    self._synthesise = _traced(
      self._image_of_row, _NUMBERS, _SCALAR, _SCALAR, _SCALAR
    )

  def quality_index(
    self, quality: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Index of the nearest quality, int32, and whether there is one.

    Args:
      quality: float32 scalar, not necessarily finite.
    """
    # A comparison with NaN is false.
    known = (quality >= 1.0) & (quality <= float(self.num_levels))
    index = tf.round((quality - 1.0) * self.quality_steps)
    faults = verdict.first_fault(
      (
        ~known,
        verdict.USAGE,
        (
          f"quality must be between 1 and {self.num_levels}, not ",
          tf.strings.as_string(quality, shortest=True),
        ),
      )
    )
    return tf.cast(tf.where(known, index, 0.0), tf.int32), faults

  def size_faults(self, height: tf.Tensor, width: tf.Tensor) -> verdict.Verdict:
    """What is wrong with an image of this size, int64 scalars."""
    return verdict.first_fault(
      (
        (height == 0) | (width == 0),
        verdict.USAGE,
        ("an image must have pixels",),
      ),
      graph_container.over_limit(height, width, self.max_pixels),
    )

  def quantize(
    self, image: tf.Tensor, index: tf.Tensor
  ) -> tuple[entropy_coders.Rows, verdict.Verdict]:
    """The rows of an image within the limits.

    Args:
      image: uint8 [H, W, 3].
      index: int32 scalar, index of the quality.

    Returns:
      Rows, of no positions where the verdict is not sound.
    """
    activities, indices = self._quantize(image, index)
    rows = entropy_coders.Rows(activities, indices)
    return rows, _not_finite(tf.size(activities) == 0)

  def encode(
    self, rows: entropy_coders.Rows, images: stock_streams.Images
  ) -> entropy_coders.Streams:
    """The streams of images; their qualities are indices."""
    return entropy_coders.Streams(*self._encode(*rows, *images))

  def pack(
    self,
    height: tf.Tensor,
    width: tf.Tensor,
    index: tf.Tensor,
    streams: entropy_coders.Streams,
  ) -> tf.Tensor:
    """The file of an image, a string scalar.

    Args:
      height: int32 scalar, pixels.
      width: int32 scalar, pixels.
      index: int32 scalar, index of the quality.
      streams: Those of this image.
    """
    return graph_container.pack(
      height,
      width,
      index,
      self.model_id,
      self._version,
      byte_fields.to_string(streams.payload),
      streams.lengths,
    )

  def open(
    self, data: tf.Tensor
  ) -> tuple[graph_container.Header, graph_lanes.Lanes]:
    """Checks and reads all of a file but its symbols.

    Args:
      data: string scalar, any bytes.

    Returns:
      Both parts; the second one's verdict is on the whole.
    """
    header = graph_container.unpack_header(
      data,
      self.model_id,
      self._version,
      len(self._tables),
      self.max_pixels,
    )

    def read() -> graph_lanes.Lanes:
      step = self._tables.lane_positions(header.quality_index)
      positions = graph_container.positions(header.height, header.width)
      count = (positions + step - 1) // step
      longest, longest_last = (
        self._tables.max_lane_bytes(header.quality_index, n)
        for n in (step, positions - (count - 1) * step)
      )
      return graph_lanes.unpack(
        data, self._version, count, longest, longest_last
      )

    return header, tf.cond(
      header.verdict.is_ok(),
      read,
      lambda: graph_lanes.no_lanes(header.verdict),
    )

  def decode(
    self, streams: entropy_coders.Streams, images: stock_streams.Images
  ) -> tuple[entropy_coders.Rows, tf.Tensor]:
    """The rows of images; their qualities are indices.

    Returns:
      Rows, and bool [N]: whether an encoder wrote an image's streams.
    """
    activities, indices, sound = self._decode(*streams, *images)
    return entropy_coders.Rows(activities, indices), sound

  def synthesise(
    self,
    indices: tf.Tensor,
    index: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    """The image of decoded rows, uint8 [height, width, 3].

    Args:
      indices: int32 [positions x L], table indices of live channels.
      index: int32 scalar, index of the quality.
      height: int32 scalar, pixels.
      width: int32 scalar, pixels.
    """
    return self._synthesise(indices, index, height, width)

  def live_counts(self, index: tf.Tensor) -> tf.Tensor:
    """Live channels of the qualities `index`: int32, of its shape."""
    return self._tables.live_counts(index)

  def lane_counts(self, images: stock_streams.Images) -> tf.Tensor:
    """Lanes of each image, int32 [N]; their qualities are indices."""
    step = self._tables.lane_positions(images.qualities)
    return (images.positions + step - 1) // step

  def _quantize_image(
    self, image: tf.Tensor, index: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    pair = self._transforms.pair_of(index)
    latents = self._transforms.latents(image, pair)
    tables = self._tables.for_quality(index)
    scaled = graph_quantization.scaled(latents, tables)
    none = tf.zeros((0,), tf.int32)
    return tf.cond(
      tf.reduce_all(tf.math.is_finite(scaled)),
      lambda: self._split(graph_quantization.quantize(scaled, tables)),
      lambda: (none, none),
    )

  def _split(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Activities and table indices, flat, of rows, [positions, columns]."""
    if self._tables.num_activities == 1:
      return tf.zeros(tf.shape(rows)[:1], tf.int32), tf.reshape(rows, [-1])
    return rows[:, 0], tf.reshape(rows[:, 1:], [-1])

  def _encode_rows(
    self,
    activities: tf.Tensor,
    indices: tf.Tensor,
    qualities: tf.Tensor,
    positions: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    return self._coder.encode(
      entropy_coders.Rows(activities, indices),
      stock_streams.Images(qualities, positions),
    )

  def _decode_streams(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    qualities: tf.Tensor,
    positions: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    rows, sound = self._coder.decode(
      entropy_coders.Streams(payload, lengths),
      stock_streams.Images(qualities, positions),
    )
    return *rows, sound

  def _image_of_row(
    self,
    indices: tf.Tensor,
    index: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    tables = self._tables.for_quality(index)
    h, w = lanes.latent_shape(height, width)
    rows = tf.reshape(indices, tf.stack([h * w, tf.size(tables.live)]))
    # A product with ones and zeros puts the live channels into place; it is
    # exact, and faster than scattering numbers one by one.
    live = tf.one_hot(tables.live, self._channels)
    symbols = tf.matmul(tf.cast(rows, tf.float32), live)
    symbols += tf.cast(tables.minimum, tf.float32)
    y_hat = (symbols + tables.offset) * tables.inverse_gain
    y_hat = tf.reshape(y_hat, tf.stack([h, w, self._channels]))
    image = self._transforms.image(y_hat, self._transforms.pair_of(index))
    return image[:height, :width]


def no_image() -> tf.Tensor:
  """uint8 [0, 0, 3]."""
  return tf.zeros((0, 0, 3), tf.uint8)


def _traced(function: Callable[..., Any], *signature: tf.TensorSpec) -> Any:
  return tf.function(function, input_signature=signature, autograph=False)


def _not_finite(present: tf.Tensor) -> verdict.Verdict:
  """Blames the model for latents that are not finite, where they are not."""
  return verdict.first_fault(
    (
      present,
      verdict.MODEL,
      ("the model's latents of the image are not finite",),
    )
  )
