from __future__ import annotations

import logging
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bls2017 import errors
from bls2017.training import data
from bls2017.training.train_config import TrainConfig
from tests import conftest

PATCH = 48


def _reader(paths, **changes):
  settings = {"patch_size": PATCH, "seed": 7, **changes}
  return data.PatchReader(paths, TrainConfig(**settings))


def _take(dataset, batches):
  return np.concatenate([x.numpy() for x in dataset.take(batches)])


@pytest.fixture(scope="module")
def paths(photographs):
  return data.split_files(os.path.join(photographs, "*"), 0)[0]


def test_the_split_is_disjoint_whole_and_stable(photographs):
  pattern = os.path.join(photographs, "*")
  train, validation = data.split_files(pattern, 0.4)
  assert len(train) + len(validation) == conftest.PHOTOGRAPHS
  assert train and validation and not set(train) & set(validation)
  # Fewer files, or a smaller share, never move a file to the training side.
  fewer, held_out = data.split_files(os.path.join(photographs, "*.jpg"), 0.4)
  assert set(fewer) < set(train) and set(held_out) < set(validation)
  assert set(data.split_files(pattern, 0.2)[1]) <= set(validation)


def test_no_file_is_an_error(tmp_path):
  with pytest.raises(errors.UnreadableInputError, match="matches"):
    data.split_files(os.path.join(tmp_path, "*.jpg"), 0.1)


def test_a_folder_stands_for_the_images_below_it(photographs, tmp_path):
  folder = os.path.join(tmp_path, "some [photographs]")
  deep = os.path.join(folder, "deep", "er")
  shutil.copytree(photographs, deep)
  with open(os.path.join(folder, "notes.txt"), "w") as f:
    f.write("no image")
  paths, _ = data.split_files(folder, 0.0)
  assert [os.path.relpath(p, deep) for p in paths] == sorted(
    os.listdir(photographs)
  )


@pytest.mark.parametrize("start", [1, 8, 61])
def test_a_stream_goes_on_where_it_was_left(paths, start):
  whole = _take(data.training_dataset(_reader(paths), 4), 20)
  rest = _take(data.training_dataset(_reader(paths), 4, start), 4)
  np.testing.assert_array_equal(rest, whole[start : start + 16])


def test_every_pass_shows_every_file_once_in_another_order(tmp_path):
  paths = []
  for i in range(5):
    paths.append(os.path.join(tmp_path, f"{i}.png"))
    Image.new("RGB", (PATCH, PATCH), (40 * i,) * 3).save(paths[-1])
  x = _take(data.training_dataset(_reader(paths), 5), 6)
  orders = x[:, 0, 0, 0].reshape(6, 5)
  for order in orders:
    assert sorted(order) == [0, 40, 80, 120, 160]
  assert len({tuple(order) for order in orders}) > 1


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_the_stream_out_between_them(paths, workers):
  alone = _take(data.training_dataset(_reader(paths), 2, 5), 12)
  shares = []
  for i in range(workers):
    context = tf.distribute.InputContext(workers, i, workers)
    dataset = data.training_dataset(_reader(paths), 2, 5, context)
    shares.append(_take(dataset, 12 // workers))
  together = np.stack(shares, axis=1).reshape(alone.shape)
  np.testing.assert_array_equal(together, alone)


def test_patches_have_pixels_of_the_photograph_at_some_scale(tmp_path):
  # A ramp stays a ramp under scaling, with a slope that tells the scale.
  ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 256, axis=1)
  path = os.path.join(tmp_path, "ramp.png")
  Image.fromarray(ramp).save(path)
  reader = _reader([path], min_scale=0.5)
  slopes = []
  for number in range(200):
    patch = reader.read(0, number)
    assert patch.shape == (PATCH, PATCH, 3) and patch.dtype == np.uint8
    rows, columns = np.gradient(patch[..., 0].astype(float))
    slopes.append(max(abs(rows.mean()), abs(columns.mean())))
  assert 0.95 < min(slopes) < 1.1 and 1.8 < max(slopes) < 2.1


def test_photographs_just_large_enough_are_used_unscaled(tmp_path):
  path = os.path.join(tmp_path, "a.png")
  x = conftest.synthetic_photograph(0, PATCH, PATCH)
  Image.fromarray(x).save(path)
  patch = _reader([path]).read(0, 3)
  turned = [x, x[:, ::-1], x.swapaxes(0, 1), x[:, ::-1].swapaxes(0, 1)]
  assert any(np.array_equal(patch, y) for y in turned)


@pytest.fixture
def broken(tmp_path):
  """One file of every unusable kind."""
  made = {
    name: os.path.join(tmp_path, name)
    for name in ("empty.jpg", "small.png", "moving.gif")
  }
  open(made["empty.jpg"], "w").close()
  Image.new("RGB", (PATCH - 1, 300)).save(made["small.png"])
  frames = [Image.new("RGB", (64, 64), c) for c in ("red", "blue")]
  frames[0].save(made["moving.gif"], save_all=True, append_images=frames[1:])
  return made


def test_unusable_files_are_skipped_counted_and_named(broken, paths, caplog):
  # Three of them are just 1% here.
  files = [*broken.values(), *[paths[1]] * 297]
  reader = _reader(files)
  with caplog.at_level(logging.WARNING):
    x = _take(data.training_dataset(reader, 300), 1)
  assert x.std((1, 2, 3)).min() > 1
  assert set(reader.skipped) == set(broken.values())
  for path in broken.values():
    assert sum(path in r.getMessage() for r in caplog.records) == 1
  assert "too few" in reader.skipped[broken["small.png"]]
  assert "animation" in reader.skipped[broken["moving.gif"]]


def test_more_than_one_percent_of_unusable_files_is_an_error(broken, paths):
  reader = _reader([*broken.values(), *[paths[1]] * 250])
  with pytest.raises(errors.TrainingError, match="3 of 253 training images"):
    for number in range(3):
      reader.read(number, number)
  alone = _reader([broken["empty.jpg"]])
  with pytest.raises(errors.TrainingError, match="empty.jpg"):
    alone.read(0, 0)


def test_read_patches_leave_out_what_does_not_fit(broken, paths):
  files = [*broken.values(), *paths]
  patches = data.read_patches(files, 192, 3)
  assert patches.shape == (3, 192, 192, 3) and patches.dtype == np.uint8
  assert data.read_patches(files, 1024, 3).shape == (0, 1024, 1024, 3)
