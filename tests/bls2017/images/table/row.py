"""What a row of the table of image files holds."""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np


class Row(NamedTuple):
  """An input and what is expected of it.

  Attributes:
    name: Of the test.
    make: Makes the source.
    pixels: What is read, uint8 [H, W, 3].
    losses: What the file's line names, in order.
    alpha: uint8 [H, W].
    exif: What is kept of it; None if it does not matter.
    xmp: Likewise.
    within: By how many levels pixels may differ.
    error: What is raised instead.
    says: What the error says.
    report: A public report of the kind, "owner/name#number".
  """

  name: str
  make: Callable[[], bytes]
  pixels: np.ndarray | None = None
  losses: tuple[str, ...] = ()
  alpha: np.ndarray | None = None
  exif: bytes | None = b""
  xmp: bytes | None = b""
  within: float = 0
  error: type[Exception] | None = None
  says: str = ""
  report: str = ""
