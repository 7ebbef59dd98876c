"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024). For a
tensor with modes (taps, in, out) it keeps the mean of G G^T over each mode,
and runs Adam on the gradient as seen from the eigenvectors of those matrices.
Where Adam scales every coefficient by itself, this scales the directions that
really move together, and so it settles the conflict of the gradients of rate
and of distortion (Zhang & Zhu, "Leveraging Second-Order Curvature for Efficient
Learned Image Compression", 2026).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_LARGEST_MODE = 512


class Soap(tf.keras.optimizers.Optimizer):
  """SOAP for kernels, Adam for what has fewer than three modes.

  The first `refresh_steps` steps only gather statistics of the kernels and
  leave them as they are. Then the bases are the eigenvectors, and each
  `refresh_steps` steps later they follow by one orthogonal iteration.
  """

  def __init__(
    self,
    learning_rate: Any,
    beta_1: float = 0.95,
    beta_2: float = 0.95,
    epsilon: float = 1e-8,
    refresh_steps: int = 20,
    name: str = "Soap",
    **kwargs: Any,
  ):
    """Creates the optimizer.

    Args:
      learning_rate: Rate or schedule.
      beta_1: Decay of the mean of the gradients.
      beta_2: Decay of the mean of their squares, and of the G G^T.
      epsilon: Added to the root of the mean square.
      refresh_steps: Steps between two changes of the bases.
      name: Name of the optimizer.
      **kwargs: For `tf.keras.optimizers.Optimizer`.
    """
    super().__init__(name=name, jit_compile=False, **kwargs)
    self._learning_rate = self._build_learning_rate(learning_rate)
    self.beta_1 = beta_1
    self.beta_2 = beta_2
    self.epsilon = epsilon
    self.refresh_steps = refresh_steps
    self._states: list[_State] = []

  def build(self, var_list: list[tf.Variable]) -> None:
    """Creates the slots of the variables."""
    super().build(var_list)
    if getattr(self, "_built", False):
      return
    self._built = True
    self._states = [_State(self, v) for v in var_list]

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """One step of one variable."""
    state = self._states[self._index_dict[self._var_key(variable)]]
    step = self.iterations + 1
    if state.bases:
      state.observe(gradient, self.beta_2)
      waiting = self.refresh_steps
      # A refresh is rare; its branch holds the decompositions.
      tf.cond(
        tf.equal(step % waiting, 0),
        lambda: state.refresh(tf.equal(step, waiting)),
        lambda: tf.constant(False),
      )
      step -= waiting
      gradient = state.rotate(gradient) * tf.cast(step > 0, tf.float32)
    t = tf.cast(tf.maximum(step, 1), tf.float32)
    mean, square = state.mean, state.square
    mean.assign_add((1 - self.beta_1) * (gradient - mean))
    square.assign_add((1 - self.beta_2) * (tf.square(gradient) - square))
    scale = tf.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
    update = scale * mean / (tf.sqrt(square) + self.epsilon)
    if state.bases:
      update = state.rotate_back(update)
    variable.assign_sub(tf.cast(self.learning_rate, tf.float32) * update)

  def get_config(self) -> dict[str, Any]:
    """The configuration from which Keras makes an equal optimizer."""
    return {
      **super().get_config(),
      "learning_rate": self._serialize_hyperparameter(self._learning_rate),
      "beta_1": self.beta_1,
      "beta_2": self.beta_2,
      "epsilon": self.epsilon,
      "refresh_steps": self.refresh_steps,
    }


class _State(tf.Module):
  """The slots of one variable, its moments as seen from the bases."""

  def __init__(self, optimizer: Soap, variable: tf.Variable):
    super().__init__()

    def slot(name: str, value: Any = None) -> tf.Variable:
      return optimizer.add_variable_from_reference(
        variable, name, initial_value=value
      )

    self.mean = slot("mean")
    self.square = slot("square")
    self.bases: list[tf.Variable] = []
    self.products: list[tf.Variable] = []
    if variable.shape.rank > 2 and max(variable.shape) <= _LARGEST_MODE:
      for i, size in enumerate(variable.shape):
        self.bases.append(slot(f"basis_{i}", tf.eye(size)))
        self.products.append(slot(f"product_{i}", tf.zeros((size, size))))

  def observe(self, gradient: tf.Tensor, decay: float) -> None:
    """Adds a gradient to the mean of G G^T of every mode."""
    modes = range(gradient.shape.rank)
    for i, product in enumerate(self.products):
      others = [j for j in modes if j != i]
      outer = tf.tensordot(gradient, gradient, (others, others))
      product.assign_add((1 - decay) * (outer - product))

  def rotate(self, x: tf.Tensor) -> tf.Tensor:
    """A tensor as seen from the bases."""
    # Each product moves the first mode to the end: in the end all are in place.
    for basis in self.bases:
      x = tf.tensordot(x, basis, ([0], [0]))
    return x

  def rotate_back(self, x: tf.Tensor) -> tf.Tensor:
    """The inverse of `rotate`."""
    for basis in self.bases:
      x = tf.tensordot(x, basis, ([0], [1]))
    return x

  def refresh(self, first: tf.Tensor) -> tf.Tensor:
    """Moves the bases towards the eigenvectors, and the moments with them.

    Args:
      first: Whether they are to become the eigenvectors at once.

    Returns:
      True, since `tf.cond` wants a value.
    """
    mean = self.rotate_back(self.mean)
    square = self.square.read_value()
    for basis, product in zip(self.bases, self.products):
      eigenvalues = tf.reduce_sum(basis * tf.matmul(product, basis), 0)
      order = tf.argsort(eigenvalues, direction="DESCENDING")
      iterated = tf.matmul(product, tf.gather(basis, order, axis=1))
      basis.assign(
        tf.cond(
          first,
          lambda product=product: tf.linalg.eigh(product)[1][:, ::-1],
          lambda iterated=iterated: tf.linalg.qr(iterated)[0],
        )
      )
      rank = len(self.bases)
      square = tf.gather(square, order, axis=0)
      square = tf.transpose(square, (*range(1, rank), 0))
    self.square.assign(square)
    self.mean.assign(self.rotate(mean))
    return tf.constant(True)
