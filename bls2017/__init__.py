"""A learned image codec: Balle, Laparra & Simoncelli, ICLR 2017.

    codec = bls2017.Codec.load()
    data = codec.compress(image, quality=5)
    image = codec.decompress(data)

Importing this package imports neither TensorFlow nor anything that takes time;
`Codec` is looked up when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from bls2017.codec import Codec, StreamInfo

# TensorFlow reads it when it is imported. oneDNN's convolutions are faster, and
# sum in an order that does not depend on where an image is cut (`strips`).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
__all__ = ["Codec", "StreamInfo", "__version__"]


def __getattr__(name: str) -> Any:
  if name in ("Codec", "StreamInfo"):
    return getattr(importlib.import_module("bls2017.codec"), name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
