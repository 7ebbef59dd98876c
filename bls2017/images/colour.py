"""Turns the colours of an image file into sRGB.

Whatever tells colours becomes an ICC profile, which Little CMS converts from
(relative colorimetric). A profile is taken as it is; code points of H.273 (cICP
in PNG, nclx in AVIF) and PNG's gAMA and cHRM give the matrix and the curve of
one. The first counts that can be used of cICP, a profile, nclx, and gAMA with
cHRM; sRGB in PNG takes the place of these two.

Transfer functions of video (BT.709, BT.601, BT.2020) count as that of sRGB, as
programs that show photographs take them. Those of HDR (PQ and HLG) cannot be
used. A profile for grey is applied to grey, one for RGB also to grey.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
from PIL import Image, ImageCms

from bls2017.images.metadata import Description

_Curve = Callable[[np.ndarray], np.ndarray]
"""Leads from samples to linear light, both from 0 to 1."""

_D65 = (0.3127, 0.329)
_PRIMARIES = {
  1: (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
  4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
  5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
  6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
  7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
  9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
  11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
  12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
"""x and y of white, red, green and blue by code points of H.273."""

_UNSPECIFIED = 2
_SRGB = 1
_LIKE_SRGB = (1, 2, 6, 13, 14, 15)
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0}
_NAMES = {16: "PQ", 18: "HLG"}
_SRGB_GAMMA = 0.45455
"""PNG's gAMA of sRGB, whose curve is no power."""

_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}

# Bradford's matrix and the white of ICC profiles.
_CONES = np.array(
  [
    [0.8951, 0.2664, -0.1614],
    [-0.7502, 1.7135, 0.0367],
    [0.0389, -0.0685, 1.0296],
  ]
)
_D50 = np.array([0.96422, 1.0, 0.82521])


def to_srgb(image: Image.Image, about: Description) -> Image.Image:
  """Makes sRGB of the samples of a file.

  Args:
    image: Of the mode L, RGB, CMYK or LAB.
    about: What the file says of its colours; gets what cannot be used.

  Returns:
    An image of the mode RGB.
  """
  if image.mode == "LAB":
    return _convert(image, ImageCms.createProfile("LAB"))
  for what, profile in _profiles(about):
    try:
      data = profile()
      return _apply(image, data) if data else _plain(image)
    # Little CMS and Pillow raise any of these for odd profiles.
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as e:
      about.losses.append(f"{what} ({' '.join(str(e).split())})")
  return _plain(image)


def _plain(image: Image.Image) -> Image.Image:
  return image if image.mode == "RGB" else image.convert("RGB")


def _profiles(
  about: Description,
) -> Iterator[tuple[str, Callable[[], bytes]]]:
  """Sources of colours by name; each makes an ICC profile, empty for sRGB."""
  cicp, gamma, chromaticities = about.cicp, about.gamma, about.chromaticities
  if cicp and cicp != (_UNSPECIFIED, _UNSPECIFIED):
    yield "its colours told by code points", lambda: _of_code_points(*cicp)
  if about.icc:
    yield "its ICC profile", lambda: about.icc
  elif gamma is not None or chromaticities:
    yield "its gamma", lambda: _of_gamma(gamma, chromaticities)


def _apply(image: Image.Image, profile: bytes) -> Image.Image:
  mode = _MODES.get(profile[16:20])
  if mode == "RGB" and image.mode == "L":
    image = image.convert("RGB")
  if image.mode != mode:
    raise ValueError(f"it is not one for {image.mode} images")
  return _convert(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def _convert(image: Image.Image, profile: Any) -> Image.Image:
  converted = ImageCms.profileToProfile(
    image,
    profile,
    ImageCms.createProfile("sRGB"),
    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    outputMode="RGB",
  )
  assert converted is not None  # None only where it works in place.
  return converted


def _of_code_points(primaries: int, transfer: int) -> bytes:
  if primaries == _UNSPECIFIED:
    primaries = _SRGB
  if primaries not in _PRIMARIES:
    raise ValueError(f"unknown primaries {primaries}")
  if transfer in _LIKE_SRGB:
    if primaries == _SRGB:
      return b""
    curve: _Curve = _srgb_curve
  elif transfer in _POWERS:
    curve = _power_curve(_POWERS[transfer])
  else:
    raise ValueError(f"transfer function {_NAMES.get(transfer, transfer)}")
  return _matrix_profile(_PRIMARIES[primaries], curve)


def _of_gamma(
  gamma: float | None, chromaticities: tuple[float, ...] | None
) -> bytes:
  gamma = _SRGB_GAMMA if gamma is None else gamma
  if not 0.05 < gamma < 20:
    raise ValueError(f"it is {gamma:g}")
  is_srgb = abs(gamma - _SRGB_GAMMA) < 0.005
  primaries = chromaticities or _PRIMARIES[_SRGB]
  if is_srgb and np.allclose(primaries, _PRIMARIES[_SRGB], atol=0.002):
    return b""
  curve = _srgb_curve if is_srgb else _power_curve(1 / gamma)
  return _matrix_profile(primaries, curve)


def _srgb_curve(x: np.ndarray) -> np.ndarray:
  return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _power_curve(exponent: float) -> _Curve:
  return lambda x: x**exponent


def _matrix_profile(chromaticities: tuple[float, ...], curve: _Curve) -> bytes:
  """An ICC profile of version 2 from primaries and a curve to linear light."""
  x, y = np.array(chromaticities).reshape(4, 2).T
  if np.any(y <= 0):
    raise ValueError("impossible chromaticities")
  white, *primaries = np.stack([x / y, np.ones(4), (1 - x - y) / y], 1)
  try:
    matrix = np.stack(primaries, 1)
    matrix = matrix * np.linalg.solve(matrix, white)
    adapted = np.diag((_CONES @ _D50) / (_CONES @ white))
    matrix = np.linalg.inv(_CONES) @ adapted @ _CONES @ matrix
  except np.linalg.LinAlgError as e:
    raise ValueError("impossible chromaticities") from e
  if not np.all(np.abs(matrix) < 100):
    raise ValueError("impossible chromaticities")
  table = np.rint(curve(np.linspace(0, 1, 4096)) * 65535).astype(">u2")
  tags = {b"wtpt": _xyz(_D50)}
  tags.update(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, matrix.T)))
  curves = struct.pack(">4s4xI", b"curv", len(table)) + table.tobytes()
  names = [*tags, b"rTRC", b"gTRC", b"bTRC"]
  data, directory = b"".join(tags.values()), struct.pack(">I", len(names))
  start = 128 + 4 + 12 * len(names)
  for i, name in enumerate(names):
    length = len(tags.get(name, curves))
    directory += struct.pack(
      ">4sII", name, start + 20 * min(i, len(tags)), length
    )
  header = struct.pack(
    ">I4xI4s4s4s12x4s28x3i",
    start + len(data) + len(curves),
    0x02400000,
    b"mntr",
    b"RGB ",
    b"XYZ ",
    b"acsp",
    *(_fixed(v) for v in _D50),
  )
  return header.ljust(128, b"\0") + directory + data + curves


def _fixed(value: float) -> int:
  return round(value * 65536)


def _xyz(values: np.ndarray) -> bytes:
  return struct.pack(">4s4x3i", b"XYZ ", *(_fixed(v) for v in values))
