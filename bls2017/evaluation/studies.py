"""The paper's own questions, asked of models.

- relaxation: how well the relaxed rate and distortion, with uniform noise in
  the place of rounding, match the quantized ones for each lambda;
- transforms: whether GDN makes the latents more Gaussian and the code shorter
  than ReLU or a linear transform does, at equal training;
- densities: the deep factorized density against the piecewise-linear one.

The last two train small models that differ in one choice. They see the same
patches in the same order, start from the same random kernels, and take the same
number of steps.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common.config import LMBDAS, ModelConfig
from bls2017.evaluation import grid, plots, rate_distortion, study_results
from bls2017.evaluation.study_results import StudyResult
from bls2017.images import metrics
from bls2017.training import checkpoints, data
from bls2017.training.model import BLS2017Model
from bls2017.training.train_config import TrainConfig
from bls2017.training.training_step import TrainingStep

# Four levels are enough for a curve.
SMALL = ModelConfig(num_filters=48, num_latents=96, lmbdas=LMBDAS["mse"][::2])
"""The small models, but for the choice in question."""

_GDN = ("gdn", "deep_factorized")
CHOICES = {
  "transforms": {
    "GDN": _GDN,
    "ReLU": ("relu", "deep_factorized"),
    "linear": ("linear", "deep_factorized"),
  },
  "densities": {
    "deep factorized": _GDN,
    "piecewise linear": ("gdn", "piecewise_linear"),
  },
}
"""The nonlinearity and the prior of the small models of a study."""

_TITLES = {
  "transforms": "Does GDN make the latents more Gaussian and the code shorter?",
  "densities": "Deep factorized or piecewise-linear density?",
}
_TRAIN_PATCH, _MAX_TRAIN_PATCHES, _MAX_PER_IMAGE = 128, 4096, 8
_TEST_PATCH, _MAX_TEST_PATCHES = 256, 32
_WARMUP_STEPS = 100
_SEED = 0

_LIVE_DEVIATION = 0.5
"""Below it, nearly all latents of a channel round to one value."""

_EDGES = np.linspace(-5.0, 5.0, 62)
"""Of the bins of histograms, in standard deviations."""


def run(
  study: str,
  images: str,
  progress: grid.Progress,
  train_images: str | None = None,
  train_dir: str | None = None,
  steps: int = study_results.STEPS,
) -> StudyResult:
  """Answers a question.

  Args:
    study: One of `study_results.STUDIES`.
    images: Pattern of the images to test on.
    progress: Told how far the training is.
    train_images: Pattern of photographs to train small models on.
    train_dir: Run of a model to ask about relaxation, instead of a small one.
    steps: Steps of each small model.

  Raises:
    errors.UsageError: if there is neither model nor photographs.
    errors.UnreadableInputError: if no image is large enough.
    errors.TrainingError: if a small model does not train.
  """
  testing = _patches(images, _TEST_PATCH, _MAX_TEST_PATCHES, 1)
  if study == "relaxation" and train_dir:
    return relaxation(checkpoints.load_model(train_dir)[0], testing)
  if not train_images:
    raise errors.UsageError(
      f"the study '{study}' needs photographs to train small models on"
    )
  training = _patches(
    train_images, _TRAIN_PATCH, _MAX_TRAIN_PATCHES, _MAX_PER_IMAGE
  )
  if study in CHOICES:
    return compare_choices(study, training, testing, steps, progress)
  model = make(SMALL, *_GDN)
  train(model, training, steps, progress, "training")
  return relaxation(model, testing)


def _patches(pattern: str, size: int, limit: int, per_image: int) -> np.ndarray:
  paths = grid.find_images(pattern)
  per_image = max(1, min(per_image, limit // len(paths)))
  patches = data.read_patches(paths, size, limit, per_image)
  if not len(patches):
    raise errors.UnreadableInputError(
      f"no image of at least {size} x {size} pixels can be read"
    )
  return patches


def make(small: ModelConfig, nonlinearity: str, prior: str) -> BLS2017Model:
  """Makes an untrained model.

  Args:
    small: Its shape.
    nonlinearity: "gdn", "relu" (between the stages, none at the latents) or
      "linear".
    prior: One of `config.PRIORS`.
  """
  model = BLS2017Model(dataclasses.replace(small, prior=prior), seed=_SEED)
  if nonlinearity != "gdn":
    inner = tf.nn.relu if nonlinearity == "relu" else tf.identity
    # A ReLU at the latents would forbid their signs.
    ends = {"2/gdn", "igdn_in"}
    for transform in (model.analysis, model.synthesis):
      transform.gdns = {
        name: tf.identity if name in ends else inner for name in transform.gdns
      }
  return model


def train(
  model: BLS2017Model,
  patches: np.ndarray,
  steps: int,
  progress: grid.Progress,
  stretch: str,
) -> float:
  """Trains a model, and returns the median seconds of a step.

  Args:
    model: Untrained.
    patches: uint8 [n, P, P, 3]; steps draw from them.
    steps: How many, at least 1.
    progress: Told each step.
    stretch: Name of this work.

  Raises:
    errors.TrainingError: if the loss is not finite in the end.
  """
  settings = TrainConfig(steps=steps, warmup_steps=_WARMUP_STEPS)
  training_step = TrainingStep(model, settings)

  @tf.function(autograph=False)
  def step(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    seed = tf.stack([tf.constant(_SEED, tf.int64), number])
    return training_step(x, seed).loss

  rng = np.random.default_rng(_SEED)
  order = rng.integers(len(patches), size=(steps, model.config.num_levels))
  seconds = []
  for number, chosen in enumerate(grid.told(progress, stretch, steps, order)):
    started = time.perf_counter()
    x = tf.constant(patches[chosen][None], tf.float32)
    loss = float(step(x, tf.constant(number, tf.int64)))
    seconds.append(time.perf_counter() - started)
  if not math.isfinite(loss):
    raise errors.TrainingError(f"{stretch} ended with a loss of {loss}")
  return float(np.median(seconds))


def relaxation(model: BLS2017Model, patches: np.ndarray) -> StudyResult:
  """Compares noisy with rounded latents, level by level.

  Args:
    model: A trained model.
    patches: uint8 [n, P, P, 3].
  """
  relaxed = _rate_distortion(model, patches, noisy=True)
  rounded = _rate_distortion(model, patches, noisy=False)
  change = 100 * (relaxed.mean(0) / rounded.mean(0) - 1)
  rows, lmbdas = [], [f"{lmbda:.4g}" for lmbda in model.config.lmbdas]
  for k, lmbda in enumerate(lmbdas):
    row = [lmbda]
    for i, digits in enumerate((4, 2)):
      row += [f"{m[:, k, i].mean():.{digits}f}" for m in (relaxed, rounded)]
      row.append(f"{change[k, i]:+.2f}%")
    rows.append(row)
  worst = np.abs(change).max(0)
  finding = (
    f"Means over {len(patches)} patches: the relaxed rate is within"
    f" {worst[0]:.1f}% of the quantized one at every lambda, the relaxed"
    f" squared error within {worst[1]:.1f}%. On the dashed line both are equal."
  )
  psnr = np.vectorize(metrics.mse_to_psnr)
  charts = []
  for title, unit, x, y in (
    ("Rate", "bits per pixel", rounded[..., 0], relaxed[..., 0]),
    ("Distortion", "PSNR (dB)", psnr(rounded[..., 1]), psnr(relaxed[..., 1])),
  ):
    series = [
      plots.Series(f"λ = {lmbda}", hard, noisy, line="none")
      for lmbda, hard, noisy in zip(lmbdas, x.T.tolist(), y.T.tolist())
    ]
    ends = [float(x.min()), float(x.max())]
    series.append(plots.Series("equal", ends, ends, line="dashed"))
    labels = f"quantized: {unit}", f"relaxed: {unit}"
    charts.append(plots.Chart(f"{title} of each image", *labels, series))
  return StudyResult(
    "relaxation",
    "How well does the relaxed problem match the quantized one?",
    [finding],
    [
      "λ", "relaxed bpp", "quantized bpp", "difference",
      "relaxed MSE", "quantized MSE", "difference",
    ],
    rows,
    charts,
  )  # fmt: skip


def compare_choices(
  study: str,
  training: np.ndarray,
  testing: np.ndarray,
  steps: int,
  progress: grid.Progress,
  small: ModelConfig = SMALL,
) -> StudyResult:
  """Trains small models alike but for one choice, and compares them.

  Args:
    study: One of `CHOICES`.
    training: uint8 [n, P, P, 3].
    testing: uint8 [n, P, P, 3].
    steps: Steps of each model.
    progress: Told each step.
    small: Shape of the models.
  """
  middles = (_EDGES[1:] + _EDGES[:-1]) / 2
  rows, curves, histograms = [], [], []
  for name, choice in CHOICES[study].items():
    model = make(small, *choice)
    seconds = train(model, training, steps, progress, f"training {name}")
    curves.append(_curve(name, model, testing))
    kurtosis, negentropy, density = latent_statistics(_latents(model, testing))
    histograms.append(plots.Series(name, middles.tolist(), density.tolist()))
    delta = rate_distortion.compare(curves[-1], curves[0], "psnr_rgb")
    bd = [f"{delta.bd_rate:+.1f}%", f"{delta.bd_quality:+.2f} dB"]
    if math.isnan(delta.bd_rate):
      bd = ["no overlap", "no overlap"]
    figures = [f"{kurtosis:.2f}", f"{negentropy:.3f}", f"{1000 * seconds:.0f}"]
    rows.append([name, *bd, *figures])
  gaussian = -0.5 * (math.log10(2 * math.pi) + middles**2 * math.log10(math.e))
  histograms.append(
    plots.Series("Gaussian", middles.tolist(), gaussian.tolist(), line="dashed")
  )
  return StudyResult(
    study,
    _TITLES[study],
    [
      f"Models of {small.num_filters} filters and {small.num_latents} latents,"
      f" each trained for {steps} steps from the same random kernels on the"
      f" same {len(training)} patches, tested on {len(testing)} others. Rates"
      " are the prior's estimates for rounded latents.",
      "Excess kurtosis and negentropy are medians of the live channels, both 0"
      " for a Gaussian. The negentropy is how many bits fewer a latent costs"
      " than a Gaussian one of its variance.",
    ],
    [
      "model", f"BD-rate to {rows[0][0]}", "BD-PSNR", "excess kurtosis",
      "negentropy (bits)", "ms a step",
    ],
    rows,
    [
      plots.rate_distortion_chart(
        curves, "psnr_rgb", "Held-out patches, estimated rate"
      ),
      plots.Chart(
        "Latents, each channel at unit variance",
        "standard deviations",
        "log10 of the density",
        histograms,
      ),
    ],
  )  # fmt: skip


def _latents(model: BLS2017Model, patches: np.ndarray) -> np.ndarray:
  """Latents of the live channels, at zero mean and unit variance."""
  x = patches.astype(np.float32)
  latents = np.concatenate([model.analysis(p[None]).numpy() for p in x])
  y = latents.reshape(-1, latents.shape[-1]).astype(np.float64)
  y = y[:, y.std(0) * model.gains()[0].numpy()[-1] > _LIVE_DEVIATION]
  if not y.shape[1]:
    raise errors.TrainingError("no latent carries anything; train for longer")
  return (y - y.mean(0)) / y.std(0)


def latent_statistics(z: np.ndarray) -> tuple[float, float, np.ndarray]:
  """Tells how far latents are from Gaussian.

  Args:
    z: float64 [n, channels], each channel of zero mean and unit variance.

  Returns:
    Excess kurtosis, and the bits that a Gaussian would cost more, both medians
    over the channels and 0 for a Gaussian; and log10 of the mean density in 61
    bins from -5 to 5, nan in empty ones.
  """
  width = _EDGES[1] - _EDGES[0]
  counts = np.stack([np.histogram(channel, _EDGES)[0] for channel in z.T])
  share = counts / len(z)
  entropy = -(share * np.log2(np.where(share, share / width, 1))).sum(1)
  density = share.mean(0) / width
  density[density == 0] = math.nan
  kurtosis = np.median((z**4).mean(0) - 3)
  negentropy = np.median(0.5 * math.log2(2 * math.pi * math.e) - entropy)
  return float(kurtosis), float(negentropy), np.log10(density)


def _curve(
  label: str, model: BLS2017Model, patches: np.ndarray
) -> rate_distortion.Curve:
  measured = _rate_distortion(model, patches, noisy=False)
  points = []
  for k in range(model.config.num_levels):
    psnr = np.mean([metrics.mse_to_psnr(mse) for mse in measured[:, k, 1]])
    values = {"bpp": float(measured[:, k, 0].mean()), "psnr_rgb": float(psnr)}
    points.append(rate_distortion.Point(k + 1, len(patches), values))
  return rate_distortion.Curve(label, tuple(points), {"name": label})


def _rate_distortion(
  model: BLS2017Model, patches: np.ndarray, noisy: bool
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
