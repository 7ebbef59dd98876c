"""Progress bars on terminals, and the signals that end the work early."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any


def messages_above_bars() -> contextlib.AbstractContextManager[None]:
  """While this context is open, log messages leave a bar in its line."""
  from tqdm.contrib import logging

  return logging.logging_redirect_tqdm()


class ProgressBar:
  """Shows how much is done and the time left, on a terminal only."""

  def __init__(self) -> None:
    self._bar: Any = None
    self._what, self._done = "", 0

  def show(self, what: str, done: int, total: int | None) -> None:
    """Moves on, or opens a new bar where the work has another name.

    Args:
      what: Name of the work.
      done: Steps that are done.
      total: All steps; None where nobody knows.
    """
    if what != self._what:
      import tqdm

      self.close()
      self._what, self._done = what, done
      self._bar = tqdm.tqdm(
        desc=what, total=total, initial=done, smoothing=0.05, disable=None
      )
    self._bar.update(done - self._done)
    self._done = done

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self._bar is not None:
      self._bar.close()


@contextlib.contextmanager
def first_signal_noted(message: str) -> Iterator[list[int]]:
  """Notes the first Ctrl-C or SIGTERM; the second one ends the process.

  Signals that the process was told to ignore stay ignored.

  Args:
    message: Printed at the first signal.

  Yields:
    A list that holds the exit code of the signal once it came.
  """
  exit_codes: list[int] = []

  def note(number: int, frame: Any) -> None:
    del frame
    exit_codes.append(128 + number)
    # Python's own stream may be in the middle of a write.
    text = "interrupted" if len(exit_codes) > 1 else message
    os.write(2, f"bls2017: {text}\n".encode())
    if len(exit_codes) > 1:
      # Python would wait for its threads.
      os._exit(exit_codes[-1])

  handlers = {
    number: signal.signal(number, note)
    for number in (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(number) != signal.SIG_IGN
  }
  try:
    yield exit_codes
  finally:
    for number, handler in handlers.items():
      signal.signal(number, handler)
