"""The status of an item: the exit code of an error, and a line that says why.

In a graph nothing is raised, for one failing item would fail all requests that
were merged into its batch.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import tensorflow as tf

from bls2017 import errors

OK = 0
USAGE = errors.UsageError.exit_code
UNREADABLE = errors.UnreadableInputError.exit_code
CORRUPT = errors.BitstreamError.exit_code
MODEL = errors.ModelError.exit_code
LIMIT = errors.LimitError.exit_code

Case = tuple[Any, ...]
"""A fault: where it is present, bool, its status, and the parts of its line,
text or tensors."""


class Verdict(NamedTuple):
  """The verdict on an item, of scalars, or on N items, of tensors [N].

  Attributes:
    status: int32, 0 or the exit code of an error (bls2017.errors).
    message: string, empty where the status is 0.
  """

  status: tf.Tensor
  message: tf.Tensor

  def is_ok(self) -> tf.Tensor:
    """Tells where the status is 0: bool, of its shape."""
    return tf.equal(self.status, OK)


def first_fault(*cases: Case) -> Verdict:
  """Gives the first fault that is present, in the order of the cases.

  Args:
    *cases: Their tensors are scalars or have the shape [N].
  """
  verdict = Verdict(tf.constant(OK), tf.constant(""))
  for present, status, *parts in reversed(cases):
    line = tf.strings.join([_text(part) for part in parts])
    verdict = Verdict(
      tf.where(present, status, verdict.status),
      tf.where(present, line, verdict.message),
    )
  return verdict


def either(first: Verdict, second: Verdict) -> Verdict:
  """Gives the first verdict, or the second where the first finds no fault."""
  return Verdict(
    tf.where(first.is_ok(), second.status, first.status),
    tf.where(first.is_ok(), second.message, first.message),
  )


def attempt(
  function: Callable[[tf.Tensor], Any], argument: tf.Tensor, fallback: Any
) -> Any:
  """Gives a function's value, or the fallback where an operation of it fails.

  Args:
    function: Of one tensor.
    argument: That tensor.
    fallback: A tensor, or a tuple of them, as the function gives.
  """
  # A graph cannot catch errors, but a dataset in it can skip them.
  good = tf.data.Dataset.from_tensors(argument).map(function).ignore_errors()
  both = good.concatenate(tf.data.Dataset.from_tensors(fallback))
  return both.take(1).get_single_element()


def _text(part: Any) -> Any:
  if isinstance(part, str) or part.dtype == tf.string:
    return part
  return tf.strings.as_string(part)
