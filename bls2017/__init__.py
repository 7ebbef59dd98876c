"""A learned image codec: Balle, Laparra & Simoncelli, ICLR 2017.

    codec = bls2017.Codec.load()
    data = codec.compress(image, quality=6)
    image = codec.decompress(data)

Importing this package imports neither TensorFlow nor anything that takes time;
the names below are looked up when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bls2017 import errors

if TYPE_CHECKING:
  from bls2017.codec import Codec, StreamInfo
  from bls2017.images.reading import read_rgb as read_image

__version__ = "0.1.0"
__all__ = [
  "Codec",
  "StreamInfo",
  "__version__",
  "errors",
  "read_image",
]

_PLACES = {
  "Codec": ("bls2017.codec", "Codec"),
  "StreamInfo": ("bls2017.codec", "StreamInfo"),
  "read_image": ("bls2017.images.reading", "read_rgb"),
}


def __getattr__(name: str) -> Any:
  if name in _PLACES:
    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(module), attribute)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
