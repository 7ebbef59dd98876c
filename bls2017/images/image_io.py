"""The names of before, until their callers use `reading` and `writing`."""

from __future__ import annotations

from typing import Any

import numpy as np

from bls2017.images import metadata, reading, writing
from bls2017.images.reading import MAX_PIXELS as MAX_PIXELS
from bls2017.images.reading import PLUGIN_FORMAT as PLUGIN_FORMAT
from bls2017.images.reading import Source as Source
from bls2017.images.reading import is_image as is_image
from bls2017.images.reading import read_grey as read_grey
from bls2017.images.reading import read_rgb as read_rgb
from bls2017.images.writing import LOSSY_FORMATS as LOSSY_FORMATS
from bls2017.images.writing import QUALITY_FORMATS as QUALITY_FORMATS
from bls2017.images.writing import check_format as check_format
from bls2017.images.writing import check_quality as check_quality
from bls2017.images.writing import write as write

Picture = Any
as_rgb = read_rgb


def encode(
  x: np.ndarray,
  kind: str = "PNG",
  quality: int | None = None,
  about: metadata.Metadata = metadata.NONE,
) -> bytes:
  """See `writing.encode`."""
  return writing.encode(reading.Picture(x, None, *about), kind, quality).data
