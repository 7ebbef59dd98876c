"""One run of the benchmark: from a request to a report."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Callable

from bls2017 import errors
from bls2017.evaluation.benchmark import contenders, photograph, probes, timing
from bls2017.evaluation.benchmark.report import (
  AT_LEAST,
  AT_MOST,
  Ratio,
  Report,
  Row,
)
from bls2017.transforms import model_directory

MEGA = 1e6
SMALL, MIDDLE, LARGE = (128, 128), (768, 512), (4000, 3000)
"""Width and height of the sizes that ratios are asked at."""

HUGE_SIDE = 10_000

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked for.

  Attributes:
    model: Directory of the model; None for the package's.
    quality: At which codecs are compared.
    sizes: Width and height of the images.
    repeats: Rounds of which medians are taken; a third of it, two at least,
      from 2 megapixels on.
    training: Whether steps of training are timed.
    memory: Whether each codec's peak memory is measured.
    bulk_images: Files of 768x512 to work on at once; none for 0.
    cold: Whether whole processes are timed.
    huge: Whether an image of 100 megapixels is worked on.
  """

  model: str | None = None
  quality: float = 5.0
  sizes: tuple[Size, ...] = (SMALL, MIDDLE, LARGE)
  repeats: int = 9
  training: bool = True
  memory: bool = True
  bulk_images: int = 200
  cold: bool = True
  huge: bool = False

  def __post_init__(self) -> None:
    if self.repeats < 1 or self.bulk_images < 0:
      raise errors.UsageError("numbers of repeats and images must be positive")
    if any(side < 1 or side % 8 for size in self.sizes for side in size):
      raise errors.UsageError("sides must be multiples of 8")

  def rounds(self, size: Size) -> int:
    """Rounds for an image of a size."""
    large = size[0] * size[1] >= 2 * MEGA
    return max(2, self.repeats // 3) if large else self.repeats


def run(request: Request, observe: Callable[[str], None]) -> Report:
  """Measures everything that is asked for.

  Args:
    request: What.
    observe: Is told what is measured next.

  Returns:
    The report.

  Raises:
    errors.CodecError: if a codec or a process fails.
  """
  settings = {"quality": request.quality, "repeats": request.repeats}
  report = Report({**timing.machine(), **settings})
  model = model_directory.load(request.model)
  if request.sizes:
    observe("codecs")
    x = photograph.tiled(MIDDLE[1], MIDDLE[0])
    ours = contenders.make("bls2017", request.model, request.quality)
    wanted = ours.size(ours.compress(x))
    own = {
      name: contenders.matched_quality(name, x, wanted)
      for name in contenders.available()
    }
    codecs = [
      contenders.make(name, request.model, request.quality, q)
      for name, q in own.items()
    ]
    for size in request.sizes:
      observe(_name(size))
      _coding(request, report, model, codecs, size)
    if request.memory:
      for size in request.sizes[-2:]:
        observe(f"memory, {_name(size)}")
        _memory(request, report, own, size)
  for wish, what, measure in (
    (request.training, "training", _training),
    (request.cold, "cold starts", _cold),
    (request.bulk_images, "many files", _many_files),
    (request.huge, "100 megapixels", _huge),
  ):
    if wish:
      observe(what)
      measure(request, report)
  return report


def _coding(
  request: Request,
  report: Report,
  model: model_directory.FrozenModel,
  codecs: list[contenders.Contender],
  size: Size,
) -> None:
  """Codecs, transforms and the matrix product, all in turns."""
  width, height = size
  megapixels = width * height / MEGA
  x = photograph.tiled(height, width)
  files = {codec.name: codec.compress(x) for codec in codecs}
  calls: dict[tuple[str, str], Callable[[], Any]] = {
    ("matrix product", ""): timing.matrix_product()
  }
  for name, call in timing.transforms(model, height, width).items():
    calls[name, ""] = call
  for codec in codecs:
    compress = functools.partial(codec.compress, x)
    decompress = functools.partial(codec.decompress, files[codec.name])
    calls[codec.name, "compress"] = compress
    calls[codec.name, "decompress"] = decompress
  medians = timing.interleaved(calls, request.rounds(size))

  peak = timing.MATRIX_PRODUCT_GMACS / medians["matrix product", ""]
  table = f"transforms, {_name(size)}"
  report.rows.append(Row(table, "matrix product", {"GFLOP/s": 2 * peak}))
  for name in ("analysis", "synthesis"):
    seconds = medians[name, ""]
    needed = timing.gmacs(model.weights, name) * megapixels
    share = needed / seconds / peak
    values = {
      "GFLOP/s": 2 * needed / seconds,
      "GMAC": needed,
      "ms": 1e3 * seconds,
      "share of product": share,
    }
    report.rows.append(Row(table, name, values))
    if size in (MIDDLE, LARGE):
      title = f"{name} / matrix product, {_name(size)}"
      report.ratios.append(Ratio(title, share, AT_LEAST, 0.85))
  for codec in codecs:
    values = {"bpp": 8 * codec.size(files[codec.name]) / (width * height)}
    for step in ("compress", "decompress"):
      seconds = medians[codec.name, step]
      values[f"{step} ms"] = 1e3 * seconds
      values[f"{step} MP/s"] = megapixels / seconds
    report.rows.append(Row(f"codecs, {_name(size)}", codec.name, values))
  _coding_ratios(report, medians, size)


def _coding_ratios(
  report: Report, medians: dict[tuple[str, str], float], size: Size
) -> None:
  asked = {SMALL: 8.0, MIDDLE: 1.8}.get(size)
  for step in ("compress", "decompress"):
    if asked:
      ratio = medians["plain", step] / medians["bls2017", step]
      title = f"{step}: plain's time / bls2017's, {_name(size)}"
      report.ratios.append(Ratio(title, ratio, AT_LEAST, asked))
  if ("avif", "compress") in medians:
    ratio = medians["bls2017", "compress"] / medians["avif", "compress"]
    title = f"compress: bls2017's time / AVIF's, {_name(size)}"
    report.ratios.append(Ratio(title, ratio, AT_MOST, 1.0))


def _memory(
  request: Request, report: Report, own: dict[str, float], size: Size
) -> None:
  width, height = size
  for name, own_quality in own.items():
    found = probes.call(
      "peak_memory",
      name=name,
      model=request.model,
      quality=request.quality,
      own_quality=own_quality,
      height=height,
      width=width,
    )
    values = {f"{k} MiB": found[k] for k in ("compress", "decompress")}
    table = f"peak memory of a process, {_name(size)}"
    report.rows.append(Row(table, name, values))


def _training(request: Request, report: Report) -> None:
  from bls2017.evaluation.benchmark import training

  model = model_directory.load(request.model).config
  rounds = max(3, request.repeats // 2)
  medians = timing.interleaved(training.steps(model), rounds)
  for name, seconds in medians.items():
    values = {"steps/s": 1 / seconds, "ms": 1e3 * seconds}
    report.rows.append(Row("training", name, values))


def _cold(request: Request, report: Report) -> None:
  rounds = max(3, request.repeats // 3)
  found = probes.call("cold_start", model=request.model, rounds=rounds)
  for name, seconds in found.items():
    report.rows.append(Row("cold start, 128x128", name, {"s": seconds}))
  title = "compress, cold / import tensorflow, 128x128"
  ratio = found["compress"] / found["import"]
  report.ratios.append(Ratio(title, ratio, AT_MOST, 1.25))


def _many_files(request: Request, report: Report) -> None:
  width, height = MIDDLE
  found = probes.call(
    "many_files",
    model=request.model,
    quality=request.quality,
    images=request.bulk_images,
    height=height,
    width=width,
  )
  table = f"{request.bulk_images} files of {_name(MIDDLE)}"
  for step, transform in (
    ("compress", "analysis"),
    ("decompress", "synthesis"),
  ):
    single = found[f"{transform}_one_core"]
    together = found[f"{transform}_all_cores"]
    values = {
      "MP/s": found[step],
      "transform on one core, MP/s": single,
      "on all cores": together,
    }
    report.rows.append(Row(table, step, values))
    title = f"{step}, {table} / {transform} on one core x cores"
    ratio = found[step] / (single * found["cores"])
    report.ratios.append(Ratio(title, ratio, AT_LEAST, 0.9))
    # Cores that share units or memory are not as fast together as alone.
    title = f"{step}, {table} / {transform} on all cores at once"
    report.ratios.append(Ratio(title, found[step] / together, AT_LEAST, 0.9))


def _huge(request: Request, report: Report) -> None:
  width, height = LARGE
  found = probes.call(
    "large",
    model=request.model,
    quality=request.quality,
    small=[height, width],
    side=HUGE_SIDE,
  )
  for step in ("compress", "decompress"):
    values = {
      f"s/MP, {_name(LARGE)}": found[f"small_{step}"],
      "s/MP, 100 MP": found[f"large_{step}"],
    }
    report.rows.append(Row("100 megapixels", step, values))
    ratio = found[f"large_{step}"] / found[f"small_{step}"]
    title = f"{step}: time per MP at 100 MP / at 12 MP"
    report.ratios.append(Ratio(title, ratio, AT_MOST, 1.15))
  gib = found["peak_mib"] / 1024
  report.ratios.append(Ratio("peak memory at 100 MP, GiB", gib, AT_MOST, 2.0))


def _name(size: Size) -> str:
  return f"{size[0]}x{size[1]}"
