"""Trains a model on a folder of photographs.

A directory that holds checkpoints is resumed. SIGTERM and Ctrl-C save first.
Many flags are best kept in a file: --flagfile=FILE.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from tqdm.contrib import logging as tqdm_logging

from bls2017 import errors
from bls2017.common import config, packages
from bls2017.training import train_config

USAGE = "bls2017 train --train_glob=FOLDER --train_dir=DIR [FLAGS]"

_TRAIN_DIR = flags.DEFINE_string(
  "train_dir", None, "Directory of the run: configuration, checkpoints, logs."
)

_DEFINE: dict[type, Any] = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
}


def _settings(config_class: Any) -> list[tuple[str, Any, Any]]:
  """Name, default and metadata of every `config.setting`."""
  fields = dataclasses.fields(config_class)
  return [(f.name, f.default, f.metadata) for f in fields if f.metadata]


def _define_flags(config_class: Any) -> None:
  for name, default, metadata in _settings(config_class):
    about, choices = metadata["description"], metadata["choices"]
    if choices:
      flags.DEFINE_enum(name, default, choices, about)
    elif isinstance(default, tuple):
      flags.DEFINE_list(name, None, about)
    else:
      _DEFINE[type(default)](name, default, about)


def _from_flags(config_class: Any) -> Any:
  values = {}
  for name, default, metadata in _settings(config_class):
    values[name] = flags.FLAGS[name].value
    if isinstance(default, tuple):
      try:
        values[name] = tuple(map(metadata["parse"], values[name] or ()))
      except ValueError as e:
        raise errors.UsageError(f"--{name}: {e}") from e
  return config_class(**values)


_define_flags(config.ModelConfig)
_define_flags(train_config.TrainConfig)

EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_INTERRUPTED = 128 + signal.SIGINT

_SMOOTHING = 0.98
_SECONDS_BETWEEN_LINES = 60


class Progress:
  """Shows loss, bpp, PSNR, steps a second and the time left.

  Loss, bpp and PSNR are averages over the last steps and all levels. Where
  standard error is no terminal there is no bar, but a line a minute and one at
  the end.
  """

  def __init__(self, done: int, total: int):
    self._first, self._done, self._total = done, done, total
    self._started = self._last_line = time.monotonic()
    self._mean: np.ndarray | None = None
    self._bar = tqdm.tqdm(
      initial=done, total=total, unit="step", smoothing=0.05, disable=None
    )

  def on_step(self, measured: Any) -> None:
    """Adds a step, a `reports.Measurement`, to the averages."""
    now = np.array([measured.loss, measured.bpp.mean(), measured.psnr.mean()])
    if self._mean is None:
      self._mean = now
    self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * now
    self._done = measured.step
    self._bar.set_postfix_str(self._averages(), refresh=False)
    self._bar.update()
    if time.monotonic() > self._last_line + _SECONDS_BETWEEN_LINES:
      self._write_line()

  def close(self) -> None:
    """Ends the bar, or writes the last line."""
    self._write_line()
    self._bar.close()

  def _averages(self) -> str:
    if self._mean is None:
      return ""
    loss, bpp, psnr = self._mean
    return f"loss {loss:.4f}, {bpp:.3f} bpp, {psnr:.2f} dB"

  def _write_line(self) -> None:
    self._last_line = time.monotonic()
    if self._bar.disable:
      line = tqdm.tqdm.format_meter(
        self._done,
        self._total,
        self._last_line - self._started,
        ncols=0,
        unit="step",
        initial=self._first,
        postfix=self._averages(),
      )
      print(line, file=sys.stderr, flush=True)


def run(arguments: list[str]) -> int:
  """Trains; returns the exit code."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _TRAIN_DIR.value:
    raise errors.UsageError("--train_dir is needed")
  packages.require_training("train")
  model = _from_flags(config.ModelConfig)
  settings = _from_flags(train_config.TrainConfig)
  if not settings.train_glob:
    raise errors.UsageError("--train_glob is needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  # What it says of a photograph it would say at every reading.
  logging.getLogger("bls2017.images.reading").setLevel(logging.ERROR)
  from bls2017.training import train_loop

  trainer = train_loop.Trainer(model, settings, _TRAIN_DIR.value)
  progress = Progress(trainer.steps_done, settings.steps)
  with _stopped_by_signals(trainer.stop) as received:
    with tqdm_logging.logging_redirect_tqdm():
      try:
        trainer.run(progress.on_step)
      finally:
        progress.close()
  print(
    f"{trainer.steps_done} steps done, {len(trainer.reader.skipped)} images"
    f" skipped, checkpoints in {os.path.abspath(_TRAIN_DIR.value)}",
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
