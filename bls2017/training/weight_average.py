"""The moving average of a model's weights over the steps of its training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from bls2017.training import model as model_lib

_YOUTH = 10
"""Steps over which a run averages what it has, not its first weights."""


class WeightAverage:
  """An exponentially decaying average over the steps.

  Attributes:
    values: The averages, in the order of the model's trainable variables.
  """

  def __init__(self, model: model_lib.BLS2017Model, decay: float):
    """Starts from the model as it is.

    Args:
      model: The model.
      decay: Share of the average that a step keeps; 0 for no average.
    """
    self._variables = model.trainable_variables
    self._decay = decay
    self.values = [tf.Variable(v, trainable=False) for v in self._variables]

  def restart(self) -> None:
    """Forgets all steps: the average is what the model holds."""
    for average, variable in zip(self.values, self._variables):
      average.assign(variable)

  def update(self, step: tf.Tensor) -> None:
    """Adds the weights after a step, int64 scalar."""
    if not self._decay:
      return
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(self._decay, step / (step + _YOUTH))
    for average, variable in zip(self.values, self._variables):
      average.assign_add((1 - decay) * (variable - average))

  def apply(self) -> None:
    """Gives the model its average, if there is one."""
    if self._decay:
      for variable, average in zip(self._variables, self.values):
        variable.assign(average)

  @contextlib.contextmanager
  def applied(self) -> Iterator[None]:
    """A context in which the model holds its average."""
    last = [tf.identity(v) for v in self._variables] if self._decay else []
    self.apply()
    try:
      yield
    finally:
      for variable, value in zip(self._variables, last):
        variable.assign(value)
