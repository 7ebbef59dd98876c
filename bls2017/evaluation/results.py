"""The file `results.csv`: one row for each image, codec and quality.

Rows are appended as they are measured, each with one write that ends in the
line break. A row without its line break is one that a kill cut short: it does
not count, and the next run removes it. What was measured stays valid only for
the same pixels, codec, library version, settings, model and quality, which
together are a row's key.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from typing import Any

from bls2017 import errors

FILE_NAME = "results.csv"


@dataclasses.dataclass(frozen=True)
class Key:
  """What a measurement depends on."""

  image_hash: str
  codec: str
  version: str
  settings: str
  model_id: str
  quality: float


@dataclasses.dataclass(frozen=True)
class Row:
  """One measurement; the fields are the columns of the file.

  Attributes:
    image: Name of the image's file.
    width: Pixels.
    height: Pixels.
    image_hash: Of the decoded pixels.
    codec: Name in the registry.
    version: Versions of the libraries behind it.
    settings: Its fixed settings.
    model_id: The model's, for a learned codec.
    quality: Setting of the codec's scale.
    bytes: Of the whole file, its header included.
    bpp: Bits of the whole file per pixel.
    estimated_bpp: By the codec's own model, nan without one.
    gap_percent: How much larger the file is than that.
    psnr_rgb: dB over all samples.
    psnr_y: dB of luma.
    ms_ssim_rgb: Mean of the channels; nan for sides below 161 pixels.
    ms_ssim_rgb_db: -10 log10(1 - MS-SSIM).
    ms_ssim_y: Of luma.
    ms_ssim_y_db: As above.
    encode_s: Seconds to compress, after warm-up, on one thread.
    decode_s: Seconds to decompress.
  """

  image: str
  width: int
  height: int
  image_hash: str
  codec: str
  version: str
  settings: str
  model_id: str
  quality: float
  bytes: int
  bpp: float
  estimated_bpp: float
  gap_percent: float
  psnr_rgb: float
  psnr_y: float
  ms_ssim_rgb: float
  ms_ssim_rgb_db: float
  ms_ssim_y: float
  ms_ssim_y_db: float
  encode_s: float
  decode_s: float

  @property
  def key(self) -> Key:
    """What it depends on."""
    return Key(
      **{f.name: getattr(self, f.name) for f in dataclasses.fields(Key)}
    )


_TYPES = {"int": int, "str": str, "float": float}
_COLUMNS = {f.name: _TYPES[str(f.type)] for f in dataclasses.fields(Row)}
MEASURES = tuple(
  name for name, kind in _COLUMNS.items() if kind is float and name != "quality"
)
"""The columns that are averaged over images."""


class ResultsFile:
  """Reads and extends one such file."""

  def __init__(self, path: str):
    """Reads the rows there are, and cuts off an unfinished last one.

    Args:
      path: The file; it is created with its header where it is missing.

    Raises:
      errors.OutputError: if it cannot be written, or is some other file.
    """
    self._path = path
    self.rows: dict[Key, Row] = {}
    try:
      self._file = open(path, "ab+", buffering=0)
      self._recover()
    except OSError as e:
      raise errors.OutputError(f"cannot write {path}: {e.strerror}") from e

  def append(self, row: Row) -> None:
    """Adds a row, on the disk when this returns.

    Raises:
      errors.OutputError: if it cannot be written.
    """
    values = [_format(getattr(row, name)) for name in _COLUMNS]
    self._write(_line(values))
    # As it stands in the file, so that a resumed run comes to the same means.
    self.rows[row.key] = _parse(values) or row

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

  def _recover(self) -> None:
    self._file.seek(0)
    data = self._file.read()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
      self._file.truncate(len(whole))
    if not whole:
      self._write(_line(list(_COLUMNS)))
      return
    reader = csv.reader(io.StringIO(whole.decode("utf-8", "replace")))
    if next(reader) != list(_COLUMNS):
      raise errors.OutputError(
        f"{self._path} has other columns than this program writes; name"
        " another output directory"
      )
    for values in reader:
      row = _parse(values)
      if row is not None:
        self.rows[row.key] = row

  def _write(self, line: bytes) -> None:
    try:
      self._file.write(line)
      os.fsync(self._file.fileno())
    except OSError as e:
      raise errors.OutputError(
        f"cannot write {self._path}: {e.strerror}"
      ) from e


def _line(values: list[str]) -> bytes:
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerow(values)
  return text.getvalue().encode()


def _format(value: Any) -> str:
  if isinstance(value, float):
    return "" if math.isnan(value) else f"{value:.8g}"
  return " ".join(str(value).split())


def _parse(values: list[str]) -> Row | None:
  """A row; None for a line that is none."""
  if len(values) != len(_COLUMNS):
    return None
  try:
    parsed: dict[str, Any] = {
      name: math.nan if kind is float and not text else kind(text)
      for (name, kind), text in zip(_COLUMNS.items(), values)
    }
  except ValueError:
    return None
  return Row(**parsed)
