"""The paper's own questions, asked of models.

- relaxation: how well the relaxed rate and distortion, with uniform noise in
  the place of rounding, match the quantized ones for each lambda;
- transforms: whether GDN makes the latents more Gaussian and the code shorter
  than ReLU or a linear transform does, at equal training;
- densities: the deep factorized density against the piecewise-linear one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.evaluation import (
  ablation,
  latent_statistics,
  plots,
  rate_distortion,
)
from bls2017.evaluation.study_results import Result
from bls2017.images import metrics
from bls2017.training import data
from bls2017.training import model as model_lib

TEST_PATCH = 256
_DENSITIES = ("deep_factorized", "piecewise_linear")
_MAX_TEST_PATCHES = 32
_MAX_TRAIN_PATCHES = 4096

OnStep = Callable[[], None]


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
        f"{noisy[0]:.4f}", f"{hard[0]:.4f}", f"{change[0]:+.2f}%",
        f"{noisy[1]:.2f}", f"{hard[1]:.2f}", f"{change[1]:+.2f}%",
      )
    )  # fmt: skip
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
  variants = {
    name: ablation.Variant(nonlinearity=name)
    for name in ablation.NONLINEARITIES
  }
  outcomes = _train_all(variants, training, testing, steps, on_step)
  statistics = {
    o.curve.label: latent_statistics.measure(o.model, testing) for o in outcomes
  }
  rows = [
    (
      o.curve.label,
      *o.deltas,
      f"{latents.excess_kurtosis:.2f}",
      f"{latents.negentropy:.3f}",
      o.milliseconds,
    )
    for o, latents in zip(outcomes, statistics.values())
  ]
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
    (_curve_chart(outcomes), _density_chart(statistics)),
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
  variants = {
    prior.replace("_", " "): ablation.Variant(prior=prior)
    for prior in _DENSITIES
  }
  outcomes = _train_all(variants, training, testing, steps, on_step)
  rows = [
    (
      o.curve.label,
      *o.deltas,
      o.milliseconds,
      *(
        f"{p.values['bpp']:.3f}, {p.values['psnr_rgb']:.2f}"
        for p in o.curve.points
      ),
    )
    for o in outcomes
  ]
  levels = tuple(f"bpp, dB at λ = {lmbda:.4g}" for lmbda in ablation.LMBDAS)
  return Result(
    "densities",
    "Deep factorized or piecewise-linear density?",
    (_training_sentence(steps, training, testing),),
    ("density", "BD-rate", "BD-PSNR", "ms a step", *levels),
    tuple(rows),
    (_curve_chart(outcomes),),
  )


def _rate_distortion(
  model: model_lib.BLS2017Model, patches: np.ndarray, noisy: bool
) -> np.ndarray:
  """Rate and squared error, float64 [n, levels, 2], estimated by the prior."""
  levels = model.config.num_levels
  function = tf.function(model.rate_distortion)
  measured = []
  for number, patch in enumerate(patches):
    x = np.repeat(patch[None, None].astype(np.float32), levels, axis=1)
    arguments = ("noise", tf.constant([0, number])) if noisy else ()
    rd = function(tf.constant(x), *arguments)
    measured.append(np.stack([rd.bpp.numpy(), rd.mse.numpy()], -1))
  return np.array(measured, np.float64)


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


class _Outcome(NamedTuple):
  """A small model after its training.

  Attributes:
    model: The model.
    curve: Its rates, as the prior estimates them, and PSNRs.
    deltas: BD-rate and BD-PSNR to the first model, for a table.
    milliseconds: Of a training step, for a table.
  """

  model: model_lib.BLS2017Model
  curve: rate_distortion.Curve
  deltas: tuple[str, str]
  milliseconds: str


def _train_all(
  variants: dict[str, ablation.Variant],
  training: np.ndarray,
  testing: np.ndarray,
  steps: int,
  on_step: OnStep,
) -> list[_Outcome]:
  """Trains small models, and compares all of them with the first."""
  outcomes: list[_Outcome] = []
  for label, variant in variants.items():
    model, seconds = ablation.train(variant, training, steps, on_step)
    curve = _curve(label, model, testing)
    deltas = _bd_cells(curve, outcomes[0].curve if outcomes else curve)
    outcomes.append(_Outcome(model, curve, deltas, f"{1000 * seconds:.0f}"))
  return outcomes


def _curve(
  label: str, model: model_lib.BLS2017Model, patches: np.ndarray
) -> rate_distortion.Curve:
  measured = _rate_distortion(model, patches, noisy=False)
  points = []
  for k in range(model.config.num_levels):
    psnr = np.mean([metrics.mse_to_psnr(mse) for mse in measured[:, k, 1]])
    values = {"bpp": float(measured[:, k, 0].mean()), "psnr_rgb": float(psnr)}
    points.append(rate_distortion.Point(k + 1, len(patches), values))
  return rate_distortion.Curve(label, tuple(points), {"name": label})


def _curve_chart(outcomes: list[_Outcome]) -> plots.Chart:
  title = "Held-out patches, estimated rate"
  curves = [o.curve for o in outcomes]
  return plots.rate_distortion_chart(curves, "psnr_rgb", title)


def _density_chart(
  statistics: dict[str, latent_statistics.LatentStatistics],
) -> plots.Chart:
  middles = latent_statistics.MIDDLES
  gaussian = np.log10(np.exp(-0.5 * middles**2) / math.sqrt(2 * math.pi))
  densities = {name: s.log_density for name, s in statistics.items()}
  series = [
    plots.Series(name, _floats(middles), _floats(density))
    for name, density in densities.items()
  ]
  series.append(
    plots.Series("Gaussian", _floats(middles), _floats(gaussian), line="dashed")
  )
  return plots.Chart(
    "Latents, each channel at unit variance",
    "standard deviations",
    "log10 of the density",
    tuple(series),
  )


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
