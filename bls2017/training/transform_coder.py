"""Weights to start training from, instead of random ones.

Random kernels need thousands of steps to find what every transform coder knows.
`initialise` starts from such a coder: stage 1 is the 4x4 DCT of a decorrelated
colour space, stages 2 and 3 are the 2x2 Haar transform of the channels below,
keeping those of largest variance, so that a latent position holds an
orthonormal transform of its 16x16 block, as far as the channels go. The
synthesis kernels are the transposes, and GDN starts close to the identity.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.training import model as model_lib
from bls2017.training import parameters

_GAMMA = 0.02
_SPARE_STDDEV = 0.01
_PATCHES_AT_ONCE = 16


def _colour_transform() -> np.ndarray:
  """An orthonormal luma-chroma transform, [3 colours, 3 channels]."""
  columns = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64).T
  return columns / np.linalg.norm(columns, axis=0)


def _first_kernel() -> np.ndarray:
  """[9, 9, 3, 48]: the 4x4 DCT of each of the three colour channels.

  The block of output position i is the pixels 4 i .. 4 i + 3: taps 4 to 7 of
  the centred kernel.
  """
  basis = parameters.dct_basis(4).reshape(16, 4, 4)
  block = np.einsum("fhw,cd->hwcfd", basis, _colour_transform())
  kernel = np.zeros((9, 9, 3, 48))
  kernel[4:8, 4:8] = block.reshape(4, 4, 3, 48)
  return kernel


def _haar_kernel(channels: int) -> np.ndarray:
  """[5, 5, channels, 4 * channels]: the 2x2 Haar transform of each channel."""
  basis = parameters.dct_basis(2).reshape(4, 2, 2)
  kernel = np.zeros((5, 5, channels, channels, 4))
  for c in range(channels):
    kernel[2:4, 2:4, c, c] = np.moveaxis(basis, 0, -1)
  return kernel.reshape(5, 5, channels, 4 * channels)


def _kernels(x: np.ndarray, widths: tuple[int, ...]) -> list[np.ndarray]:
  """The analysis kernels, each with its outputs of largest variance.

  Args:
    x: float32 [n, P, P, 3], images without their mean.
    widths: At most so many outputs of each stage.

  Returns:
    float [k, k, in, out] for each stage.
  """
  kernels: list[np.ndarray] = []
  for width, (_, stride) in zip(widths, config.STAGES):
    kernel = _haar_kernel(x.shape[-1]) if kernels else _first_kernel()
    out = _down(x, kernel, stride)
    keep = np.sort(np.argsort(-out.var((0, 1, 2)))[:width])
    kernels.append(kernel[..., keep])
    x = out[..., keep]
  return kernels


def _down(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
  """The strided correlation of the analysis transform, on [n, H, W, C]."""
  half = kernel.shape[0] // 2
  pad = [[0, 0], [half, half - stride + 1], [half, half - stride + 1], [0, 0]]
  return tf.nn.conv2d(x, kernel.astype(np.float32), stride, pad).numpy()


def _fit(
  kernel: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
  """A kernel in a larger shape, the spare outputs small and random."""
  fan = shape[0] * shape[1] * shape[2]
  fitted = rng.normal(0, _SPARE_STDDEV / math.sqrt(fan), shape)
  inputs, outputs = kernel.shape[2:]
  fitted[..., :outputs] = 0
  fitted[:, :, :inputs, :outputs] = kernel
  return fitted.astype(np.float32)


def _steps(model_config: config.ModelConfig) -> np.ndarray:
  """Quantization steps of the levels, for images in -1/2..1/2."""
  lmbdas = np.asarray(model_config.lmbdas)
  if model_config.distortion == "mse":
    # Halving the step of all 3 samples of a pixel costs 3 bits and leaves a
    # quarter of step**2 / 12: the derivatives balance at this step.
    return np.sqrt(18 / (math.log(2) * lmbdas)) / 255.0
  return 0.1 * np.sqrt(lmbdas[0] / lmbdas)


def initialise(
  model: model_lib.BLS2017Model, patches: np.ndarray, seed: int
) -> None:
  """Sets all weights of a model to those of the transform coder.

  Args:
    model: The model; at least 48 filters leave nothing out of stage 1.
    patches: uint8 [n, P, P, 3], training photographs for the variances.
    seed: Seed of the spare channels.

  Raises:
    errors.ModelError: if there are no patches to measure.
  """
  if not len(patches):
    raise errors.ModelError("the transform coder needs training images")
  shape = model.config
  arrays = model.get_arrays()
  for name, old in arrays.items():
    if name.endswith("gamma"):
      arrays[name] = _GAMMA * np.eye(len(old), dtype=np.float32)
    elif name.endswith("beta"):
      arrays[name] = np.ones_like(old)
    elif name.endswith("bias"):
      arrays[name] = np.zeros_like(old)
  x = patches.astype(np.float32) / 255.0 - 0.5
  mean = x.mean((0, 1, 2))
  widths = (shape.num_filters, shape.num_filters, shape.num_latents)
  kernels = _kernels(x - mean, widths)
  last = len(kernels) - 1
  rng = np.random.default_rng(seed)
  for i, kernel in enumerate(kernels):
    name = f"analysis/{i}/kernel"
    size = arrays[name].shape
    arrays[name] = _fit(kernel, size, rng)
    # Synthesis transposes analysis; its spare inputs are random in their turn.
    transposed = np.swapaxes(_fit(kernel, size, rng), 2, 3)
    arrays[f"synthesis/{last - i}/kernel"] = transposed
  # Stage 1 sees only pixels that exist, so this is exact along the borders.
  removed = np.einsum("hwco,c->o", arrays["analysis/0/kernel"], mean)
  arrays["analysis/0/bias"] = -removed
  arrays[f"synthesis/{last}/bias"] = mean
  gain = 1 / _steps(shape)[:, None]
  arrays["gain"] = np.repeat(gain, shape.num_latents, 1).astype(np.float32)
  arrays["inverse_gain"] = 1 / arrays["gain"]
  model.set_arrays(arrays)
  model.prior.set_scale(_latent_scale(model, patches))


def _latent_scale(
  model: model_lib.BLS2017Model, patches: np.ndarray
) -> np.ndarray:
  """Standard deviation of the gained latents, float32 [levels, channels]."""
  y = np.concatenate(
    [
      model.analysis(patches[i : i + _PATCHES_AT_ONCE].astype(np.float32))
      for i in range(0, len(patches), _PATCHES_AT_ONCE)
    ]
  )
  gain, _ = model.gains()
  return y.std((0, 1, 2)) * gain.numpy()
