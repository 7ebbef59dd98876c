"""The weights of a transform coder, to start training from.

Random kernels need thousands of steps to find what every transform coder knows.
Stage 1 is the 4x4 DCT of a decorrelated colour space, stages 2 and 3 are the
2x2 Haar transform of the channels below, keeping those of largest variance, so
that a latent position holds an orthonormal transform of its 16x16 block, as far
as the channels go. The synthesis kernels are the transposes, and GDN starts
close to the identity.
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
  y = np.concatenate(
    [
      model.analysis(patches[i : i + _PATCHES_AT_ONCE].astype(np.float32))
      for i in range(0, len(patches), _PATCHES_AT_ONCE)
    ]
  )
  model.prior.set_scale(y.std((0, 1, 2)) * model.gains()[0].numpy())


def _kernels(x: np.ndarray, widths: tuple[int, ...]) -> list[np.ndarray]:
  """Analysis kernels [k, k, in, out], each with its outputs of most variance.

  x is float32 [n, P, P, 3] without its mean; widths bounds the outputs.
  """
  kernels: list[np.ndarray] = []
  for width, (support, stride) in zip(widths, config.STAGES):
    kernel = _haar_kernel(x.shape[-1]) if kernels else _dct_kernel()
    pad = (support // 2, support // 2 - stride + 1)
    pads = [(0, 0), pad, pad, (0, 0)]
    out = tf.nn.conv2d(x, kernel.astype(np.float32), stride, pads).numpy()
    keep = np.sort(np.argsort(-out.var((0, 1, 2)))[:width])
    kernels.append(kernel[..., keep])
    x = out[..., keep]
  return kernels


def _dct_kernel() -> np.ndarray:
  """[9, 9, 3, 48]: the 4x4 DCT of luma and two chroma channels.

  The block of output position i is the pixels 4 i .. 4 i + 3: taps 4 to 7 of
  the centred kernel.
  """
  colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64).T
  colours /= np.linalg.norm(colours, axis=0)
  basis = parameters.dct_basis(4).reshape(16, 4, 4)
  kernel = np.zeros((9, 9, 3, 48))
  block = np.einsum("fhw,cd->hwcfd", basis, colours)
  kernel[4:8, 4:8] = block.reshape(4, 4, 3, 48)
  return kernel


def _haar_kernel(channels: int) -> np.ndarray:
  """[5, 5, channels, 4 * channels]: the 2x2 Haar transform of each channel."""
  basis = parameters.dct_basis(2).reshape(4, 2, 2)
  kernel = np.zeros((5, 5, channels, channels, 4))
  for c in range(channels):
    kernel[2:4, 2:4, c, c] = np.moveaxis(basis, 0, -1)
  return kernel.reshape(5, 5, channels, 4 * channels)


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
