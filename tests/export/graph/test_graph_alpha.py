"""Boxes of alpha in a graph, and the colours under it."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from export.graph import crc32, graph_alpha
from tests import alpha_boxes, images, memory


def _check(case: alpha_boxes.Case) -> None:
  found = graph_alpha.is_sound(case.content, case.height, case.width)
  assert bool(found) == (case.alpha is not None), case.name


@pytest.mark.parametrize("size", [4, 5, 1000, 2**18 + 3, 2**18 + 4, 3 * 2**18])
def test_checksums_are_those_of_zlib(size):
  content = np.random.default_rng(size).integers(0, 256, size, np.uint8)
  found = int(crc32.crc32(content))
  assert found % 2**32 == zlib.crc32(content.tobytes())


def test_sound_boxes_are_read():
  for case in alpha_boxes.sound():
    _check(case)
    np.testing.assert_array_equal(
      graph_alpha.unpack(case.content)[..., 0], case.alpha
    )


@pytest.mark.parametrize("height", [1, 6, 60])
def test_broken_boxes_are_refused(height):
  for case in alpha_boxes.broken(height):
    _check(case)


def test_a_box_too_short_for_its_image_is_refused():
  _check(alpha_boxes.too_short())


def test_damaged_boxes_are_refused():
  for case in alpha_boxes.damaged(alpha_boxes.sound()[1]):
    _check(case)


def test_a_bomb_costs_no_memory():
  case = alpha_boxes.bomb(12, 100, megabytes=1000)
  _check(alpha_boxes.sound()[0])  # Has its own memory.
  assert memory.growth(lambda: _check(case)) < 1 << 28


def test_what_is_written_is_read():
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (150, 170)).astype(np.uint8)
  planes = [case.alpha for case in alpha_boxes.sound()]
  for alpha in [*planes, np.tile(planes[5], (6, 4)), noise]:
    content = graph_alpha.pack(alpha[..., None])
    assert graph_alpha.is_sound(content, *alpha.shape)
    with Image.open(io.BytesIO(content.numpy())) as image:
      assert image.mode == "L"
      np.testing.assert_array_equal(np.asarray(image), alpha)


@pytest.mark.parametrize("size", [(1, 1), (1, 53), (37, 1), (75, 90)])
def test_only_hidden_colours_change_and_become_those_around(size):
  x = images.photograph(*size) // 4 + 100
  rng = np.random.default_rng(0)
  y, _ = np.mgrid[: size[0], : size[1]]
  alpha = np.where(y < 50, rng.integers(0, 256, size), 0).astype(np.uint8)
  hidden = alpha == 0
  x[hidden] = rng.integers(0, 256, (hidden.sum(), 3))
  found = graph_alpha.smeared(x, alpha[..., None]).numpy()
  np.testing.assert_array_equal(found[~hidden], x[~hidden])
  assert found.min() >= x[~hidden].min()
  assert found.max() <= x[~hidden].max()
  elsewhere = np.where(hidden[..., None], 255 - x, x)
  again = graph_alpha.smeared(elsewhere, alpha[..., None])
  np.testing.assert_array_equal(found, again)
  assert np.all(graph_alpha.smeared(x, np.zeros_like(x[..., :1])) == 128)
