"""All decoders over a folder of photographs: equal symbols, near pixels?

    bls2017 export --output_dir=BASE [--model=MODEL]
    python -m tests.benchmarks.agreement --images='kodak/*.png' --tfjs=DIR \
      --graph=BASE/1 [--model=MODEL]

TensorFlow writes each image at three qualities and reads it again; LiteRT with
the NumPy range coder, the exported graph, and JavaScript in Node and in
headless Chromium are compared with that. DIR is where npm put TensorFlow.js
(export/web/README.md). Prints tables, Chromium's times and downloads among
them, and ends with status 1 if symbols differ, or samples by more than a level.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import glob
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from bls2017 import codec as codec_lib
from bls2017.format import range_coder_tfc
from bls2017.images import reading
from bls2017.model import model_directory
from export.web import web_export
from tests.benchmarks import runtimes
from tests.browser import check_web, devtools
from tests.conformance import conformance_set
from tests.export import model_server
from tests.fuzz import web_decoder

TIMED_PIXELS = 768 * 512
"""Images of so many pixels are timed in Chromium."""

LITERT = "LiteRT and NumPy"
GRAPH = "exported graph"
NODE = "JavaScript in Node"
CHROMIUM = "JavaScript in Chromium"


@dataclasses.dataclass
class Tally:
  """How a decoder compares at a quality.

  Attributes:
    files: That it decoded.
    unequal: Of them, those with a symbol that is another.
    largest: Difference of a sample in levels.
    differing: Samples that differ.
    samples: In all.
  """

  files: int = 0
  unequal: int = 0
  largest: int = 0
  differing: int = 0
  samples: int = 0

  def add(
    self, same_symbols: bool, difference: np.ndarray | None = None
  ) -> None:
    """Adds a file, and how far its samples are from TensorFlow's."""
    self.files += 1
    self.unequal += not same_symbols
    if difference is not None:
      self.largest = max(self.largest, int(difference.max()))
      self.differing += int(np.count_nonzero(difference))
      self.samples += difference.size

  @property
  def is_right(self) -> bool:
    """Whether the symbols are equal, and the pixels within one level."""
    return not self.unequal and self.largest <= 1

  def row(self, decoder: str, quality: float) -> str:
    """A line of the table."""
    largest, share = "-", "-"
    if self.samples:
      largest = str(self.largest)
      share = f"{self.differing / self.samples:.3%}"
    equal = self.files - self.unequal
    return (
      f"| {decoder} | {quality} | {equal} of {self.files} | {largest} |"
      f" {share} |"
    )


@dataclasses.dataclass
class Times:
  """What Chromium took for images of `TIMED_PIXELS`, in milliseconds.

  Attributes:
    first: The first image of a new browser.
    later: Those after it.
    downloads: Bytes fetched for the first one, by the folder of the site.
  """

  first: list[float] = dataclasses.field(default_factory=list)
  later: list[float] = dataclasses.field(default_factory=list)
  downloads: dict[str, int] = dataclasses.field(default_factory=dict)

  def row(self, quality: float) -> str:
    """A line of the table."""
    times = [
      f"{statistics.median(t):.0f}" if t else "-"
      for t in (self.first, self.later)
    ]
    parts = ", ".join(f"{k} {v}" for k, v in sorted(self.downloads.items()))
    total = sum(self.downloads.values())
    return f"| {quality} | {times[0]} | {times[1]} | {total} ({parts}) |"


