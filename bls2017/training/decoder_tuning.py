"""Tunes the synthesis of a frozen model on the symbols that its files hold.

Training rounds latents, but files hold the symbols of optimised quantization
(`bls2017.encode.quantization`). A decoder that learned from those is a little
better at them. Analysis, gains and tables stay, and with them all that an
encoder writes but the model's id, which names the decoder.

    loss = weight(lmbda) (distortion + (block excess of x_hat - that of x)^2)

The block excess is how much steps across the grid of latents exceed others. The
squared error alone leaves a trace of the grid at low rates; to make the steps
those of the photograph costs it next to nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017.encode import candidates
from bls2017.format import lanes
from bls2017.images import metrics
from bls2017.model import frozen_transforms, litert_graphs, model_directory
from bls2017.training import layers, training_step

_PATCHES_PER_STEP = 6
_WARMUP_STEPS = 20
_STEPS_BETWEEN_VALIDATIONS = 250

_MARGIN = 8
"""Pixels along the sides of a patch that do not count.

Their decoder misses latents, which is rare in a photograph.
"""

_log = logging.getLogger(__name__)


def tuned(
  model: model_directory.FrozenModel,
  patches: np.ndarray,
  held_out: np.ndarray,
  steps: Sequence[int],
  learning_rate: float,
  seed: int = 0,
) -> model_directory.FrozenModel:
  """The model with a better synthesis in each of its pairs.

  Args:
    model: The model.
    patches: uint8 [n, P, P, 3], photographs to learn from, each encoded as an
      image of its own; P a multiple of 16, at least 64, for a model tuned for
      MS-SSIM at least 192.
    held_out: uint8 [m, P, P, 3], others, which choose the best among the first
      weights of a pair and those that it had on its way.
    steps: Of each pair; 0 leaves it as it is.
    learning_rate: Of Adam at first; a cosine leads to 0.
    seed: Of the order of patches and qualities.

  Returns:
    A model with the same analyses, tables and types of weights.
  """
  pairs = list(model.pairs)
  for number, count in enumerate(steps):
    if not count:
      continue
    tuner = _Tuner(model, number, patches, held_out, seed)
    for step in range(count):
      warmup = min(1.0, (step + 1) / _WARMUP_STEPS)
      cosine = 0.5 * (1 + math.cos(math.pi * step / count))
      tuner.step(learning_rate * warmup * cosine)
      if (step + 1) % _STEPS_BETWEEN_VALIDATIONS == 0 or step + 1 == count:
        tuner.validate(step + 1)
    pairs[number] = litert_graphs.pair(tuner.best, model.config.num_latents)
  return dataclasses.replace(
    model,
    pairs=tuple(pairs),
    model_id=model_directory.model_id(pairs, model.tables),
  )


class _Example(NamedTuple):
  """A patch, or a batch of them.

  Attributes:
    y_hat: float32 [h, w, C], the latents that a decoder has of it.
    x: float32 [P, P, 3] in 0..255.
    weight: float32 scalar, what its distortion counts.
  """

  y_hat: Any
  x: Any
  weight: Any


class _Tuner:
  """Tunes the synthesis of one pair for all of its qualities.

  Attributes:
    best: The pair's weights of the least held-out loss so far.
    best_loss: That loss.
  """

  def __init__(
    self,
    model: model_directory.FrozenModel,
    number: int,
    patches: np.ndarray,
    held_out: np.ndarray,
    seed: int,
  ):
    self._model = model
    self._number = number
    self._rng = np.random.default_rng(seed)
    self._qualities = np.flatnonzero(
      [model.tables.pair_of(i) == number for i in range(len(model.tables))]
    )
    weights = model.pairs[number].weights
    self._latents = len(weights["synthesis/igdn_in/beta"])
    filters = len(weights["synthesis/0/bias"])
    self._synthesis = layers.SynthesisTransform(filters, self._latents)
    self._synthesis(tf.zeros((1, 1, 1, self._latents)))
    for name, weight in self._synthesis.named_weights().items():
      weight.assign(weights[name].astype(np.float32))
    self._variables = self._synthesis.trainable_variables
    self._optimizer = tf.keras.optimizers.Adam()
    self._optimizer.build(self._variables)
    # Each held-out patch has one quality; all are as frequent.
    self._held_out = [
      self._example(candidates.AnalysedImage(x, model), index)
      for x, index in zip(held_out, np.resize(self._qualities, len(held_out)))
    ]
    self._images = [candidates.AnalysedImage(x, model) for x in patches]
    self._step = tf.function(self._move, autograph=False)
    self.best: Mapping[str, np.ndarray] = weights
    self.best_loss = self._held_out_loss(weights)
    _log.info("pair %d: held-out loss %.4f", number, self.best_loss)

  def step(self, learning_rate: float) -> None:
    self._optimizer.learning_rate.assign(learning_rate)
    examples = [
      self._example(self._images[i], self._rng.choice(self._qualities))
      for i in self._rng.integers(len(self._images), size=_PATCHES_PER_STEP)
    ]
    self._step(_Example(*(np.stack(part) for part in zip(*examples))))

  def validate(self, step: int) -> None:
    """Keeps the weights if they are the best so far."""
    old = self._model.pairs[self._number].weights
    weights = dict(old)
    for name, weight in self._synthesis.named_weights().items():
      value = tf.convert_to_tensor(weight).numpy()
      weights[name] = value.astype(old[name].dtype)
    loss = self._held_out_loss(weights)
    _log.info("pair %d, step %d: held-out loss %.4f", self._number, step, loss)
    if loss < self.best_loss:
      self.best, self.best_loss = weights, loss

  def _held_out_loss(self, weights: Mapping[str, np.ndarray]) -> float:
    """The mean of the weighted distortions of decoded pixels."""
    transforms = frozen_transforms.FrozenTransforms(
      weights, self._model.config.num_latents
    )
    losses = []
    for y_hat, x, weight in self._held_out:
      x_hat = tf.cast(transforms.pixels(y_hat[None]), tf.float32)
      losses.append(weight * self._distortion(x[None], x_hat)[0])
    return float(np.mean(losses))

  def _example(self, image: candidates.AnalysedImage, quality: int) -> _Example:
    """An image as a file of a quality, given by its index, holds it."""
    index = int(quality)
    rows = image.candidate(index).rows.reshape(*image.shape, -1)
    lmbda = self._model.config.lmbda(index)
    return _Example(
      self._model.quality_tables(index).latents(rows),
      image.pixels.astype(np.float32),
      np.float32(lmbda ** (1 + training_step.LOSS_WEIGHT_EXPONENT)),
    )

  def _move(self, example: _Example) -> None:
    with tf.GradientTape() as tape:
      x_hat = self._synthesis(example.y_hat[..., : self._latents])
      distortion = self._distortion(example.x, x_hat)
      if self._model.config.distortion == "mse":
        excess = _block_excess(x_hat) - _block_excess(example.x)
        distortion += tf.square(excess)
      loss = tf.reduce_mean(example.weight * distortion)
    gradients = tape.gradient(loss, self._variables)
    self._optimizer.apply_gradients(zip(gradients, self._variables))

  def _distortion(self, x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
    """Distortions of a batch, float32 [n], of both float32 [n, P, P, 3]."""
    inside = slice(_MARGIN, -_MARGIN)
    x, x_hat = x[:, inside, inside], x_hat[:, inside, inside]
    if self._model.config.distortion == "ms_ssim":
      return 1 - metrics.ms_ssim_for_training(x, x_hat)
    return tf.reduce_mean(tf.math.squared_difference(x, x_hat), (1, 2, 3))


def _block_excess(x: tf.Tensor) -> tf.Tensor:
  """How much luma steps across the grid exceed others, float32 [n].

  A step is the absolute difference of two neighbours, less the mean of the
  steps before and after it. Those along the sides of x, float32 [n, P, P, 3],
  do not count.
  """
  inside = slice(lanes.DOWNSAMPLING, -lanes.DOWNSAMPLING)
  luma = tf.tensordot(x[:, inside, inside], tf.constant(metrics.LUMA), 1)
  sums = []
  for samples in (luma, tf.transpose(luma, (0, 2, 1))):
    steps = tf.abs(samples[:, 1:] - samples[:, :-1])
    excess = steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2
    # The first one is that of the step to row 2.
    at_grid = (2 + np.arange(excess.shape[1])) % lanes.DOWNSAMPLING == 0
    share = at_grid / at_grid.sum() - ~at_grid / (~at_grid).sum()
    means = tf.reduce_mean(excess, 2)  # [n, rows]
    sums.append(tf.linalg.matvec(means, share.astype(np.float32)))
  return tf.add_n(sums) / 2
