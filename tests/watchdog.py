"""A limit of time for what must not hang."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class TookTooLongError(BaseException):
  """None of those that a library might catch."""


@contextlib.contextmanager
def limit(cpu_seconds: float = 10, seconds: float = 300) -> Iterator[None]:
  """Raises TookTooLongError in a body that works or waits for too long.

  Args:
    cpu_seconds: How long the process may work.
    seconds: How long it may take, on a machine that may have other work.
  """

  def stop(number: int, frame: Any) -> None:
    del frame
    raise TookTooLongError(signal.Signals(number).name)

  timers = {
    signal.SIGPROF: (signal.ITIMER_PROF, cpu_seconds),
    signal.SIGALRM: (signal.ITIMER_REAL, seconds),
  }
  handlers = {number: signal.signal(number, stop) for number in timers}
  for timer, value in timers.values():
    signal.setitimer(timer, value)
  try:
    yield
  finally:
    for timer, _ in timers.values():
      signal.setitimer(timer, 0)
    for number, handler in handlers.items():
      signal.signal(number, handler)