class Decoders:
  """All decoders of a model; made by `decoders`."""

  def __init__(
    self,
    model: model_directory.FrozenModel,
    graph: model_server.SessionModel,
    node: web_decoder.Decoder,
    site: pathlib.Path,
  ):
    """Takes what needs to be closed."""
    self.reference = codec_lib.Codec(
      model, range_coder_tfc.TfcRangeCoder(), runtime="tensorflow"
    )
    self._litert = codec_lib.Codec(model, runtime="litert")
    self._graph = graph
    self._node = node
    self.site = site
    self.tallies: dict[tuple[str, float], Tally] = {}

  def compare(self, data: bytes, quality: float, page: devtools.Page) -> float:
    """Decodes a file with all decoders; returns Chromium's milliseconds."""
    symbols = self.reference.symbols(data)
    expected = self.reference.decompress(data).astype(int)

    def add(
      decoder: str, same_symbols: bool, pixels: np.ndarray | None = None
    ) -> None:
      tally = self.tallies.setdefault((decoder, quality), Tally())
      difference = None if pixels is None else np.abs(pixels - expected)
      tally.add(same_symbols, difference)

    def same(others: np.ndarray) -> bool:
      return np.array_equal(others, symbols)

    add(LITERT, same(self._litert.symbols(data)), self._litert.decompress(data))
    outputs = self._graph("decompress_image", compressed_bytes=[data])
    add(GRAPH, True, outputs["image"][0])  # Its symbols do not come out.
    digest = conformance_set.digest(symbols.astype(np.int32))
    in_node = self._node.outcome(data) == digest
    add(NODE, in_node)
    (self.site / "data.bls").write_bytes(data)
    result = check_web.decoded(page, "/data.bls")
    # Its symbols are those of the same modules in Node.
    add(CHROMIUM, in_node, result["data"])
    return float(result["milliseconds"])


@contextlib.contextmanager
def decoders(
  model: model_directory.FrozenModel, graph: str, tfjs: str
) -> Iterator[Decoders]:
  """Starts all decoders of a model.

  Args:
    model: The model.
    graph: A version of it that was exported.
    tfjs: Where npm put TensorFlow.js.
  """
  codec = codec_lib.Codec(model, range_coder_tfc.TfcRangeCoder())
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    site = folder / "site"
    web_export.export(model, str(site), tfjs)
    yield Decoders(
      model,
      stack.enter_context(model_server.SessionModel(graph)),
      stack.enter_context(web_decoder.Decoder(codec, str(folder / "node"))),
      site,
    )


def compare_at(
  all_decoders: Decoders, paths: Sequence[str], quality: float
) -> Times:
  """Compares all decoders at a quality, in a browser of its own."""
  times = Times()
  with contextlib.ExitStack() as stack:
    served = devtools.serve(all_decoders.site)
    address, sent = stack.enter_context(served)
    browser = stack.enter_context(devtools.Browser())
    page = browser.page(800, 600)
    page.open(f"{address}/icon.svg")
    sent.clear()
    for number, path in enumerate(paths):
      image = reading.read_rgb(path)
      data = all_decoders.reference.compress(image, quality)
      milliseconds = all_decoders.compare(data, quality, page)
      if image.shape[0] * image.shape[1] == TIMED_PIXELS:
        (times.later if number else times.first).append(milliseconds)
      if not number:
        for name, size in sent.items():
          part = name.split("/")[1]
          if part != "data.bls":
            times.downloads[part] = times.downloads.get(part, 0) + size
  return times


def main() -> int:
  """Runs the comparison; see the module's description."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--images", required=True)
  parser.add_argument("--tfjs", required=True)
  parser.add_argument("--graph", required=True)
  parser.add_argument("--model", default=None)
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  paths = sorted(glob.glob(arguments.images))
  times = {}
  with decoders(model, arguments.graph, arguments.tfjs) as all_decoders:
    for quality in runtimes.three_qualities(model):
      times[quality] = compare_at(all_decoders, paths, quality)
    tallies = all_decoders.tallies
  print(f"Model {model.model_id.hex()}, {len(paths)} images:\n")
  print("| decoder | quality | equal symbols | levels | samples that differ |")
  print("|---|---|---|---|---|")
  for decoder in (LITERT, GRAPH, NODE, CHROMIUM):
    for quality in times:
      print(tallies[decoder, quality].row(decoder, quality))
  print("\nChromium, images of 768x512:\n")
  print("| quality | first, ms | later, median ms | bytes downloaded |")
  print("|---|---|---|---|")
  for quality, taken in times.items():
    print(taken.row(quality))
  return 0 if all(tally.is_right for tally in tallies.values()) else 1


if __name__ == "__main__":
  sys.exit(main())
