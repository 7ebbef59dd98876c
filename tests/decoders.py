"""The decoders of the format as functions of one kind, to hold them together.

    library    `bls2017.Codec`: the range coder in C, the transforms on LiteRT
    reference  symbols by the slow coder of tests/bls2017/format
    graph      the exported graph, which tells no symbols; needs TensorFlow

The decoder in JavaScript has tests of its own (tests/export/web).
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

from bls2017 import codec as codec_lib
from bls2017 import decode, errors
from bls2017.common import packages
from bls2017.model import model_directory
from tests import forging
from tests.bls2017.format import reference_coder


class Outcome(NamedTuple):
  """How a decoder ends a file.

  Attributes:
    error: The library's name of the error; empty if the file is sound.
    symbols: int32 [h, w, C]; None if the decoder does not tell them.
    pixels: uint8 [H, W, 3], or 4 with alpha; None likewise.
  """

  error: str = ""
  symbols: np.ndarray | None = None
  pixels: np.ndarray | None = None


Decoder = Callable[[bytes], Outcome]
Maker = Callable[[model_directory.FrozenModel, int], Decoder]
"""Makes a decoder of a model and a limit of pixels."""


def library(model: model_directory.FrozenModel, max_pixels: int) -> Decoder:
  """The library's decoder of a model."""
  codec = codec_lib.Codec(model, max_pixels)

  def decoded(data: bytes) -> Outcome:
    try:
      symbols = codec.symbols(data)
    except errors.CodecError as e:
      return Outcome(type(e).__name__)
    return Outcome("", symbols, codec.decompress(data))

  return decoded


def reference(model: model_directory.FrozenModel, max_pixels: int) -> Decoder:
  """The slow decoder, behind the library's container."""

  def decoded(data: bytes) -> Outcome:
    try:
      file = decode.open(data, model, max_pixels)
    except errors.CodecError as e:
      return Outcome(type(e).__name__)
    rows = reference_coder.decode_rows(
      forging.parts(file).streams, file.header.shape, file.tables
    )
    if rows is None:
      return Outcome("BitstreamError")
    symbols = file.tables.symbols(rows).reshape(*file.header.shape, -1)
    return Outcome("", symbols)

  return decoded


def graph(model: model_directory.FrozenModel, max_pixels: int) -> Decoder:
  """The exported graph of a model."""
  from export import serving_module

  module = serving_module.ServingModule(model, max_pixels)

  def decoded(data: bytes) -> Outcome:
    outputs = module.decompress_image([data])
    status = int(outputs["status"][0])
    if not status:
      image, alpha = (outputs[name].numpy()[0] for name in ("image", "alpha"))
      if np.any(alpha < 255):
        image = np.concatenate([image, alpha], 2)
      return Outcome(pixels=image)
    if status == errors.LimitError.exit_code:
      return Outcome("LimitError")
    assert status == errors.BitstreamError.exit_code
    is_foreign = b"written with model" in outputs["message"].numpy()[0]
    return Outcome("ForeignModelError" if is_foreign else "BitstreamError")

  return decoded


DECODERS: dict[str, Maker] = {"library": library, "reference": reference}
if packages.is_installed("tensorflow"):
  DECODERS["graph"] = graph
