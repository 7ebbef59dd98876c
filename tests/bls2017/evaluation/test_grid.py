from __future__ import annotations

import csv
import dataclasses
import math
import pathlib
import shutil
from concurrent import futures

import pytest
from PIL import Image

from bls2017 import errors
from bls2017.evaluation import grid, image_codecs, measurement, rate_distortion
from tests import images


def _save(path: pathlib.Path, seed: int, size=(40, 48)) -> str:
  Image.fromarray(images.photograph(*size, seed)).save(path)
  return str(path)


def _evaluate(paths, codecs, output_dir) -> tuple[grid.Measurements, int]:
  """What was measured, and how much of it just now."""
  told = []
  with futures.ThreadPoolExecutor(1) as pool:
    measured = grid.evaluate(
      paths, codecs, str(output_dir), pool, lambda *work: told.append(work)
    )
  stretch, done, total = told[-1]
  assert stretch == "measuring"
  assert done == total
  return measured, total


@pytest.fixture(scope="module")
def codecs() -> tuple[image_codecs.ImageCodec, ...]:
  return grid.choose_codecs(["jpeg"], [], {"jpeg": (60.0, 20.0)})


def test_only_what_is_missing_is_measured(tmp_path, codecs) -> None:
  paths = [_save(tmp_path / f"{i}.png", i) for i in range(2)]
  first, count = _evaluate(paths, codecs, tmp_path)
  assert count == 4
  # Another image, and the first one under another name.
  paths.append(_save(tmp_path / "2.png", 2))
  paths[0] = shutil.copy(paths[0], tmp_path / "renamed.png")
  second, count = _evaluate(paths, codecs, tmp_path)
  assert count == 2
  assert second.rows.items() >= first.rows.items()
  # Other pixels under the same name.
  _save(tmp_path / "2.png", 3)
  assert _evaluate(paths, codecs, tmp_path)[1] == 2


def test_copies_of_an_image_count_once(tmp_path, codecs) -> None:
  paths = [_save(tmp_path / name, 0) for name in ("a.png", "b.bmp")]
  measured, count = _evaluate(paths, codecs, tmp_path)
  assert [image.name for image in measured.images] == ["a.png"]
  assert count == 2


def test_what_a_codec_refuses_stops_nothing(tmp_path) -> None:
  @dataclasses.dataclass(frozen=True)
  class Picky(image_codecs.ImageCodec):
    def encode(self, x, quality):
      if x.shape[0] == 33:
        raise OSError("no such\nheight")
      return super().encode(x, quality)

  jpeg = image_codecs.REGISTRY["jpeg"]
  fields = {f.name: getattr(jpeg, f.name) for f in dataclasses.fields(jpeg)}
  picky = Picky(**{**fields, "qualities": (20.0, 60.0)})
  paths = [
    _save(tmp_path / "a.png", 0),
    _save(tmp_path / "b.png", 0, (33, 40)),
  ]
  measured, _ = _evaluate(paths, (picky,), tmp_path)
  assert len(measured.rows) == 2
  assert [f.reason for f in measured.failures] == ["no such height"] * 2
  assert measured.failures[0].what == "b.png, jpeg, quality 20"
  # A mean over some of the images would be compared with one over all.
  assert rate_distortion.measured_curves(measured)[0].points == ()
  of_one = rate_distortion.measured_curves(measured, measured.images[0])
  assert [point.quality for point in of_one[0].points] == [20, 60]


def test_no_readable_image_is_an_error(tmp_path, codecs) -> None:
  (tmp_path / "x.png").write_bytes(b"x")
  with pytest.raises(errors.UnreadableInputError, match="no image"):
    _evaluate([str(tmp_path / "x.png")], codecs, tmp_path)


def test_what_is_not_known_is_empty(tmp_path, codecs) -> None:
  measured, _ = _evaluate([_save(tmp_path / "a, b.png", 0)], codecs, tmp_path)
  with open(tmp_path / "results.csv", newline="") as f:
    rows = list(csv.DictReader(f))
  assert [row["quality"] for row in rows] == ["20", "60"]
  assert rows[0]["image"] == "a, b.png"
  assert rows[0]["ms_ssim_y"] == ""
  assert all(math.isnan(row.ms_ssim_y) for row in measured.rows.values())


def test_a_row_cut_anywhere_is_measured_again(tmp_path, codecs) -> None:
  paths = [_save(tmp_path / "a.png", 0)]
  first, _ = _evaluate(paths, codecs, tmp_path)
  path = tmp_path / "results.csv"
  *kept, last = path.read_bytes().splitlines(keepends=True)
  for cut in range(0, len(last), 20):
    path.write_bytes(b"".join(kept) + last[:cut])
    measured, count = _evaluate(paths, codecs, tmp_path)
    assert count == 1
    assert measured.rows.keys() == first.rows.keys()
    assert path.read_bytes().startswith(b"".join(kept))
  path.write_bytes(kept[0][:10])
  assert _evaluate(paths, codecs, tmp_path)[1] == 2


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "{header}\n1,2\n"])
def test_other_files_are_left_alone(tmp_path, codecs, text) -> None:
  path = tmp_path / "results.csv"
  path.write_text(text.format(header=",".join(measurement.Row._fields)))
  before = path.read_bytes()
  with pytest.raises(errors.OutputError, match="not a file of this program"):
    _evaluate([_save(tmp_path / "a.png", 0)], codecs, tmp_path)
  assert path.read_bytes() == before


def test_all_installed_codecs_are_compared_by_default(golden_model_dir) -> None:
  codecs = grid.choose_codecs(models=[golden_model_dir])
  assert [codec.name for codec in codecs] == list(image_codecs.DEFAULT)


def test_models_are_told_apart(tmp_path, golden_model_dir, packaged) -> None:
  copies = [str(tmp_path / name) for name in ("x/m", "y/m", "n")]
  for copy in copies:
    shutil.copytree(golden_model_dir, copy)

  def labels(*models: str) -> list[str]:
    return [c.label for c in grid.choose_codecs(["bls2017"], models)]

  assert labels(copies[0]) == ["bls2017"]
  assert labels(*copies[1:]) == ["bls2017 m", "bls2017 n"]
  assert labels(*copies[:2]) == [f"bls2017 {copy}" for copy in copies[:2]]
  one = str(packaged / "one")
  assert labels("two", one, one) == ["bls2017 two", "bls2017 one"]


@pytest.mark.parametrize(
  ("names", "qualities", "message"),
  [
    (["gif"], {}, "no codec 'gif'"),
    (["jpeg"], {"jpeg": (500.0,)}, "from 1 to 95"),
    (["jpeg"], {"webp": (5.0,)}, "not compared"),
  ],
)
def test_wishes_that_cannot_be_met(names, qualities, message) -> None:
  with pytest.raises(errors.UsageError, match=message):
    grid.choose_codecs(names, [], qualities)


def test_rivals_get_no_smaller_a_rate(tmp_path, golden_model_dir) -> None:
  path = _save(tmp_path / "a.png", 0, (64, 96))
  codecs = grid.choose_codecs(["jpeg", "bls2017", "webp"], [golden_model_dir])
  image = measurement.inspect(path)
  matches = measurement.match(image, 0.5, codecs)
  assert list(matches) == ["bls2017", "JPEG 4:2:0", "WebP"]
  least = matches["bls2017"].row.bpp
  for match in matches.values():
    assert match.row.bpp >= least
    assert 8 * len(match.data) / (64 * 96) == match.row.bpp
    assert match.row.psnr_rgb > 15
