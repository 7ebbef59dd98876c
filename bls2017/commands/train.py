"""Trains a model on a folder of photographs.

A directory that holds checkpoints is resumed. SIGTERM and Ctrl-C save first.
Many flags are best kept in a file: --flagfile=FILE.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm
from absl import flags

from bls2017 import errors
from bls2017.commands import config_flags
from bls2017.commands import progress as progress_lib
from bls2017.common import config, packages
from bls2017.training import train_config

USAGE = "bls2017 train --train_glob=FOLDER --train_dir=DIR [FLAGS]"

_TRAIN_DIR = flags.DEFINE_string(
  "train_dir", None, "Directory of the run: configuration, checkpoints, logs."
)
config_flags.define(config.ModelConfig)
config_flags.define(train_config.TrainConfig)

EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_INTERRUPTED = 128 + signal.SIGINT


class Progress:
  """Shows loss, bpp, PSNR, steps a second and the time left.

  Loss, bpp and PSNR are averages over the last steps and all levels. Where
  standard error is no terminal there is no bar, but a line a minute.
  """

  SMOOTHING = 0.98
  SECONDS_BETWEEN_LINES = 60
  LINE = (
    "step {n_fmt}/{total_fmt}, {elapsed} spent, {remaining} left,"
    " {rate_fmt}{postfix}"
  )

  def __init__(self) -> None:
    self._bar: Any = None
    self._mean: np.ndarray | None = None
    self._next_line = 0.0
    self._devnull = open(os.devnull, "w")

  def on_start(self, step: int, steps: int) -> None:
    """Shows an empty bar."""
    self._next_line = time.monotonic() + self.SECONDS_BETWEEN_LINES
    # A bar that nobody sees keeps count for the lines.
    terminal = sys.stderr.isatty()
    self._bar = tqdm.tqdm(
      initial=step,
      total=steps,
      unit="step",
      mininterval=1,
      smoothing=0.05,
      dynamic_ncols=True,
      file=sys.stderr if terminal else self._devnull,
      bar_format=None if terminal else self.LINE,
    )

  def on_step(self, measured: Any) -> None:
    """Adds a step, a `reports.Measurement`, to the averages."""
    now = np.array([measured.loss, measured.bpp.mean(), measured.psnr.mean()])
    if self._mean is None:
      self._mean = now
    self._mean = self.SMOOTHING * self._mean + (1 - self.SMOOTHING) * now
    loss, bpp, psnr = self._mean
    self._bar.set_postfix_str(
      f"loss {loss:.4f}, {bpp:.3f} bpp, {psnr:.2f} dB", refresh=False
    )
    self._bar.update()
    if time.monotonic() >= self._next_line:
      self._write_line()

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._write_line()
      self._bar.close()
    self._devnull.close()

  def _write_line(self) -> None:
    self._next_line = time.monotonic() + self.SECONDS_BETWEEN_LINES
    if not sys.stderr.isatty():
      print(str(self._bar), file=sys.stderr, flush=True)


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _TRAIN_DIR.value:
    raise errors.UsageError("--train_dir is needed")
  packages.require_training("train")
  model = config_flags.read(config.ModelConfig)
  settings = config_flags.read(train_config.TrainConfig)
  if not settings.train_glob:
    raise errors.UsageError("--train_glob is needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  # What it says of a photograph it would say at every reading.
  logging.getLogger("bls2017.images.reading").setLevel(logging.ERROR)
  from bls2017.training import train_loop

  trainer = train_loop.Trainer(model, settings, _TRAIN_DIR.value)
  progress = Progress()
  with _stopped_by_signals(trainer.stop) as received:
    try:
      with progress_lib.messages_above_bars():
        trainer.run(progress)
    finally:
      progress.close()
  skipped = trainer.reader.skipped.reasons
  where = os.path.abspath(_TRAIN_DIR.value)
  print(
    f"{trainer.steps_done} steps done, {len(skipped)} images skipped,"
    f" checkpoints in {where}",
    file=sys.stderr,
  )
  if signal.SIGINT in received:
    return EXIT_INTERRUPTED
  # A worker that another one stopped has not finished either.
  stopped = received or trainer.steps_done < settings.steps
  return EXIT_TERMINATED if stopped else 0


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[list[int]]:
  """Lets SIGTERM and SIGINT set an event; yields those that came."""
  received: list[int] = []

  def note(number: int, frame: Any) -> None:
    del frame
    received.append(number)
    stop.set()

  numbers = (signal.SIGTERM, signal.SIGINT)
  before = [signal.signal(number, note) for number in numbers]
  try:
    yield received
  finally:
    for number, handler in zip(numbers, before):
      signal.signal(number, handler)
