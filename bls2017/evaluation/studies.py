"""The paper's own questions, asked of models.

- relaxation: how well the relaxed rate and distortion, with uniform noise in
  the place of rounding, match the quantized ones for each lambda;
- transforms: whether GDN makes the latents more Gaussian and the code shorter
  than ReLU or a linear transform does, at equal training;
- densities: the deep factorized density against the piecewise-linear one.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Callable

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.evaluation import (
  ablation,
  latent_statistics,
  plots,
  rate_distortion,
)
from bls2017.images import metrics
from bls2017.training import data
from bls2017.training import model as model_lib

NAMES = ("relaxation", "transforms", "densities")

TEST_PATCH = 256
_DENSITIES = ("deep_factorized", "piecewise_linear")
_MAX_TEST_PATCHES = 32
_MAX_TRAIN_PATCHES = 4096

OnStep = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Result:
  """An answer.

  Attributes:
    name: One of `NAMES`.
    title: The question.
    findings: The answer in sentences.
    columns: Head of a table.
    rows: Its cells.
    charts: Its plots.
  """

  name: str
  title: str
  findings: tuple[str, ...]
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  charts: tuple[plots.Chart, ...]


def read_patches(
  paths: Iterable[str], size: int, limit: int, per_image: int = 1
) -> np.ndarray:
  """Patches of the images, uint8 [n, size, size, 3]; see `data.read_patches`.

  Raises:
    errors.UnreadableInputError: if there is none.
  """
  patches = data.read_patches(paths, size, limit, per_image)
  if not len(patches):
    raise errors.UnreadableInputError(
      f"no image of at least {size} x {size} pixels can be read"
    )
  return patches


def train_patches(paths: Sequence[str]) -> np.ndarray:
  """Patches for the small models, several of each image where there are few."""
  per_image = max(1, min(8, _MAX_TRAIN_PATCHES // max(len(paths), 1)))
  return read_patches(paths, ablation.PATCH_SIZE, _MAX_TRAIN_PATCHES, per_image)


def test_patches(paths: Sequence[str]) -> np.ndarray:
  """The middles of the images to test on."""
  return read_patches(paths, TEST_PATCH, _MAX_TEST_PATCHES)


def relaxation(model: model_lib.BLS2017Model, patches: np.ndarray) -> Result:
  """Compares noisy with rounded latents, level by level.

  Args:
    model: A trained model.
    patches: uint8 [n, P, P, 3].
  """
  relaxed = _rate_distortion(model, patches, noisy=True)
  rounded = _rate_distortion(model, patches, noisy=False)
  rows, worst = [], [0.0, 0.0]
  for k, lmbda in enumerate(model.config.lmbdas):
    noisy, hard = relaxed[:, k].mean(0), rounded[:, k].mean(0)
    change = 100 * (noisy / hard - 1)
    worst = [max(w, abs(c)) for w, c in zip(worst, change)]
    rows.append(
      (
        f"{lmbda:.4g}",
        f"{noisy[0]:.4f}",
        f"{hard[0]:.4f}",
        f"{change[0]:+.2f}%",
        f"{noisy[1]:.2f}",
        f"{hard[1]:.2f}",
        f"{change[1]:+.2f}%",
      )  # fmt: skip
    )
  finding = (
    f"Means over {len(patches)} patches: the relaxed rate is within"
    f" {worst[0]:.1f}% of the quantized one at every lambda, the relaxed"
    f" squared error within {worst[1]:.1f}%. On the dashed line both are equal."
  )
  return Result(
    "relaxation",
    "How well does the relaxed problem match the quantized one?",
    (finding,),
    (
      "λ", "relaxed bpp", "quantized bpp", "difference",
      "relaxed MSE", "quantized MSE", "difference",
    ),
    tuple(rows),
    _relaxation_charts(model.config.lmbdas, relaxed, rounded),
  )  # fmt: skip


def transforms(
  training: np.ndarray, testing: np.ndarray, steps: int, on_step: OnStep
) -> Result:
  """Compares GDN, ReLU and a linear transform at equal training.

  Args:
    training: uint8 [n, P, P, 3].
    testing: uint8 [n, P, P, 3].
    steps: Steps of each model.
    on_step: Called after each step.
  """
  trained = {
    name: ablation.train(
      ablation.Variant(nonlinearity=name), training, steps, on_step
    )
    for name in ablation.NONLINEARITIES
  }
  curves = [_curve(name, t.model, testing) for name, t in trained.items()]
  shapes = {
    n: latent_statistics.measure(t.model, testing) for n, t in trained.items()
  }
  rows = []
  for curve, (name, shape) in zip(curves, shapes.items()):
    rows.append(
      (
        name,
        *_bd_cells(curve, curves[0]),
        f"{shape.excess_kurtosis:.2f}",
        f"{shape.negentropy:.3f}",
        f"{1000 * trained[name].seconds_per_step:.0f}",
      )  # fmt: skip
    )
  middles = latent_statistics.MIDDLES
  gaussian = np.exp(-0.5 * middles**2) / math.sqrt(2 * math.pi)
  series = [
    plots.Series(n, _floats(middles), _floats(s.log_density))
    for n, s in shapes.items()
  ]
  series.append(
    plots.Series(
      "Gaussian", _floats(middles), _floats(np.log10(gaussian)), line="dashed"
    )
  )
  density = plots.Chart(
    "Latents, each channel at unit variance",
    "standard deviations",
    "log10 of the density",
    tuple(series),
  )
  return Result(
    "transforms",
    "Does GDN make the latents more Gaussian and the code shorter?",
    (
      _training_sentence(steps, training, testing),
      "Excess kurtosis and negentropy are medians of the live channels, both 0"
      " for a Gaussian. The negentropy is how many bits fewer a latent costs"
      " than a Gaussian one of its variance.",
    ),
    (
      "transform", "BD-rate to GDN", "BD-PSNR to GDN", "excess kurtosis",
      "negentropy (bits)", "ms a step",
    ),
    tuple(rows),
    (_curve_chart(curves), density),
  )  # fmt: skip


def densities(
  training: np.ndarray, testing: np.ndarray, steps: int, on_step: OnStep
) -> Result:
  """Compares the two priors at equal training.

  Args:
    training: uint8 [n, P, P, 3].
    testing: uint8 [n, P, P, 3].
    steps: Steps of each model.
    on_step: Called after each step.
  """
  trained = {
    prior: ablation.train(
      ablation.Variant(prior=prior), training, steps, on_step
    )
    for prior in _DENSITIES
  }
  names = [n.replace("_", " ") for n in trained]
  curves = [
    _curve(name, t.model, testing) for name, t in zip(names, trained.values())
  ]
  rows = []
  for curve, t in zip(curves, trained.values()):
    cells = [
      f"{p.values['bpp']:.3f}, {p.values['psnr_rgb']:.2f}" for p in curve.points
    ]
    cost = f"{1000 * t.seconds_per_step:.0f}"
    rows.append((curve.label, *_bd_cells(curve, curves[0]), cost, *cells))
  levels = tuple(f"bpp, dB at λ = {lmbda:.4g}" for lmbda in ablation.LMBDAS)
  return Result(
    "densities",
    "Deep factorized or piecewise-linear density?",
    (_training_sentence(steps, training, testing),),
    ("density", "BD-rate", "BD-PSNR", "ms a step", *levels),
    tuple(rows),
    (_curve_chart(curves),),
  )


def save(result: Result, directory: str) -> None:
  """Writes a result as JSON, and its charts as a PNG beside it.

  Raises:
    errors.OutputError: if they cannot be written.
  """
  try:
    os.makedirs(directory, exist_ok=True)
    config.write_json(
      os.path.join(directory, f"{result.name}.json"),
      rate_distortion.to_json(result),
    )
  except OSError as e:
    raise errors.OutputError(f"cannot write {directory}: {e.strerror}") from e
  plots.draw(result.charts, os.path.join(directory, f"{result.name}.png"))


def load_all(directory: str) -> list[Result]:
  """The results that were saved in a directory."""
  found = []
  for name in NAMES:
    path = os.path.join(directory, f"{name}.json")
    if os.path.exists(path):
      values = config.read_json(path)
      charts = values.pop("charts")
      for chart in charts:
        chart["series"] = tuple(plots.Series(**s) for s in chart["series"])
      found.append(
        Result(**values, charts=tuple(plots.Chart(**c) for c in charts))
      )
  return found


def _rate_distortion(
  model: model_lib.BLS2017Model, patches: np.ndarray, noisy: bool
) -> np.ndarray:
  """Rate and squared error, float64 [n, levels, 2], estimated by the prior."""
  levels = model.config.num_levels
  function = tf.function(model.rate_distortion)
  found = []
  for number, patch in enumerate(patches):
    x = np.repeat(patch[None, None].astype(np.float32), levels, axis=1)
    arguments = ("noise", tf.constant([0, number])) if noisy else ()
    rd = function(tf.constant(x), *arguments)
    found.append(np.stack([rd.bpp.numpy(), rd.mse.numpy()], -1))
  return np.array(found, np.float64)


def _relaxation_charts(
  lmbdas: Sequence[float], relaxed: np.ndarray, rounded: np.ndarray
) -> tuple[plots.Chart, ...]:
  """A point for each patch and lambda; float64 [n, levels, 2] both."""
  charts = []
  for title, name, i in (
    ("Rate of each image", "bits per pixel", 0),
    ("Distortion of each image", "PSNR (dB)", 1),
  ):
    hard, noisy = rounded[..., i], relaxed[..., i]
    if i == 1:
      hard, noisy = (
        np.vectorize(metrics.mse_to_psnr)(m) for m in (hard, noisy)
      )
    series = [
      plots.Series(
        f"λ = {lmbda:.4g}",
        _floats(hard[:, k]),
        _floats(noisy[:, k]),
        line="none",
      )
      for k, lmbda in enumerate(lmbdas)
    ]
    ends = (float(hard.min()), float(hard.max()))
    series.append(plots.Series("equal", ends, ends, line="dashed"))
    charts.append(
      plots.Chart(
        title, f"quantized: {name}", f"relaxed: {name}", tuple(series)
      )
    )
  return tuple(charts)


def _curve(
  label: str, model: model_lib.BLS2017Model, patches: np.ndarray
) -> rate_distortion.Curve:
  found = _rate_distortion(model, patches, noisy=False)
  points = []
  for k in range(model.config.num_levels):
    psnr = np.mean([metrics.mse_to_psnr(mse) for mse in found[:, k, 1]])
    values = {"bpp": float(found[:, k, 0].mean()), "psnr_rgb": float(psnr)}
    points.append(rate_distortion.Point(k + 1, len(patches), values))
  return rate_distortion.Curve(label, tuple(points), {"name": label})


def _curve_chart(curves: list[rate_distortion.Curve]) -> plots.Chart:
  title = "Held-out patches, estimated rate"
  return plots.rate_distortion_chart(curves, "psnr_rgb", title)


def _bd_cells(
  curve: rate_distortion.Curve, anchor: rate_distortion.Curve
) -> tuple[str, str]:
  if curve is anchor:
    return "0", "0"
  delta = rate_distortion.compare(curve, anchor, "psnr_rgb")
  if math.isnan(delta.bd_rate):
    return "no overlap", "no overlap"
  return f"{delta.bd_rate:+.1f}%", f"{delta.bd_quality:+.2f} dB"


def _training_sentence(
  steps: int, training: np.ndarray, testing: np.ndarray
) -> str:
  v = ablation.Variant()
  return (
    f"Models of {v.num_filters} filters and {v.num_latents} latents, each"
    f" trained for {steps} steps from the same random kernels on the same"
    f" {len(training)} patches, tested on {len(testing)} others. Rates are the"
    " prior's estimates for rounded latents."
  )


def _floats(values: np.ndarray) -> tuple[float, ...]:
  return tuple(float(v) for v in values)
