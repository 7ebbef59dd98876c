from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from bls2017.training import soap

SHAPE = (3, 4, 5)
RATE = 0.2


def _rotations(rng: np.random.Generator) -> list[np.ndarray]:
  return [np.linalg.qr(rng.normal(size=(n, n)))[0].astype("f4") for n in SHAPE]


class _Bowl:
  """A quadratic function whose axes are not those of the variable."""

  def __init__(self, seed: int):
    rng = np.random.default_rng(seed)
    self.x = tf.Variable(rng.normal(size=SHAPE).astype("f4"))
    self._rotations = _rotations(rng)
    curvatures = [np.logspace(0, 3, n) for n in SHAPE]
    self._curvature = np.einsum("i,j,k->ijk", *curvatures).astype("f4")

  def loss(self) -> tf.Tensor:
    z = tf.einsum("ijk,ai,bj,ck->abc", self.x, *self._rotations)
    return tf.reduce_mean(self._curvature * tf.square(z))

  def descend(
    self, optimizer: tf.keras.optimizers.Optimizer, steps: int
  ) -> float:
    @tf.function(autograph=False)
    def step() -> None:
      with tf.GradientTape() as tape:
        loss = self.loss()
      gradient = tape.gradient(loss, self.x)
      optimizer.apply_gradients([(gradient, self.x)])

    optimizer.build([self.x])
    for _ in range(steps):
      step()
    return float(self.loss())


def test_a_rotated_bowl_is_no_harder_than_a_straight_one() -> None:
  adam = _Bowl(0).descend(tf.keras.optimizers.Adam(RATE, 0.95, 0.95), 200)
  found = _Bowl(0).descend(soap.Soap(RATE, refresh_steps=5), 205)
  assert found < 0.3 * adam


def test_vectors_and_matrices_are_left_to_adam() -> None:
  rng = np.random.default_rng(1)
  start = [rng.normal(size=(6,)), rng.normal(size=(3, 4))]
  results = []
  for optimizer in (
    tf.keras.optimizers.Adam(RATE, 0.95, 0.95, epsilon=1e-8),
    soap.Soap(RATE),
  ):
    variables = [tf.Variable(value, dtype=tf.float32) for value in start]
    for step in range(1, 30):
      gradients = [tf.sin(step * v) for v in variables]
      optimizer.apply_gradients(zip(gradients, variables))
    results.append([v.numpy() for v in variables])
  for a, b in zip(*results):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_first_steps_only_gather_statistics() -> None:
  bowl = _Bowl(2)
  before = bowl.x.numpy()
  optimizer = soap.Soap(RATE, refresh_steps=7)
  bowl.descend(optimizer, 7)
  np.testing.assert_array_equal(bowl.x.numpy(), before)
  bowl.descend(optimizer, 1)
  assert np.abs(bowl.x.numpy() - before).max() > 0.5 * RATE


def test_the_bases_stay_orthonormal() -> None:
  bowl = _Bowl(3)
  optimizer = soap.Soap(RATE, refresh_steps=3)
  bowl.descend(optimizer, 40)
  bases = [v for v in optimizer.variables if "basis" in v.name]
  assert len(bases) == len(SHAPE)
  for basis in bases:
    product = tf.matmul(basis, basis, transpose_a=True)
    np.testing.assert_allclose(product, np.eye(basis.shape[0]), atol=1e-5)


def test_a_restored_optimizer_goes_on_as_if_it_had_not_stopped(
  tmp_path: os.PathLike,
) -> None:
  bowl = _Bowl(4)
  optimizer = soap.Soap(RATE, refresh_steps=4)
  bowl.descend(optimizer, 10)
  state = tf.train.Checkpoint(x=bowl.x, optimizer=optimizer)
  path = state.write(os.path.join(tmp_path, "state"))
  expected = bowl.descend(optimizer, 10)
  other = _Bowl(4)
  again = soap.Soap(RATE, refresh_steps=4)
  again.build([other.x])
  state = tf.train.Checkpoint(x=other.x, optimizer=again)
  state.read(path).assert_consumed()
  np.testing.assert_allclose(other.descend(again, 10), expected, rtol=1e-5)
