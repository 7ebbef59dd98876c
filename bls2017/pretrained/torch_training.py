"""Trains a pair of transforms in PyTorch, where TensorFlow is missing or slow.

    python torch_training.py start --model=psnr --lmbdas=0.0018,0.003474 \
      --train_glob='photographs/*.jpg' --output=start.npz
    python torch_training.py train --start=start.npz --steps=15000 \
      --precision=float16 --output=end.npz
    python torch_training.py finish --weights=end.npz --train_dir=RUN
    bls2017 freeze --train_dir=RUN --output_dir=MODEL --half_precision \
      --activities=32 --calibration_glob='photographs/*.jpg'

The first and the third command need this package with its extra "train"; the
second one needs PyTorch, NumPy and Pillow alone, and takes a GPU where there is
one. It makes the steps of `bls2017 train --prior=activities --proxy=mixed`:
the model of `bls2017.training.model`, its priors, loss and optimizer, for the
squared error. A test holds that both have equal losses and gradients.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import math
import os
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

_STAGES = ((9, 4), (5, 2), (5, 2))
"""Support and stride of the convolutions of the analysis."""

_LOSS_WEIGHT_EXPONENT = -0.45
_PRIOR_RATE_FACTOR = 5.0
_CLIP_NORM = 1.0
_BETA_MINIMUM = 1e-6
_PEDESTAL = 2.0**-36
"""What tfc adds to a parameter of GDN, of which it stores the root."""

_PHOTOGRAPHS = ("photographs/train/", "photographs/held_out/")
"""What the names of files of photographs begin with, among the arrays."""


class TransformCoder(torch.nn.Module):
  """The model, with the variables that TensorFlow trains.

  Kernels are coefficients in the DCT basis, GDN's parameters roots, gains
  logarithms.
  """

  lmbda: torch.Tensor

  def __init__(self, arrays: Mapping[str, np.ndarray], lmbdas: np.ndarray):
    """Takes named arrays, as `BLS2017Model.get_arrays` has them."""
    super().__init__()
    self.register_buffer("lmbda", torch.tensor(lmbdas, dtype=torch.float32))
    for size in {size for size, _ in _STAGES}:
      self.register_buffer(f"dct_{size}", torch.from_numpy(_dct(size)))
    self.stored = torch.nn.ParameterDict(
      {
        name: torch.nn.Parameter(self._stored(name, array))
        for name, array in arrays.items()
      }
    )

  def prior_variables(self) -> list[torch.nn.Parameter]:
    """The variables of the priors, which learn at a rate of their own."""
    return [v for name, v in self.stored.items() if name.startswith("prior/")]

  def arrays(self) -> dict[str, np.ndarray]:
    """The named arrays; the constructor's argument is the inverse."""
    with torch.no_grad():
      return {name: self[name].cpu().numpy() for name in self.stored}

  def __getitem__(self, name: str) -> torch.Tensor:
    stored = self.stored[name]
    if name.endswith("kernel"):
      size = math.isqrt(len(stored))
      kernel = torch.tensordot(self._dct(size), stored, ([0], [0]))
      return kernel.reshape(size, size, *stored.shape[1:])
    if name.endswith("beta"):
      return stored.square().sub(_PEDESTAL).clamp_min(_BETA_MINIMUM)
    if name.endswith("gamma"):
      return stored.square().sub(_PEDESTAL).clamp_min(0)
    return stored.exp() if name.endswith("gain") else stored

  def _stored(self, name: str, array: np.ndarray) -> torch.Tensor:
    value = torch.tensor(array, dtype=torch.float32)
    if name.endswith("kernel"):
      size = len(value)
      value = value.reshape(size**2, *value.shape[2:])
      return torch.tensordot(self._dct(size), value, 1)
    if name.endswith(("beta", "gamma")):
      return value.add(_PEDESTAL).sqrt()
    return value.log() if name.endswith("gain") else value

  def _dct(self, size: int) -> torch.Tensor:
    return getattr(self, f"dct_{size}")

  def _gdn(self, x: torch.Tensor, name: str) -> torch.Tensor:
    """The norm of GDN at each position, in single precision."""
    gamma = self[f"{name}/gamma"].T[:, :, None, None]
    pool = F.conv2d(x * x, gamma.contiguous()).float()
    return (pool + self[f"{name}/beta"][:, None, None]).sqrt()

  def analysis(self, x: torch.Tensor) -> torch.Tensor:
    """Latents [n, C, h, w] of pixels [n, 3, H, W] in 0..255."""
    x = x / 255 - 0.5
    for i, (_, stride) in enumerate(_STAGES):
      name = f"analysis/{i}"
      x = _down(x, self[f"{name}/kernel"], stride).float()
      x = x + self[f"{name}/bias"][:, None, None]
      x = x / self._gdn(x, f"{name}/gdn")
    return x

  def synthesis(self, y: torch.Tensor) -> torch.Tensor:
    """Pixels of latents."""
    for i, gdn in enumerate(("igdn_in", "0/igdn", "1/igdn")):
      _, stride = _STAGES[-1 - i]
      y = y * self._gdn(y, f"synthesis/{gdn}")
      y = _up(y, self[f"synthesis/{i}/kernel"], stride).float()
      y = y + self[f"synthesis/{i}/bias"][:, None, None]
    return (y + 0.5) * 255

  def _bits(self, y_tilde: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Bits [L] of latents [n, L, C, h, w], by the activity that costs least."""
    mean = self["prior/mean"][:, :, None, None]
    slope = self["prior/slope"].exp()  # [L, K, C]
    activity_bits = -torch.log_softmax(self["prior/logits"], 1) / math.log(2)
    with torch.no_grad():
      costs = [
        _logistic_bits(rounded - mean, slope[:, k, :, None, None]).sum(2)
        + activity_bits[:, k, None, None]
        for k in range(slope.shape[1])
      ]
      chosen = torch.stack(costs).argmin(0)  # [n, L, h, w]
    level = torch.arange(len(slope), device=slope.device)[:, None, None]
    chosen_slope = slope[level, chosen].movedim(-1, 2)
    bits = _logistic_bits(y_tilde - mean, chosen_slope).sum((0, 2, 3, 4))
    return bits + activity_bits[level, chosen].sum((0, 2, 3))

  def forward(
    self, x: torch.Tensor, noise: torch.Tensor | None = None
  ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes patches at every level.

    Args:
      x: float32 [n, L, 3, H, W] in 0..255, H and W multiples of 16.
      noise: float32 [n, L, C, h, w] in -1/2..1/2, for training. Without it,
        latents and pixels are rounded, as in a file.

    Returns:
      The weighted mean of the levels' losses; bits per pixel [L]; squared
      errors [L].
    """
    n, levels, _, height, width = x.shape
    y = self.analysis(x.flatten(0, 1)).unflatten(0, (n, levels))
    y = y * self["gain"][:, :, None, None]
    rounded = y.detach().round()
    y_tilde = rounded if noise is None else y + noise
    bpp = self._bits(y_tilde, rounded) / (n * height * width)
    # The gradient passes straight through the rounding.
    y_hat = (y + (rounded - y).detach()) * self["inverse_gain"][..., None, None]
    x_hat = self.synthesis(y_hat.flatten(0, 1)).reshape(x.shape)
    if noise is None:
      x_hat = x_hat.round().clamp(0, 255)
    mse = (x_hat - x).square().mean((0, 2, 3, 4))
    weight = self.lmbda**_LOSS_WEIGHT_EXPONENT
    loss = (weight / weight.mean() * (bpp + self.lmbda * mse)).mean()
    return loss, bpp, mse


def _dct(size: int) -> np.ndarray:
  """As `bls2017.training.parameters.dct_basis`."""
  n = np.arange(size)
  dct = np.cos(np.pi * (n + 0.5) * n[:, None] / size) * math.sqrt(2 / size)
  dct[0] /= math.sqrt(2)
  return np.kron(dct, dct).astype(np.float32)


def _down(x: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
  """A SignalConv2D of tfc that goes down, of a kernel [k, k, in, out]."""
  before = len(kernel) // 2
  x = F.pad(x, (before, before - stride + 1) * 2)
  return F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride)


def _up(y: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
  """A SignalConv2D of tfc that goes up, of a kernel [k, k, in, out]."""
  before = len(kernel) // 2
  x = F.conv_transpose2d(y, kernel.permute(2, 3, 0, 1), stride=stride)
  height, width = (stride * side for side in y.shape[2:])
  return x[..., before : before + height, before : before + width]


def _logistic_bits(y: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
  """Bits of the mass between y - 1/2 and y + 1/2 of a logistic density."""
  y = y.abs()
  log_p = torch.log(-torch.expm1(-slope))
  log_p = log_p - F.softplus(-(y + 0.5) * slope)
  return (log_p - F.softplus((y - 0.5) * slope)) / -math.log(2)


def patches(
  photographs: list[torch.Tensor], shape: tuple[int, int], size: int, seed: int
) -> Iterator[torch.Tensor]:
  """Random crops in four orientations, endlessly.

  Args:
    photographs: uint8 [3, H, W], at least `size` on both sides.
    shape: Patches a level, and levels.
    size: Side of a patch.
    seed: Of the order.

  Yields:
    uint8 [n, L, 3, size, size].
  """
  rng = np.random.default_rng(seed)
  while True:
    crops = []
    for i in rng.integers(len(photographs), size=math.prod(shape)):
      x = photographs[i]
      top, left = (rng.integers(side - size + 1) for side in x.shape[1:])
      x = x[:, top : top + size, left : left + size]
      x = x.flip(2) if rng.random() < 0.5 else x
      crops.append(x.mT if rng.random() < 0.5 else x)
    yield torch.stack(crops).unflatten(0, shape)


def train(options: argparse.Namespace) -> None:
  """Trains; saves the average of the weights at each validation."""
  given = dict(np.load(options.start))
  lmbdas = given.pop("lmbdas")
  contents = [
    [given.pop(name) for name in list(given) if name.startswith(kind)]
    for kind in _PHOTOGRAPHS
  ]
  device = "cuda" if torch.cuda.is_available() else "cpu"
  torch.manual_seed(options.seed)
  learning, held_out = (
    [x for x in map(_pixels, files) if min(x.shape[1:]) >= options.patch_size]
    for files in contents
  )
  if not learning or not held_out:
    raise SystemExit("too few photographs to learn from and to hold out")
  model = TransformCoder(given, lmbdas).to(device)
  average = torch.optim.swa_utils.AveragedModel(
    model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9995)
  )
  averaged = cast(TransformCoder, average.module)
  priors = {id(v) for v in model.prior_variables()}
  optimizer = torch.optim.Adam(
    [
      {"params": [v for v in model.parameters() if id(v) not in priors]},
      {"params": model.prior_variables()},
    ],
    eps=1e-7,
  )
  dtype = getattr(torch, options.precision)
  mixed = torch.autocast(device, dtype, enabled=dtype != torch.float32)
  scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
  shape = (options.patches_per_level, len(lmbdas))
  batches = patches(learning, shape, options.patch_size, options.seed)
  for step in range(options.steps + 1):
    is_last = step == options.steps
    if step % options.validation_steps == 0 or is_last:
      _validate(averaged, held_out, options.patch_size, step)
      np.savez(options.output, lmbdas=lmbdas, step=step, **averaged.arrays())
    if is_last:
      return
    warmup = min(1, (step + 1) / options.warmup_steps)
    rate = options.learning_rate * warmup
    rate *= 0.5 * (1 + math.cos(math.pi * step / options.steps))
    for group, factor in zip(optimizer.param_groups, (1, _PRIOR_RATE_FACTOR)):
      group["lr"] = factor * rate
    x = next(batches).to(device).float()
    latents = (given["gain"].shape[1], *(s // 16 for s in x.shape[3:]))
    noise = torch.rand(*shape, *latents, device=device) - 0.5
    with mixed:
      loss, _, _ = model(x, noise)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
    scaler.step(optimizer)
    scaler.update()
    average.update_parameters(model)


def _pixels(content: np.ndarray) -> torch.Tensor:
  """The pixels of a file of these bytes: uint8 [3, H, W]."""
  with Image.open(io.BytesIO(content.tobytes())) as image:
    return torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1)


@torch.no_grad()
def _validate(
  model: TransformCoder, photographs: list[torch.Tensor], size: int, step: int
) -> None:
  """Prints the means over the corners of photographs."""
  sums = []
  for x in photographs:
    x = x[:, :size, :size].to(model.lmbda)
    x = x.expand(1, len(model.lmbda), -1, -1, -1)
    sums.append(torch.cat([v.flatten() for v in model(x)]))
  loss, *others = torch.stack(sums).mean(0).tolist()
  levels = len(others) // 2
  bpp = " ".join(f"{v:.4f}" for v in others[:levels])
  psnr = " ".join(f"{10 * math.log10(255**2 / v):.2f}" for v in others[levels:])
  print(f"step {step}: loss {loss:.5f}, bpp {bpp}, PSNR {psnr}", flush=True)


def start(options: argparse.Namespace) -> None:
  """Writes a packaged pair for other lambdas, and the photographs."""
  from bls2017.model import model_directory
  from bls2017.training import data, initial_weights, train_config
  from bls2017.training import model as model_lib

  packaged = model_directory.load(options.model).config
  if packaged.distortion != "mse":
    raise SystemExit("only models for the squared error can be trained here")
  model = model_lib.BLS2017Model(
    dataclasses.replace(
      packaged,
      num_latents=options.latents,
      lmbdas=tuple(map(float, options.lmbdas.split(","))),
      prior="activities",
    )
  )
  initial_weights.apply(model, options.model, options.wake_reach)
  fraction = train_config.TrainConfig.validation_fraction
  split = data.split_files(options.train_glob, fraction)
  arrays = model.get_arrays()
  arrays["lmbdas"] = np.array(model.config.lmbdas)
  for kind, paths in zip(_PHOTOGRAPHS, split):
    for number, path in enumerate(paths):
      arrays[f"{kind}{number}"] = np.fromfile(path, np.uint8)
  np.savez(options.output, **arrays)


def finish(options: argparse.Namespace) -> None:
  """Writes weights as a run of `bls2017 train`, which can be frozen."""
  import tensorflow as tf

  from bls2017.common import config
  from bls2017.training import checkpoints
  from bls2017.training import model as model_lib

  arrays = dict(np.load(options.weights))
  step = int(arrays.pop("step"))
  model_config = config.ModelConfig(
    num_filters=len(arrays["synthesis/0/bias"]),
    num_latents=len(arrays["synthesis/igdn_in/beta"]),
    lmbdas=tuple(arrays.pop("lmbdas").tolist()),
    prior="activities",
  )
  model = model_lib.BLS2017Model(model_config)
  model.set_arrays(arrays)
  path = os.path.join(options.train_dir, checkpoints.CONFIG_FILE)
  os.makedirs(options.train_dir)
  config.write_json(path, {"model": config.to_json(model_config)})
  state = {"model": model, "step": tf.Variable(step, dtype=tf.int64)}
  checkpoints.save(options.train_dir, step, state)


def main() -> None:
  """Parses the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  commands = parser.add_subparsers(required=True)

  command = commands.add_parser("start", help=start.__doc__)
  command.set_defaults(run=start)
  command.add_argument("--model", default="psnr")
  command.add_argument("--lmbdas", required=True)
  command.add_argument("--latents", type=int, default=320)
  command.add_argument("--wake_reach", type=float, default=0.0)
  command.add_argument("--train_glob", required=True)
  command.add_argument("--output", required=True)

  command = commands.add_parser("train", help=train.__doc__)
  command.set_defaults(run=train)
  command.add_argument("--start", required=True)
  command.add_argument("--output", required=True)
  command.add_argument("--steps", type=int, required=True)
  command.add_argument("--patches_per_level", type=int, default=8)
  command.add_argument("--patch_size", type=int, default=256)
  command.add_argument("--learning_rate", type=float, default=1.3e-3)
  command.add_argument("--warmup_steps", type=int, default=300)
  command.add_argument("--validation_steps", type=int, default=1000)
  command.add_argument(
    "--precision", default="float32", choices=("float32", "bfloat16", "float16")
  )
  command.add_argument("--seed", type=int, default=0)

  command = commands.add_parser("finish", help=finish.__doc__)
  command.set_defaults(run=finish)
  command.add_argument("--weights", required=True)
  command.add_argument("--train_dir", required=True)

  options = parser.parse_args()
  options.run(options)


if __name__ == "__main__":
  main()
