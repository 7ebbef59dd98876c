"""Pictures for the tests of this room, and what they are in other colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests import images

X = images.photograph(24, 40, seed=2)
"""A picture of colours: uint8 [24, 40, 3]."""

G = np.asarray(Image.fromarray(X).convert("L"))
"""Its luma: uint8 [24, 40]."""

RAMP = np.arange(960, dtype=np.uint16).reshape(24, 40) * 68
"""Grey of 16 bits, from black to nearly white: uint16 [24, 40]."""

GREY = np.repeat(G[..., None], 3, -1)
RAMP_8 = np.repeat(np.rint(RAMP / 257)[..., None], 3, -1)
ALPHA = np.where(G > 110, 255, G).astype(np.uint8)
ZEROS = np.zeros_like(G)
DEEP_X = X.astype(np.uint16) * 257
DEEP_ALPHA = ALPHA * np.uint16(257)
FLOATS = (G / np.float32(255)).astype(np.float32)
SIGNED = G.astype(np.int32) - 120
SPREAD = np.rint((SIGNED - SIGNED.min()) * (255 / np.ptp(SIGNED)))[..., None]
CMYK = np.asarray(Image.fromarray(X).convert("CMYK"))

P3_TO_SRGB = (
  (1.2249, -0.2247, 0), (-0.0420, 1.0419, 0), (-0.0197, -0.0786, 1.0979),
)  # fmt: skip
BT2020_TO_SRGB = (
  (1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083),
  (-0.0182, -0.1006, 1.1187),
)  # fmt: skip


def linear(x):
  return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def encoded(x):
  x = np.clip(x, 0, 1)
  return np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)


def seen_as(matrix):
  """What X is by other primaries, whose matrix is a published one."""
  return np.rint(255 * encoded(linear(X / 255) @ np.array(matrix).T))


def low(bits):
  """Samples of so few bits, every value among them: uint8 [24, 40]."""
  return (np.arange(960) % 2**bits).astype(np.uint8).reshape(24, 40)


def widened(bits):
  return np.repeat(low(bits)[..., None] * (255 // (2**bits - 1)), 3, -1)


def flat(*colour):
  return np.full((8, 8, 3), colour, np.uint8)


def rgba(alpha):
  return np.dstack([X, alpha])


def palette(as_colours=False):
  image = Image.fromarray(X).quantize(16)
  return np.asarray(image.convert("RGB")) if as_colours else image


LINEAR = np.rint(255 * encoded(X / 255))
