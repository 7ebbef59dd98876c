"""Training patches from a glob of photographs, in an order that needs no state.

Example i of the endless stream is a pure function of (seed, i): the file is
the i-th of a permutation of the files drawn anew for each pass over them, and
the scale, the crop and the flip are drawn from a seed of their own. So
shuffling holds nothing in memory, several workers take turns, and a run resumes
at example i without replaying what came before. Where a file is broken or too
small, the next one stands in for it, which moves no other example.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import threading
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from PIL import Image

from bls2017 import errors
from bls2017.images import reading
from bls2017.training.train_config import TrainConfig

MAX_SKIPPED_FRACTION = 0.01
"""Training stops when more of its files than this turn out to be unusable."""

_HASH_BUCKETS = 10_000
_log = logging.getLogger(__name__)


def split_files(
  pattern: str, validation_fraction: float
) -> tuple[list[str], list[str]]:
  """The files of a pattern, split by a hash of their names.

  A file stays on its side when others are added or removed.

  Args:
    pattern: Glob pattern, where "**" spans directories; or a directory, of
      which all images are taken, at any depth.
    validation_fraction: Share of the files for validation, in [0, 1).

  Returns:
    Paths for training and for validation, both sorted.

  Raises:
    errors.UnreadableInputError: if no file for training matches.
  """
  train: list[str] = []
  validation: list[str] = []
  for path in _find_images(pattern):
    digest = hashlib.sha256(os.path.basename(path).encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % _HASH_BUCKETS
    held_out = bucket < validation_fraction * _HASH_BUCKETS
    (validation if held_out else train).append(path)
  if not train:
    raise errors.UnreadableInputError(f"no training image matches {pattern!r}")
  return train, validation


def _find_images(pattern: str) -> list[str]:
  """The files of a pattern, or the images below a directory, sorted."""
  if not os.path.isdir(pattern):
    paths = glob.glob(pattern, recursive=True)
    return sorted(path for path in paths if os.path.isfile(path))
  endings = tuple(Image.registered_extensions())
  below = os.path.join(glob.escape(pattern), "**", "*")
  paths = glob.glob(below, recursive=True)
  return sorted(path for path in paths if path.lower().endswith(endings))


class PatchReader:
  """Cuts the patch that belongs to a number of the stream; safe for threads.

  Attributes:
    paths: The files.
    patch_size: Side of the patches.
    seed: Seed of the stream.
    skipped: Why a file could not be used, by its path.
  """

  def __init__(self, paths: list[str], train_config: TrainConfig):
    self.paths = paths
    self.patch_size = train_config.patch_size
    self.seed = train_config.seed
    self.skipped: dict[str, str] = {}
    self._min_scale = train_config.min_scale
    self._lock = threading.Lock()

  def read(self, index: int, number: int) -> np.ndarray:
    """A random patch of a file, or of the next one that can be used.

    Args:
      index: Of the file in `paths`.
      number: The example's number, which seeds its random choices.

    Returns:
      uint8 [P, P, 3].

    Raises:
      errors.TrainingError: if too many files cannot be used.
    """
    while True:
      x = self._photograph(self.paths[index])
      if x is not None:
        return self._cut(x, np.random.default_rng((self.seed, number)))
      self.check_skipped()
      index = (index + 1) % len(self.paths)

  def check_skipped(self) -> None:
    """Raises errors.TrainingError if too many files cannot be used.

    These are more than one and than `MAX_SKIPPED_FRACTION`, or all.
    """
    count, total = len(self.skipped), len(self.paths)
    if count > max(1, MAX_SKIPPED_FRACTION * total) or count == total:
      path, reason = next(iter(self.skipped.items()))
      raise errors.TrainingError(
        f"{count} of {total} training images cannot be used,"
        f" the first is {path}: {reason}"
      )

  def _photograph(self, path: str) -> np.ndarray | None:
    if path in self.skipped:
      return None
    try:
      x = reading.read_rgb(path)
      height, width = x.shape[:2]
      if min(height, width) >= self.patch_size:
        return x
      reason = f"{width} x {height} pixels are too few for the patches"
    except errors.CodecError as e:
      reason = str(e)
    with self._lock:
      if path not in self.skipped:
        self.skipped[path] = reason
        count = len(self.skipped)
        _log.warning("skipping %s (%d so far): %s", path, count, reason)
    return None

  def _cut(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random patch of the photograph scaled by a random factor."""
    height, width = x.shape[:2]
    # Only the patch is scaled, by a factor with which it still fits.
    smallest = max(self._min_scale, self.patch_size / min(height, width))
    scale = rng.uniform(smallest, 1.0)
    side = min(round(self.patch_size / scale), height, width)
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    patch = x[top : top + side, left : left + side]
    if side != self.patch_size:
      size = (self.patch_size, self.patch_size)
      patch = np.asarray(
        Image.fromarray(patch).resize(size, Image.Resampling.LANCZOS)
      )
    if rng.random() < 0.5:
      patch = patch[:, ::-1]
    if rng.random() < 0.5:
      patch = patch.swapaxes(0, 1)
    return np.ascontiguousarray(patch)


def training_dataset(
  reader: PatchReader,
  batch_size: int,
  start: int = 0,
  context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
  """The endless stream of batches from example `start` on.

  Args:
    reader: Cuts the patches.
    batch_size: Patches of a batch.
    start: Number of the first example; the same for every worker.
    context: With several workers, which share of the stream this one takes.

  Returns:
    Elements float32 [batch_size, P, P, 3] in 0..255.
  """
  num_files = len(reader.paths)
  shape = (reader.patch_size, reader.patch_size, 3)
  pipelines = context.num_input_pipelines if context else 1
  pipeline = context.input_pipeline_id if context else 0

  def load(number: tf.Tensor) -> tf.Tensor:
    epoch, position = number // num_files, number % num_files
    index = tf.random.experimental.index_shuffle(
      position,
      seed=tf.stack([tf.constant(reader.seed, tf.int64), epoch]),
      max_index=num_files - 1,
    )
    patch = tf.numpy_function(
      lambda *args: reader.read(*map(int, args)), (index, number), tf.uint8
    )
    return tf.ensure_shape(tf.cast(patch, tf.float32), shape)

  limit = np.iinfo(np.int64).max
  dataset = tf.data.Dataset.range(start + pipeline, limit, pipelines)
  dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
  return dataset.batch(batch_size, drop_remainder=True).prefetch(4)


def read_patches(
  paths: Iterable[str], patch_size: int, limit: int, per_image: int = 1
) -> np.ndarray:
  """The middles of photographs, for measurements that must not vary.

  Args:
    paths: The files; those too small or broken are left out.
    patch_size: Side of the patches.
    limit: At most so many.
    per_image: Patches of a photograph: the middle, and places drawn with a
      fixed seed.

  Returns:
    uint8 [n, P, P, 3].
  """
  rng = np.random.default_rng(0)
  patches: list[np.ndarray] = []
  for path in paths:
    if len(patches) >= limit:
      break
    try:
      x = reading.read_rgb(path)
    except errors.CodecError as e:
      _log.warning("left out: %s", e)
      continue
    room = np.array(x.shape[:2]) - patch_size
    if room.min() < 0:
      continue
    corners = [room // 2]
    corners += [rng.integers(room + 1) for _ in range(per_image - 1)]
    for top, left in corners:
      patches.append(x[top : top + patch_size, left : left + patch_size])
  shape = (0, patch_size, patch_size, 3)
  return np.stack(patches[:limit]) if patches else np.zeros(shape, np.uint8)
