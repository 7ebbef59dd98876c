"""The signatures of the export.

All are batch-major, and take what TF Serving merges and splits: a row for each
item, in and out. Every item has a status of its own (`export.verdict`); nothing
an item holds makes the request fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from export import DEFAULT_MAX_PIXELS, verdict
from export.graph import frozen_graph, graph_container
from export.image_files import reading

if TYPE_CHECKING:
  from bls2017.transforms import model_directory

_STATUS = (tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.string))
_STRING_AND_STATUS = (tf.TensorSpec((), tf.string), *_STATUS)

_PNG_COMPRESSION = 2
"""zlib's level: a sixth of the default's time for 9% more bytes."""

Outputs = dict[str, tf.Tensor]


class ServingModule(tf.Module):
  """A frozen model behind the export's signatures."""

  def __init__(
    self,
    model: model_directory.FrozenModel,
    runtime: str = "stock",
    max_pixels: int = DEFAULT_MAX_PIXELS,
  ):
    """Prepares the graphs.

    Args:
      model: The model.
      runtime: One of `export.RUNTIMES`.
      max_pixels: Limit of width times height, in both directions.
    """
    super().__init__()
    self._graph = frozen_graph.FrozenGraph(model, runtime, max_pixels)

  def signatures(self) -> dict[str, Any]:
    """Concrete functions by the names of their signatures."""
    compress = self.compress.get_concrete_function()
    return {
      "serving_default": compress,
      "compress": compress,
      "compress_to_size": self.compress_to_size.get_concrete_function(),
      "decompress": self.decompress.get_concrete_function(),
      "compress_image": self.compress_image.get_concrete_function(),
      "decompress_image": self.decompress_image.get_concrete_function(),
      "info": self.info.get_concrete_function(),
    }

  @tf.function(
    input_signature=[
      tf.TensorSpec((None,), tf.string, "image_bytes"),
      tf.TensorSpec((None,), tf.float32, "quality"),
    ],
    autograph=False,
  )
  def compress(self, image_bytes: tf.Tensor, quality: tf.Tensor) -> Outputs:
    """PNG or JPEG files to compressed files.

    Args:
      image_bytes: string [N].
      quality: float32 [N], 1 to the model's levels.

    Returns:
      compressed_bytes string [N], status int32 [N], message string [N].
    """
    _check_lengths(image_bytes, quality)

    def item(inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
      data, wanted = inputs
      index, faults = self._graph.quality_index(wanted)
      pixels, faults = self._read_sound(data, faults)
      return self._encode_sound(pixels, index, faults)

    return _named("compressed_bytes", _map(item, (image_bytes, quality)))

  @tf.function(
    input_signature=[
      tf.TensorSpec((None,), tf.string, "image_bytes"),
      tf.TensorSpec((None,), tf.int32, "max_bytes"),
    ],
    autograph=False,
  )
  def compress_to_size(
    self, image_bytes: tf.Tensor, max_bytes: tf.Tensor
  ) -> Outputs:
    """PNG or JPEG files to the finest compressed files of at most a size.

    Args:
      image_bytes: string [N].
      max_bytes: int32 [N], at least 1.

    Returns:
      compressed_bytes string [N], status int32 [N], message string [N]; where
      there is no such file, the status is that of a limit, and the message
      says how small the smallest is.
    """
    _check_lengths(image_bytes, max_bytes)

    def item(inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
      data, size = inputs
      faults = verdict.first_fault(
        (size < 1, verdict.USAGE, ("max_bytes must be positive, not ", size))
      )
      pixels, faults = self._read_sound(data, faults)
      return tf.cond(
        faults.is_ok(),
        lambda: _flat(*self._graph.encode_within(pixels, size)),
        lambda: (tf.constant(""), *faults),
      )

    return _named("compressed_bytes", _map(item, (image_bytes, max_bytes)))

  @tf.function(
    input_signature=[tf.TensorSpec((None,), tf.string, "compressed_bytes")],
    autograph=False,
  )
  def decompress(self, compressed_bytes: tf.Tensor) -> Outputs:
    """Compressed files to PNG files.

    Args:
      compressed_bytes: string [N].

    Returns:
      image_bytes string [N], status int32 [N], message string [N].
    """

    def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
      image, faults = self._graph.decode(*self._graph.open(data))
      png = tf.cond(
        faults.is_ok(),
        lambda: tf.io.encode_png(image, compression=_PNG_COMPRESSION),
        lambda: tf.constant(""),
      )
      return png, *faults

    return _named("image_bytes", _map(item, compressed_bytes))

  @tf.function(
    input_signature=[
      tf.TensorSpec((None, None, None, 3), tf.uint8, "image"),
      tf.TensorSpec((None,), tf.float32, "quality"),
    ],
    autograph=False,
  )
  def compress_image(self, image: tf.Tensor, quality: tf.Tensor) -> Outputs:
    """Images of one size to compressed files.

    Args:
      image: uint8 [N, H, W, 3].
      quality: float32 [N], 1 to the model's levels.

    Returns:
      compressed_bytes string [N], status int32 [N], message string [N].
    """
    _check_lengths(image, quality)
    _, height, width, _ = tf.unstack(tf.shape(image, tf.int64))
    size_faults = self._graph.size_faults(height, width)

    def item(inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
      pixels, wanted = inputs
      index, faults = self._graph.quality_index(wanted)
      faults = verdict.either(faults, size_faults)
      return self._encode_sound(pixels, index, faults)

    return _named("compressed_bytes", _map(item, (image, quality)))

  @tf.function(
    input_signature=[tf.TensorSpec((None,), tf.string, "compressed_bytes")],
    autograph=False,
  )
  def decompress_image(self, compressed_bytes: tf.Tensor) -> Outputs:
    """Compressed files of one size to images.

    The first sound item gives the size; an item of another one has a status.
    Images of items with a status are black, all of them [0, 0, 3] where no item
    is sound.

    Args:
      compressed_bytes: string [N].

    Returns:
      image uint8 [N, H, W, 3], status int32 [N], message string [N].
    """
    height, width = self._common_size(compressed_bytes)
    size = tf.stack([height, width])
    black = tf.zeros(tf.stack([height, width, 3]), tf.uint8)

    def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
      header, lanes = self._graph.open(data)
      other = tf.reduce_any(tf.stack([header.height, header.width]) != size)
      faults = verdict.either(
        lanes.verdict,
        verdict.first_fault(
          (
            other,
            verdict.USAGE,
            (
              "the image has ", header.width, " x ", header.height,
              " pixels, the first of its batch ", width, " x ", height,
            ),
          )
        ),
      )  # fmt: skip
      image, faults = self._graph.decode(header, lanes._replace(verdict=faults))
      image = tf.cond(faults.is_ok(), lambda: image, lambda: black)
      return tf.ensure_shape(image, (None, None, 3)), *faults

    pixels = tf.TensorSpec((None, None, 3), tf.uint8)
    return _named("image", _map(item, compressed_bytes, (pixels, *_STATUS)))

  @tf.function(
    input_signature=[tf.TensorSpec((None,), tf.string, "compressed_bytes")],
    autograph=False,
  )
  def info(self, compressed_bytes: tf.Tensor) -> Outputs:
    """What compressed files say of themselves.

    Args:
      compressed_bytes: string [N].

    Returns:
      height, width int32 [N], quality float32 [N], model_id string [N]
      (hexadecimal), bpp float32 [N], status int32 [N], message string [N].
      Zeros and empty strings where the status is not 0.
    """

    def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
      header, lanes = self._graph.open(data)
      sound = lanes.verdict.is_ok()
      height = tf.where(sound, header.height, 0)
      width = tf.where(sound, header.width, 0)
      index = tf.cast(header.quality_index, tf.float32)
      quality = 1.0 + index / self._graph.quality_steps
      bits = tf.cast(8 * tf.strings.length(data), tf.float32)
      pixels = tf.cast(height, tf.float32) * tf.cast(width, tf.float32)
      return (
        height,
        width,
        tf.where(sound, quality, 0.0),
        tf.where(sound, graph_container.to_hex(header.model_id), ""),
        tf.math.divide_no_nan(bits, pixels),
        *lanes.verdict,
      )

    number, fraction = (tf.TensorSpec((), t) for t in (tf.int32, tf.float32))
    text = tf.TensorSpec((), tf.string)
    names = ("height", "width", "quality", "model_id", "bpp")
    specs = (number, number, fraction, text, fraction, *_STATUS)
    values = _map(item, compressed_bytes, specs)
    return dict(zip((*names, "status", "message"), values))

  def _read_sound(
    self, data: tf.Tensor, faults: verdict.Verdict
  ) -> reading.Image:
    """The image of a file, unless a fault was found before."""
    return tf.cond(
      faults.is_ok(),
      lambda: reading.read(data, self._graph.max_pixels),
      lambda: reading.Image(frozen_graph.no_image(), faults),
    )

  def _encode_sound(
    self, pixels: tf.Tensor, index: tf.Tensor, faults: verdict.Verdict
  ) -> tuple[tf.Tensor, ...]:
    data, faults = tf.cond(
      faults.is_ok(),
      lambda: self._graph.encode(pixels, index),
      lambda: (tf.constant(""), faults),
    )
    return data, *faults

  def _common_size(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of the first file whose header is sound, or zeros."""

    def item(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
      header, lanes = self._graph.open(data)
      return header.height, header.width, lanes.verdict.is_ok()

    number, truth = (tf.TensorSpec((), t) for t in (tf.int32, tf.bool))
    heights, widths, sound = _map(item, files, (number, number, truth))

    def first(values: tf.Tensor) -> tf.Tensor:
      return tf.pad(tf.boolean_mask(values, sound), [[0, 1]])[0]

    return first(heights), first(widths)


def _check_lengths(items: tf.Tensor, numbers: tf.Tensor) -> None:
  """Makes a request fail that is no batch; `map_fn` would not see it."""
  tf.debugging.assert_equal(
    tf.shape(items)[0], tf.size(numbers), "an item, a number"
  )


def _flat(data: tf.Tensor, faults: verdict.Verdict) -> tuple[tf.Tensor, ...]:
  return data, *faults


def _map(function: Any, inputs: Any, specs: Any = _STRING_AND_STATUS) -> Any:
  """Maps over a batch, one item at a time: its memory is that of one."""
  return tf.map_fn(
    function, inputs, fn_output_signature=specs, parallel_iterations=1
  )


def _named(name: str, values: tuple[tf.Tensor, ...]) -> Outputs:
  return dict(zip((name, "status", "message"), values))
