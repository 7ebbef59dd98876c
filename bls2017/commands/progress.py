"""A progress bar on a terminal, and nothing where there is none."""

from __future__ import annotations

import contextlib
from typing import Any

import tqdm
from tqdm.contrib import logging as tqdm_logging


def messages_above_bars() -> contextlib.AbstractContextManager[None]:
  """While this context is open, log messages leave a bar in its line."""
  return tqdm_logging.logging_redirect_tqdm()


class ProgressBar:
  """Shows what is done and the time left."""

  def __init__(self) -> None:
    self._bar: Any = None

  def on_start(self, what: str, total: int, done: int) -> None:
    """Opens a new bar."""
    self.close()
    # A file or a pipe gets no bar.
    self._bar = tqdm.tqdm(
      desc=what, total=total, initial=done, smoothing=0.05, disable=None
    )

  def on_done(self) -> None:
    """Moves on by one."""
    self._bar.update()

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self._bar is not None:
      self._bar.close()
