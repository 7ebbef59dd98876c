"""How far the latents of a model are from Gaussian, channel by channel."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bls2017 import errors
from bls2017.training import model as model_lib

_END = 5.0
_EDGES = np.linspace(-_END, _END, 62)
_WIDTH = _EDGES[1] - _EDGES[0]

MIDDLES = (_EDGES[1:] + _EDGES[:-1]) / 2
"""Of the bins of the histogram, in standard deviations."""

_LIVE_DEVIATION = 0.5
"""Below it, nearly all latents of a channel round to one value."""

_GAUSSIAN_ENTROPY = 0.5 * math.log2(2 * math.pi * math.e)


@dataclasses.dataclass(frozen=True)
class LatentStatistics:
  """Marginal statistics of the live channels, each brought to unit variance.

  Attributes:
    live: How many channels are live.
    excess_kurtosis: Median over the channels; 0 for a Gaussian.
    negentropy: Bits that a Gaussian of the same variance would cost more,
      median over the channels; 0 for a Gaussian.
    log_density: log10 of the mean density in the bins around `MIDDLES`; nan in
      empty bins.
  """

  live: int
  excess_kurtosis: float
  negentropy: float
  log_density: np.ndarray


def measure(
  model: model_lib.BLS2017Model, patches: np.ndarray
) -> LatentStatistics:
  """Analyses patches, and describes their latents before quantization.

  Args:
    model: A trained model.
    patches: uint8 [n, P, P, 3].

  Raises:
    errors.TrainingError: if no channel is live at the finest level.
  """
  rows = [
    model.analysis(patch[None].astype(np.float32)).numpy()[0]
    for patch in patches
  ]
  channels = model.config.num_latents
  y = np.concatenate([r.reshape(-1, channels) for r in rows]).astype(np.float64)
  finest_gain = model.gains()[0].numpy()[-1]
  y = y[:, y.std(0) * finest_gain > _LIVE_DEVIATION]
  if not y.shape[1]:
    raise errors.TrainingError("no latent carries anything; train for longer")
  return describe((y - y.mean(0)) / y.std(0))


def describe(z: np.ndarray) -> LatentStatistics:
  """Statistics of float64 [n, channels] of zero mean and unit variance."""
  counts = np.stack([np.histogram(channel, _EDGES)[0] for channel in z.T])
  share = counts / len(z)
  logs = np.log2(np.where(share > 0, share / _WIDTH, 1))
  entropy = -(share * logs).sum(1)
  density = share.mean(0) / _WIDTH
  density[density == 0] = math.nan
  return LatentStatistics(
    live=z.shape[1],
    excess_kurtosis=float(np.median((z**4).mean(0) - 3)),
    negentropy=float(np.median(_GAUSSIAN_ENTROPY - entropy)),
    log_density=np.log10(density),
  )
