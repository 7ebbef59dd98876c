"""What a benchmark measures."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

from bls2017.common import config


class Size(NamedTuple):
  """Width and height of an image in pixels."""

  width: int
  height: int

  def __str__(self) -> str:
    """As in "768x512"."""
    return f"{self.width}x{self.height}"

  @property
  def megapixels(self) -> float:
    """Millions of pixels."""
    return self.width * self.height / 1e6


SMALL, MIDDLE, LARGE = Size(128, 128), Size(768, 512), Size(4000, 3000)
"""The sizes for which the benchmark knows which ratios it asks."""


def parse_size(text: str) -> Size:
  """A size from its text.

  Raises:
    ValueError: if the text is not WIDTHxHEIGHT.
  """
  match = re.fullmatch(r"(\d+)x(\d+)", text)
  if not match:
    raise ValueError(f"WIDTHxHEIGHT is needed, not '{text}'")
  return Size(int(match[1]), int(match[2]))


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
  """What is measured; see `config.setting`."""

  model: str | None = config.setting(
    None,
    "A model of the package by its name, or a model directory; by default the"
    " one tuned for PSNR.",
  )
  quality: float = config.setting(6.0, "Quality of the comparison.")
  sizes: tuple[Size, ...] = config.setting(
    (SMALL, MIDDLE, LARGE),
    "WIDTHxHEIGHT of the images, sides multiples of 8; none for ''.",
    parse=parse_size,
  )
  repeats: int = config.setting(
    9, "Rounds; a third of it from 2 megapixels on.", at_least=1
  )
  training: bool = config.setting(True, "Whether training is timed.")
  memory: bool = config.setting(
    True, "Whether peak memory is measured, at the last two sizes."
  )
  cold: bool = config.setting(True, "Whether cold starts are timed.")
  bulk_images: int = config.setting(
    200, "Files of 768x512 to work on at once; 0 for none.", at_least=0
  )
  huge: bool = config.setting(
    False, "Whether an image of 100 megapixels is worked on."
  )

  def __post_init__(self) -> None:
    """Raises errors.UsageError if a value is out of its range."""
    config.check(self)
    multiples = all(
      side % 8 == 0 < side for size in self.sizes for side in size
    )
    config.require(multiples, "sides must be multiples of 8")

  def rounds(self, size: Size) -> int:
    """Rounds for an image of a size, of which medians are taken."""
    return max(2, self.repeats // 3) if size.megapixels >= 2 else self.repeats
