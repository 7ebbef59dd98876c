"""The status of an item: the exit code of an error, and a line that says why.

In a graph nothing is raised, for one failing item would fail all requests that
were merged into its batch.
"""

from __future__ import annotations

from typing import NamedTuple, Union

import tensorflow as tf

from bls2017 import errors

OK = 0
USAGE = errors.UsageError.exit_code
UNREADABLE = errors.UnreadableInputError.exit_code
CORRUPT = errors.BitstreamError.exit_code
MODEL = errors.ModelError.exit_code
LIMIT = errors.LimitError.exit_code


Part = Union[str, tf.Tensor]
Case = tuple[tf.Tensor, int, tuple[Part, ...]]
"""A fault: a bool scalar that says whether the item has it, its status, and the
parts of its message."""


class Verdict(NamedTuple):
  """What became of an item.

  Attributes:
    status: int32 scalar, 0 or the exit code of an error (bls2017.errors).
    message: string scalar, empty where the status is 0.
  """

  status: tf.Tensor
  message: tf.Tensor

  def is_ok(self) -> tf.Tensor:
    """A bool scalar."""
    return tf.equal(self.status, OK)


def sound() -> Verdict:
  """The verdict on an item without fault."""
  return Verdict(tf.constant(OK), tf.constant(""))


def first_fault(*cases: Case) -> Verdict:
  """The first of several faults that an item has.

  Args:
    *cases: The faults in the order in which they are looked for.
  """
  verdict = sound()
  for present, status, parts in reversed(cases):
    verdict = Verdict(
      tf.where(present, status, verdict.status),
      tf.where(present, _text(parts), verdict.message),
    )
  return verdict


def either(first: Verdict, second: Verdict) -> Verdict:
  """The first verdict, or the second where the first finds no fault."""
  return Verdict(
    tf.where(first.is_ok(), second.status, first.status),
    tf.where(first.is_ok(), second.message, first.message),
  )


def _text(parts: tuple[Part, ...]) -> tf.Tensor:
  strings = [
    part
    if isinstance(part, str) or part.dtype == tf.string
    else tf.strings.as_string(part)
    for part in parts
  ]
  return tf.strings.join(strings)
