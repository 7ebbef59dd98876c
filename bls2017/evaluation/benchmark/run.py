"""One run of the benchmark: from its configuration to a report."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np

from bls2017.evaluation.benchmark import (
  benchmark_config,
  contenders,
  photograph,
  probes,
  timing,
)
from bls2017.evaluation.benchmark.benchmark_config import (
  LARGE,
  MIDDLE,
  SMALL,
  Size,
)
from bls2017.evaluation.benchmark.report import (
  AT_LEAST,
  AT_MOST,
  Ratio,
  Report,
  Row,
)
from bls2017.model import model_directory

HUGE_SIDE = 10_000


def run(
  config: benchmark_config.BenchmarkConfig, announce: Callable[[str], None]
) -> Report:
  """Measures everything that is asked for.

  Args:
    config: What is asked for.
    announce: Is called with the name of what is measured next.

  Returns:
    The report.

  Raises:
    errors.CodecError: if a codec or a process fails.
  """
  settings = {"quality": config.quality, "repeats": config.repeats}
  report = Report({**timing.machine(), **settings})
  if config.sizes:
    announce("codecs")
    codecs = contenders.at_equal_rate(
      photograph.tiled(MIDDLE.height, MIDDLE.width),
      config.model,
      config.quality,
    )
    for size in config.sizes:
      announce(str(size))
      _coding(config, report, codecs, size)
    if config.memory:
      for size in config.sizes[-2:]:
        announce(f"memory, {size}")
        _memory(config, report, codecs, size)
  for is_asked, name, measure in (
    (config.training, "training", _training),
    (config.cold, "cold starts", _cold),
    (config.bulk_images, "many files", _many_files),
    (config.huge, "100 megapixels", _huge),
  ):
    if is_asked:
      announce(name)
      measure(config, report)
  return report


def _coding(
  config: benchmark_config.BenchmarkConfig,
  report: Report,
  codecs: list[contenders.Contender],
  size: Size,
) -> None:
  """Codecs, transforms and the matrix product, all in turns."""
  x = photograph.tiled(size.height, size.width)
  files = {c.name: c.encode(x, quality).data for c, quality in codecs}
  model = model_directory.load(config.model)
  calls: dict[tuple[str, str], Callable[[], Any]] = {
    ("matrix product", ""): timing.matrix_product()
  }
  transforms = timing.transforms(model, config.quality, size.height, size.width)
  for name, call in transforms.items():
    calls[name, ""] = call
  for codec, quality in codecs:
    compress = functools.partial(codec.encode, x, quality)
    decompress = functools.partial(codec.decode, files[codec.name])
    calls[codec.name, "compress"] = compress
    calls[codec.name, "decompress"] = decompress
  medians = timing.interleaved(calls, config.rounds(size))
  _transform_rows(report, medians, model.weights_of(config.quality), size)
  for name, data in files.items():
    values = {"bpp": 8 * len(data) / (size.width * size.height)}
    for step in ("compress", "decompress"):
      seconds = medians[name, step]
      values[f"{step} ms"] = 1e3 * seconds
      values[f"{step} MP/s"] = size.megapixels / seconds
    report.rows.append(Row(f"codecs, {size}", name, values))
  _coding_ratios(report, medians, size)


def _transform_rows(
  report: Report,
  medians: dict[tuple[str, str], float],
  weights: Mapping[str, np.ndarray],
  size: Size,
) -> None:
  """What share of the matrix product's speed the transforms have."""
  peak = timing.MATRIX_PRODUCT_GMACS / medians["matrix product", ""]
  table = f"transforms, {size}"
  report.rows.append(Row(table, "matrix product", {"GFLOP/s": 2 * peak}))
  for name in ("analysis", "synthesis"):
    seconds = medians[name, ""]
    needed = timing.gmacs(weights, name) * size.megapixels
    share = needed / seconds / peak
    values = {
      "GFLOP/s": 2 * needed / seconds,
      "GMAC": needed,
      "ms": 1e3 * seconds,
      "share of product": share,
    }
    report.rows.append(Row(table, name, values))
    if size in (MIDDLE, LARGE):
      title = f"{name} / matrix product, {size}"
      report.ratios.append(Ratio(title, share, AT_LEAST, 0.85))


