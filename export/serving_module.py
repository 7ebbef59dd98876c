"""The signatures of the export.

All are batch-major, and take what TF Serving merges and splits: a row for each
item, in and out. Every item has a status of its own (`export.verdict`); nothing
an item holds makes the request fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import tensorflow as tf

from export import DEFAULT_MAX_PIXELS, SIGNATURES, verdict
from export.graph import graph_alpha, graph_codec, graph_container
from export.image_files import reading

if TYPE_CHECKING:
  from bls2017.model import model_directory

_PNG_COMPRESSION = 1
"""zlib's level; it takes an eighth less time than 2 for 0.6% more bytes."""

_IMAGES = tf.TensorSpec((None, None, None, 3), tf.uint8, "image")
_IMAGE_FILES = tf.TensorSpec((None,), tf.string, "image_bytes")
_FILES = tf.TensorSpec((None,), tf.string, "compressed_bytes")
_QUALITIES = tf.TensorSpec((None,), tf.float32, "quality")
_JPEG_QUALITIES = tf.TensorSpec((None,), tf.int32, "jpeg_quality")

Outputs = dict[str, tf.Tensor]


class ServingModule(tf.Module):
  """A frozen model behind the export's signatures.

  Every signature gives besides its results status int32 [N] and message string
  [N]. Results are empty, black or zero where the status is not 0.
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    max_pixels: int = DEFAULT_MAX_PIXELS,
  ):
    super().__init__()
    self._codec = graph_codec.GraphCodec(model, max_pixels)

  def signatures(self) -> dict[str, Any]:
    """Gives concrete functions by the names of their signatures."""
    default, *names = SIGNATURES
    functions = {n: getattr(self, n).get_concrete_function() for n in names}
    return {default: functions["compress"], **functions}

  @tf.function(input_signature=[_IMAGE_FILES, _QUALITIES], autograph=False)
  def compress(self, image_bytes: tf.Tensor, quality: tf.Tensor) -> Outputs:
    """Compresses PNG or JPEG files, alpha included.

    Args:
      image_bytes: string [N].
      quality: float32 [N], 1 to the model's levels.

    Returns:
      compressed_bytes string [N].
    """
    _check_lengths(image_bytes, quality)
    files, faults = self._codec.compress(
      lambda data: reading.read(data, self._codec.max_pixels),
      image_bytes,
      quality,
    )
    return {"compressed_bytes": files, **faults._asdict()}

  @tf.function(input_signature=[_IMAGES, _QUALITIES], autograph=False)
  def compress_image(self, image: tf.Tensor, quality: tf.Tensor) -> Outputs:
    """Compresses opaque images of one size.

    Args:
      image: uint8 [N, H, W, 3].
      quality: float32 [N], 1 to the model's levels.

    Returns:
      compressed_bytes string [N].
    """
    _check_lengths(image, quality)
    _, height, width, _ = tf.unstack(tf.shape(image, tf.int64))
    empty = (height == 0) | (width == 0)
    size_faults = verdict.first_fault(
      (empty, verdict.USAGE, "an image must have pixels"),
      graph_container.over_limit(height, width, self._codec.max_pixels),
    )
    files, faults = self._codec.compress(
      lambda pixels: (pixels, tf.zeros((0, 0, 1), tf.uint8), size_faults),
      image,
      quality,
    )
    return {"compressed_bytes": files, **faults._asdict()}

  @tf.function(input_signature=[_FILES], autograph=False)
  def decompress(self, compressed_bytes: tf.Tensor) -> Outputs:
    """Decompresses files to PNG files, with alpha unless all is opaque.

    Args:
      compressed_bytes: string [N].

    Returns:
      image_bytes string [N].
    """
    opened = self._codec.open(compressed_bytes)

    def to_png(i: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
      image = _with_alpha(
        image,
        opened.alpha[i],
        lambda colour, alpha: tf.concat([colour, alpha], 2),
      )
      return tf.io.encode_png(image, compression=_PNG_COMPRESSION)

    files, faults = self._codec.decompress(opened, to_png, tf.constant(""))
    return {"image_bytes": files, **faults._asdict()}

  @tf.function(input_signature=[_FILES, _JPEG_QUALITIES], autograph=False)
  def decompress_to_jpeg(
    self, compressed_bytes: tf.Tensor, jpeg_quality: tf.Tensor
  ) -> Outputs:
    """Decompresses files to JPEG files, composited on white.

    Args:
      compressed_bytes: string [N].
      jpeg_quality: int32 [N], 1 to 100.

    Returns:
      image_bytes string [N].
    """
    _check_lengths(compressed_bytes, jpeg_quality)
    wrong = (jpeg_quality < 1) | (jpeg_quality > 100)
    message = "jpeg_quality must be between 1 and 100, not ", jpeg_quality
    opened = self._codec.open(compressed_bytes)

    def to_jpeg(i: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
      return tf.raw_ops.EncodeJpegVariableQuality(
        images=_with_alpha(image, opened.alpha[i], graph_alpha.on_white),
        quality=jpeg_quality[i],
      )

    files, faults = self._codec.decompress(
      opened.refused((wrong, verdict.USAGE, *message)),
      to_jpeg,
      tf.constant(""),
    )
    return {"image_bytes": files, **faults._asdict()}

  @tf.function(input_signature=[_FILES], autograph=False)
  def decompress_image(self, compressed_bytes: tf.Tensor) -> Outputs:
    """Decompresses files of one size to images.

    The first sound item gives the size; an item of another one has a status.
    Where no item is sound, all images are [0, 0].

    Args:
      compressed_bytes: string [N].

    Returns:
      image uint8 [N, H, W, 3], alpha uint8 [N, H, W, 1].
    """
    opened = self._codec.open(compressed_bytes)
    sound = opened.faults.is_ok()

    def of_first(values: tf.Tensor) -> tf.Tensor:
      return tf.pad(tf.boolean_mask(values, sound), [[0, 1]])[0]

    height, width = of_first(opened.height), of_first(opened.width)
    differs = (opened.height != height) | (opened.width != width)
    message = (
      "the image has ", opened.width, " x ", opened.height,
      " pixels, the first of its batch ", width, " x ", height,
    )  # fmt: skip

    def to_tensor(i: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
      opaque = tf.fill(tf.shape(image[..., :1]), tf.constant(255, tf.uint8))
      alpha = _with_alpha(opaque, opened.alpha[i], lambda _, alpha: alpha)
      return tf.concat([image, alpha], 2)

    images, faults = self._codec.decompress(
      opened.refused((differs, verdict.USAGE, *message)),
      to_tensor,
      tf.zeros(tf.stack([height, width, 4]), tf.uint8),
    )
    image, alpha = images[..., :3], images[..., 3:]
    return {"image": image, "alpha": alpha, **faults._asdict()}

  @tf.function(input_signature=[_FILES], autograph=False)
  def info(self, compressed_bytes: tf.Tensor) -> Outputs:
    """Reads the facts that compressed files state.

    Args:
      compressed_bytes: string [N].

    Returns:
      height and width int32 [N], quality float32 [N], model_id string [N]
      (hexadecimal), bpp float32 [N].
    """
    opened = self._codec.open(compressed_bytes)
    sound = opened.faults.is_ok()
    height = tf.where(sound, opened.height, 0)
    width = tf.where(sound, opened.width, 0)
    quality = self._codec.quality(opened.quality_index)
    bits = tf.cast(8 * tf.strings.length(compressed_bytes), tf.float32)
    pixels = tf.cast(height, tf.float32) * tf.cast(width, tf.float32)
    return {
      "height": height,
      "width": width,
      "quality": tf.where(sound, quality, 0.0),
      "model_id": tf.where(sound, self._codec.model_id.hex(), ""),
      "bpp": tf.math.divide_no_nan(bits, pixels),
      **opened.faults._asdict(),
    }


def _with_alpha(
  image: tf.Tensor,
  box: tf.Tensor,
  function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
  """A function's value of an image and its alpha; the image without alpha."""
  return tf.cond(
    tf.strings.length(box) > 0,
    lambda: function(image, graph_alpha.unpack(box)),
    lambda: image,
  )


def _check_lengths(items: tf.Tensor, numbers: tf.Tensor) -> None:
  """Makes a request fail that is no batch; `map_fn` would not see it."""
  tf.debugging.assert_equal(
    tf.shape(items)[0], tf.shape(numbers)[0], "an item, a number"
  )
