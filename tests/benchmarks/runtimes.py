"""Both runtimes and the export over a folder of photographs: equal bytes?

    python -m tests.benchmarks.runtimes --images='kodak/*.png' [--model=DIR]

At three qualities, each runtime decodes what the other wrote, and the export
writes and reads the same. Ends with an error at the first difference.
"""

from __future__ import annotations

import argparse
import glob
import tempfile

import numpy as np

from bls2017 import codec
from bls2017.format import container, range_coder_tfc
from bls2017.images import image_io
from bls2017.model import model_directory
from export import export_model
from export.range_coder import range_coder_stock
from tests.export import model_server

CODERS = {
  "tfc": range_coder_tfc.TfcRangeCoder(),
  "stock": range_coder_stock.StockRangeCoder(),
}


def _compare(codecs, served, image: np.ndarray, quality: float) -> int:
  """Checks one image; returns the largest difference of the export's pixels."""
  data = {name: c.compress(image, quality) for name, c in codecs.items()}
  batch = image[None]
  outputs = served("compress_image", image=batch, quality=[quality])
  data["export"] = outputs["compressed_bytes"][0]
  assert len(set(data.values())) == 1, "the bytes differ"
  header = container.unpack_header(data["tfc"])
  tables = codecs["tfc"].model.tables.for_quality(header.quality_index)
  streams = container.unpack_lanes(data["tfc"], header, tables.lane_positions)
  symbols = [
    coder.decode(streams, header.positions, tables) for coder in CODERS.values()
  ]
  np.testing.assert_array_equal(*symbols)
  outputs = served("decompress_image", compressed_bytes=[data["export"]])
  expected = codecs["tfc"].decompress(data["tfc"]).astype(int)
  return int(np.abs(outputs["image"][0] - expected).max())


def three_qualities(model: model_directory.FrozenModel) -> list[float]:
  """The lowest quality of a model, one between two levels, and the highest."""
  top = float(model.config.num_levels)
  return [1.0, float(np.ceil(top / 2)) + 0.5 if top > 2 else 1.5, top]


def main() -> None:
  """Prints a line when all is equal."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--images", required=True)
  parser.add_argument("--model", default=None)
  arguments = parser.parse_args()
  model = model_directory.load(arguments.model)
  codecs = {name: codec.Codec(model, coder) for name, coder in CODERS.items()}
  qualities = three_qualities(model)
  paths = sorted(glob.glob(arguments.images))
  with tempfile.TemporaryDirectory() as directory:
    path = export_model.export(model, directory)
    served = model_server.SessionModel(path)
    largest = 0
    for name in paths:
      image = image_io.read_rgb(name)
      for quality in qualities:
        largest = max(largest, _compare(codecs, served, image, quality))
  print(
    f"{len(paths)} images at qualities {qualities}: bytes and symbols equal,"
    f" the export's pixels within {largest}"
  )


if __name__ == "__main__":
  main()
