"""A frozen model as graph functions of single images.

Kernels, GDN parameters, gains and coding tables are constants, and each
function is traced once, however many signatures call it. The steps are those of
`bls2017.codec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import tensorflow as tf

from bls2017 import errors
from bls2017.bitstream import container
from bls2017.common import config
from bls2017.transforms import frozen_transforms
from export import verdict
from export.graph import (
  entropy_coders,
  graph_container,
  graph_quantization,
  graph_strips,
  graph_tables,
  sized_encoder,
)

if TYPE_CHECKING:
  from bls2017.transforms import model_directory

_SCALAR = tf.TensorSpec((), tf.int32)
_FRACTION = tf.TensorSpec((), tf.float32)
_IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)
_STRING = tf.TensorSpec((), tf.string)
_LENGTHS = tf.TensorSpec((None,), tf.int32)


class FrozenGraph:
  """Compresses and decompresses single images with constants.

  Attributes:
    model_id: 8 bytes, of the model.
    num_levels: Its largest quality.
    quality_steps: Qualities to a level.
    max_pixels: Images of more pixels are refused.
  """

  def __init__(
    self, model: model_directory.FrozenModel, runtime: str, max_pixels: int
  ):
    """Takes the constants; graphs are traced when they are first used.

    Args:
      model: The model.
      runtime: One of `export.RUNTIMES`.
      max_pixels: Limit of width times height.

    Raises:
      errors.ModelError: if graphs do not know the version of its files.
    """
    if model.format_version >= container.BOXES_VERSION:
      raise errors.ModelError(
        f"graphs do not read files of version {model.format_version}"
      )
    self.model_id = model.model_id
    self.num_levels = model.config.num_levels
    self.quality_steps = model.config.quality_steps
    self.max_pixels = max_pixels
    self._transforms = frozen_transforms.FrozenTransforms(model.weights)
    self._tables = graph_tables.GraphTables(model.tables)
    self._version = model.format_version
    self._coder = entropy_coders.make(runtime, self._tables.activities)
    self._channels = model.config.num_latents
    self._encode = _traced(self._encode_image, _IMAGE, _SCALAR)
    self._encode_within = _traced(self._encode_to_size, _IMAGE, _SCALAR)
    latents = tf.TensorSpec((None, self._channels), tf.float32)
    self._expected_size = _traced(
      self._size_of_latents, latents, _SCALAR, _FRACTION
    )
    self._pack = _traced(
      self._pack_latents, latents, _SCALAR, _FRACTION, _SCALAR, _SCALAR
    )
    self._decode = _traced(
      self._decode_payload, _STRING, _LENGTHS, _SCALAR, _SCALAR, _SCALAR
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

  def encode(
    self, image: tf.Tensor, index: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Compresses an image within the limits.

    Args:
      image: uint8 [H, W, 3].
      index: int32 scalar, index of the quality.

    Returns:
      A string scalar, the file, empty where the verdict is not sound.
    """
    data = self._encode(image, index)
    return data, _not_finite(tf.strings.length(data) == 0)

  def encode_within(
    self, image: tf.Tensor, max_bytes: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Compresses an image within the limits to a size.

    Args:
      image: uint8 [H, W, 3].
      max_bytes: int32 scalar.

    Returns:
      A string scalar, the file, empty where the verdict is not sound.
    """
    data, faults = self._encode_within(image, max_bytes)
    return data, verdict.Verdict(*faults)

  def open(
    self, data: tf.Tensor
  ) -> tuple[graph_container.Header, graph_container.Lanes]:
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

    def read() -> graph_container.Lanes:
      return graph_container.unpack_lanes(
        data,
        header,
        self._tables.lane_positions(header.quality_index),
        self._tables.max_lane_bytes(header.quality_index),
      )

    lanes = tf.cond(
      header.verdict.is_ok(),
      read,
      lambda: graph_container.Lanes(
        tf.constant(""), tf.zeros((0,), tf.int32), header.verdict
      ),
    )
    return header, lanes

  def decode(
    self, header: graph_container.Header, lanes: graph_container.Lanes
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    """Decompresses what `open` has read.

    Returns:
      uint8 [H, W, 3], or [0, 0, 3] where the verdict is not sound.
    """

    def decode() -> tuple[tf.Tensor, verdict.Verdict]:
      image, sound = self._decode(
        lanes.payload,
        lanes.lengths,
        header.height,
        header.width,
        header.quality_index,
      )
      return image, verdict.first_fault(
        (
          ~sound,
          verdict.CORRUPT,
          ("the payload is not what an encoder of this format writes",),
        )
      )

    return tf.cond(
      lanes.verdict.is_ok(), decode, lambda: (no_image(), lanes.verdict)
    )

  def _encode_image(self, image: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    height, width, _ = tf.unstack(tf.shape(image))
    latents = self._analyse(image)
    scaled = graph_quantization.scaled(latents, self._tables.for_quality(index))
    return tf.cond(
      tf.reduce_all(tf.math.is_finite(scaled)),
      lambda: self._pack(latents, index, 0.0, height, width),
      lambda: tf.constant(""),
    )

  def _pack_rows(
    self,
    rows: tf.Tensor,
    tables: graph_tables.QualityTables,
    height: tf.Tensor,
    width: tf.Tensor,
    index: tf.Tensor,
  ) -> tf.Tensor:
    payload, lengths = self._coder.encode(rows, tables)
    return graph_container.pack(
      height, width, index, self.model_id, self._version, payload, lengths
    )

  def _encode_to_size(
    self, image: tf.Tensor, max_bytes: tf.Tensor
  ) -> tuple[tf.Tensor, verdict.Verdict]:
    height, width, _ = tf.unstack(tf.shape(image))
    latents = self._analyse(image)
    encoder = sized_encoder.SizedEncoder(
      len(self._tables),
      lambda index, strength: self._expected_size(latents, index, strength),
      lambda index, strength: self._pack(
        latents, index, strength, height, width
      ),
    )
    return tf.cond(
      tf.reduce_all(tf.math.is_finite(latents)),
      lambda: encoder.encode(max_bytes),
      lambda: (tf.constant(""), _not_finite(tf.constant(True))),
    )

  def _size_of_latents(
    self, latents: tf.Tensor, index: tf.Tensor, strength: tf.Tensor
  ) -> tf.Tensor:
    tables = self._tables.for_quality(index)
    return sized_encoder.expected_size(latents, tables, strength, self._version)

  def _pack_latents(
    self,
    latents: tf.Tensor,
    index: tf.Tensor,
    strength: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    tables = self._tables.for_quality(index)
    rows = graph_quantization.quantize(latents, tables, strength)
    return self._pack_rows(rows, tables, height, width, index)

  def _analyse(self, image: tf.Tensor) -> tf.Tensor:
    """Latents of an image, float32 [positions, C]."""
    y = graph_strips.analysis(self._transforms, _pad(image))
    return tf.reshape(y, (-1, self._channels))

  def _decode_payload(
    self,
    payload: tf.Tensor,
    lengths: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    index: tf.Tensor,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    tables = self._tables.for_quality(index)
    positions = graph_container.positions(height, width)
    rows, sound = self._coder.decode(payload, lengths, positions, tables)
    image = tf.cond(
      sound,
      lambda: self._synthesise(rows, tables, height, width),
      no_image,
    )
    return image, sound

  def _synthesise(
    self,
    rows: tf.Tensor,
    tables: graph_tables.QualityTables,
    height: tf.Tensor,
    width: tf.Tensor,
  ) -> tf.Tensor:
    # A product with ones and zeros puts the live channels into place; it is
    # exact, and faster than scattering numbers one by one.
    place = tf.one_hot(tables.live, self._channels)
    rows = rows[:, tf.shape(rows)[1] - tf.size(tables.live) :]
    symbols = tf.matmul(tf.cast(rows, tf.float32), place)
    symbols += tf.cast(tables.minimum, tf.float32)
    y_hat = (symbols + tables.offset) * tables.inverse_gain
    h = (height + config.DOWNSAMPLING - 1) // config.DOWNSAMPLING
    y_hat = tf.reshape(y_hat, tf.stack([h, -1, self._channels]))
    return graph_strips.synthesis(self._transforms, y_hat)[:height, :width]


def no_image() -> tf.Tensor:
  """uint8 [0, 0, 3]."""
  return tf.zeros((0, 0, 3), tf.uint8)


def _traced(function: Callable[..., Any], *signature: tf.TensorSpec) -> Any:
  return tf.function(function, input_signature=signature, autograph=False)


def _pad(image: tf.Tensor) -> tf.Tensor:
  """Repeats the last row and column up to multiples of 16."""
  height, width, _ = tf.unstack(tf.shape(image))
  bottom = -height % config.DOWNSAMPLING
  right = -width % config.DOWNSAMPLING
  image = tf.concat([image, tf.tile(image[-1:], [bottom, 1, 1])], 0)
  return tf.concat([image, tf.tile(image[:, -1:], [1, right, 1])], 1)


def _not_finite(found: tf.Tensor) -> verdict.Verdict:
  """Blames the model where its latents were found not to be finite."""
  return verdict.first_fault(
    (
      found,
      verdict.MODEL,
      ("the model's latents of the image are not finite",),
    )
  )
