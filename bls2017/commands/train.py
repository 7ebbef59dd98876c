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
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm
import tqdm.contrib.logging
from absl import flags

from bls2017 import errors
from bls2017.common import config

USAGE = "bls2017 train --train_glob=PATTERN --train_dir=DIR [FLAGS]"

_MODEL = config.ModelConfig()
_TRAIN = config.TrainConfig()

_TRAIN_DIR = flags.DEFINE_string(
  "train_dir", None, "Directory of the run: configuration, checkpoints, logs."
)
_LMBDAS = flags.DEFINE_list(
  "lmbdas",
  None,
  "Weights of the distortion, one for each level of the model. A single one"
  " gives the paper's plain model. By default the 8 of the distortion.",
)
flags.DEFINE_integer("num_filters", _MODEL.num_filters, "Channels inside.")
flags.DEFINE_integer("num_latents", _MODEL.num_latents, "Latent channels.")
flags.DEFINE_enum("prior", _MODEL.prior, config.PRIORS, "Density of latents.")
flags.DEFINE_enum(
  "distortion", _MODEL.distortion, tuple(config.LMBDAS), "What to minimise."
)
flags.DEFINE_string("train_glob", "", "Pattern of JPEG or PNG files.")
flags.DEFINE_float(
  "validation_fraction", _TRAIN.validation_fraction, "Share held out."
)
flags.DEFINE_integer(
  "validation_images", _TRAIN.validation_images, "At most so many are used."
)
flags.DEFINE_integer("patch_size", _TRAIN.patch_size, "Side in pixels.")
flags.DEFINE_integer(
  "patches_per_level", _TRAIN.patches_per_level, "Patches a level in a step."
)
flags.DEFINE_float("min_scale", _TRAIN.min_scale, "Smallest random rescaling.")
flags.DEFINE_integer("steps", _TRAIN.steps, "Steps of the whole run.")
flags.DEFINE_enum(
  "proxy",
  _TRAIN.proxy,
  config.PROXIES,
  "What stands for quantization. With rounding only the decoder and the priors"
  " learn: a last phase, from --initial_weights.",
)
flags.DEFINE_enum(
  "optimizer", _TRAIN.optimizer, config.OPTIMIZERS, "Of the transforms."
)
flags.DEFINE_float("learning_rate", _TRAIN.learning_rate, "Peak rate.")
flags.DEFINE_float(
  "prior_learning_rate_factor",
  _TRAIN.prior_learning_rate_factor,
  "The priors' rate as a multiple of the other.",
)
flags.DEFINE_integer("warmup_steps", _TRAIN.warmup_steps, "Linear warm-up.")
flags.DEFINE_float(
  "final_learning_rate", _TRAIN.final_learning_rate, "Share left at the end."
)
flags.DEFINE_float("clip_norm", _TRAIN.clip_norm, "Bound of the gradients.")
flags.DEFINE_float(
  "loss_weight_exponent",
  _TRAIN.loss_weight_exponent,
  "A level's loss is weighted by lambda to this power.",
)
flags.DEFINE_float("ema_decay", _TRAIN.ema_decay, "Average of the weights.")
flags.DEFINE_integer("seed", _TRAIN.seed, "Seed of weights, order and noise.")
flags.DEFINE_enum("start", _TRAIN.start, config.STARTS, "Initial weights.")
flags.DEFINE_string(
  "initial_weights",
  "",
  "A weights file (.npz) or another run's directory to start from instead.",
)
flags.DEFINE_integer("save_steps", _TRAIN.save_steps, "Between checkpoints.")
flags.DEFINE_integer(
  "keep_checkpoints", _TRAIN.keep_checkpoints, "Checkpoints kept."
)
flags.DEFINE_integer(
  "validation_steps", _TRAIN.validation_steps, "Between validations."
)
flags.DEFINE_integer("summary_steps", _TRAIN.summary_steps, "Between scalars.")
flags.DEFINE_enum(
  "strategy",
  _TRAIN.strategy,
  config.STRATEGIES,
  "tf.distribute strategy; multi_worker takes its cluster from TF_CONFIG.",
)

EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_INTERRUPTED = 128 + signal.SIGINT


class ProgressBar:
  """Shows loss, bpp, PSNR, steps a second and the time left.

  Averages over the last steps. Where standard error is no terminal, a line a
  minute.
  """

  SMOOTHING = 0.98

  def __init__(self) -> None:
    self._bar: Any = None
    self._mean: np.ndarray | None = None

  def on_start(self, step: int, steps: int) -> None:
    """Shows an empty bar."""
    self._bar = tqdm.tqdm(
      initial=step,
      total=steps,
      unit="step",
      mininterval=1 if sys.stderr.isatty() else 60,
      smoothing=0.05,
      dynamic_ncols=True,
    )

  def on_step(self, report: Any) -> None:
    """Adds a step, a `validation.StepReport`, to the averages."""
    now = np.array([report.loss, report.bpp.mean(), report.psnr.mean()])
    if self._mean is None:
      self._mean = now
    self._mean = self.SMOOTHING * self._mean + (1 - self.SMOOTHING) * now
    loss, bpp, psnr = self._mean
    self._bar.set_postfix_str(
      f"loss {loss:.4f}, {bpp:.3f} bpp, {psnr:.2f} dB", refresh=False
    )
    self._bar.update()

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._bar.close()


def _configs() -> tuple[config.ModelConfig, config.TrainConfig]:
  values = flags.FLAGS.flag_values_dict()

  def take(cls: Any) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: values[name] for name in names & values.keys()}

  model = take(config.ModelConfig)
  try:
    given = tuple(map(float, _LMBDAS.value or ()))
  except ValueError as e:
    raise errors.UsageError(f"--lmbdas must be numbers: {e}") from e
  model["lmbdas"] = given or config.LMBDAS[values["distortion"]]
  return config.ModelConfig(**model), config.TrainConfig(
    **take(config.TrainConfig)
  )


def run(arguments: list[str]) -> int:
  """The command; see `bls2017.commands.main`."""
  if arguments:
    raise errors.UsageError(f"unexpected argument '{arguments[0]}'")
  if not _TRAIN_DIR.value:
    raise errors.UsageError("--train_dir is needed")
  model_config, train_config = _configs()
  if not train_config.train_glob:
    raise errors.UsageError("--train_glob is needed")
  logging.getLogger("bls2017").setLevel(logging.INFO)
  # What it says of a photograph it would say at every reading.
  logging.getLogger("bls2017.images.image_io").setLevel(logging.ERROR)
  from bls2017.training import train_loop

  trainer = train_loop.Trainer(model_config, train_config, _TRAIN_DIR.value)
  bar = ProgressBar()
  with _stopped_by_signals(trainer.stop) as received:
    try:
      with tqdm.contrib.logging.logging_redirect_tqdm():
        trainer.run(bar)
    finally:
      bar.close()
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
  stopped = received or trainer.steps_done < train_config.steps
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