def _coding_ratios(
  report: Report, medians: dict[tuple[str, str], float], size: Size
) -> None:
  asked = {SMALL: 8.0, MIDDLE: 1.8}.get(size)
  for step in ("compress", "decompress"):
    if asked:
      ratio = medians["plain", step] / medians["bls2017", step]
      title = f"{step}: plain's time / bls2017's, {size}"
      report.ratios.append(Ratio(title, ratio, AT_LEAST, asked))
  if ("avif", "compress") in medians:
    ratio = medians["bls2017", "compress"] / medians["avif", "compress"]
    title = f"compress: bls2017's time / AVIF's, {size}"
    report.ratios.append(Ratio(title, ratio, AT_MOST, 1.0))


def _memory(
  config: benchmark_config.BenchmarkConfig,
  report: Report,
  codecs: list[contenders.Contender],
  size: Size,
) -> None:
  for codec, quality in codecs:
    peaks = probes.call(
      "peak_memory",
      name=codec.name,
      model=config.model,
      quality=quality,
      height=size.height,
      width=size.width,
    )
    values = {f"{k} MiB": peaks[k] for k in ("compress", "decompress")}
    table = f"peak memory of a process, {size}"
    report.rows.append(Row(table, codec.name, values))


def _training(config: benchmark_config.BenchmarkConfig, report: Report) -> None:
  from bls2017.evaluation.benchmark import training

  model = model_directory.load(config.model).config
  rounds = max(3, config.repeats // 2)
  medians = timing.interleaved(training.steps(model), rounds)
  for name, seconds in medians.items():
    values = {"steps/s": 1 / seconds, "ms": 1e3 * seconds}
    report.rows.append(Row("training", name, values))


def _cold(config: benchmark_config.BenchmarkConfig, report: Report) -> None:
  rounds = max(3, config.repeats // 3)
  taken = probes.call("cold_start", model=config.model, rounds=rounds)
  for name, seconds in taken.items():
    report.rows.append(Row("cold start, 128x128", name, {"s": seconds}))
  title = "compress, cold / import tensorflow, 128x128"
  ratio = taken["compress"] / taken["import"]
  report.ratios.append(Ratio(title, ratio, AT_MOST, 1.25))


def _many_files(
  config: benchmark_config.BenchmarkConfig, report: Report
) -> None:
  measured = probes.call(
    "many_files",
    model=config.model,
    quality=config.quality,
    images=config.bulk_images,
    height=MIDDLE.height,
    width=MIDDLE.width,
  )
  table = f"{config.bulk_images} files of {MIDDLE}"
  for step, transform in (
    ("compress", "analysis"),
    ("decompress", "synthesis"),
  ):
    single = measured[f"{transform}_one_core"]
    together = measured[f"{transform}_all_cores"]
    values = {
      "MP/s": measured[step],
      "transform on one core, MP/s": single,
      "on all cores": together,
    }
    report.rows.append(Row(table, step, values))
    title = f"{step}, {table} / {transform} on one core x cores"
    ratio = measured[step] / (single * measured["cores"])
    report.ratios.append(Ratio(title, ratio, AT_LEAST, 0.9))
    # Cores that share units or memory are not as fast together as alone.
    title = f"{step}, {table} / {transform} on all cores at once"
    report.ratios.append(Ratio(title, measured[step] / together, AT_LEAST, 0.9))


def _huge(config: benchmark_config.BenchmarkConfig, report: Report) -> None:
  measured = probes.call(
    "large",
    model=config.model,
    quality=config.quality,
    small=[LARGE.height, LARGE.width],
    side=HUGE_SIDE,
  )
  for step in ("compress", "decompress"):
    values = {
      f"s/MP, {LARGE}": measured[f"small_{step}"],
      "s/MP, 100 MP": measured[f"large_{step}"],
    }
    report.rows.append(Row("100 megapixels", step, values))
    ratio = measured[f"large_{step}"] / measured[f"small_{step}"]
    title = f"{step}: time per MP at 100 MP / at 12 MP"
    report.ratios.append(Ratio(title, ratio, AT_MOST, 1.15))
  gib = measured["peak_mib"] / 1024
  report.ratios.append(Ratio("peak memory at 100 MP, GiB", gib, AT_MOST, 2.0))
