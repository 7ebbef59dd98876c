from __future__ import annotations

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from bls2017 import errors
from bls2017.evaluation import (
  grid,
  image_codecs,
  measurement,
  rate_distortion,
  results,
  summary,
)
from tests import images


class InProcess(grid.WorkerProcesses):
  """Does the work here, one task after the other, and counts it."""

  def __init__(self) -> None:
    super().__init__(1)
    self.tasks: list = []

  def run(self, function, tasks):
    for task in tasks:
      self.tasks.append(task)
      yield task, function(task)


class NotedProgress:
  """Notes the stretches of work."""

  def __init__(self) -> None:
    self.started: list[tuple[str, int, int]] = []

  def on_start(self, what: str, total: int, done: int) -> None:
    self.started.append((what, total, done))

  def on_done(self) -> None:
    pass


def _save(path: pathlib.Path, seed: int, size=(40, 48)) -> str:
  Image.fromarray(images.photograph(*size, seed)).save(path)
  return str(path)


def _evaluate(paths, plans, output_dir):
  workers, progress = InProcess(), NotedProgress()
  measured = grid.evaluate(paths, plans, str(output_dir), workers, progress)
  return measured, workers, progress


PLANS = {"jpeg": (20.0, 60.0)}


@pytest.fixture
def plans():
  return grid.plan_codecs(["jpeg"], [], PLANS)


def test_only_what_is_missing_is_measured(tmp_path, plans) -> None:
  paths = [_save(tmp_path / f"{i}.png", i) for i in range(2)]
  first, _, progress = _evaluate(paths, plans, tmp_path)
  assert progress.started[-1] == ("measuring", 4, 0)
  # Another image, and the first one under another name.
  paths.append(_save(tmp_path / "2.png", 2))
  paths[0] = shutil.copy(paths[0], tmp_path / "renamed.png")
  second, workers, progress = _evaluate(paths, plans, tmp_path)
  assert progress.started[-1] == ("measuring", 6, 4)
  jobs = [t for t in workers.tasks if isinstance(t, measurement.MeasureTask)]
  assert {job.image.name for job in jobs} == {"2.png"}
  again = second.rows["JPEG 4:2:0"]
  for place, row in first.rows["JPEG 4:2:0"].items():
    assert str(again[place]) == str(row)


def test_changed_pixels_are_measured_again(tmp_path, plans) -> None:
  paths = [_save(tmp_path / "a.png", 0)]
  _evaluate(paths, plans, tmp_path)
  _save(tmp_path / "a.png", 1)
  _, _, progress = _evaluate(paths, plans, tmp_path)
  assert progress.started[-1] == ("measuring", 2, 0)


def test_copies_of_an_image_count_once(tmp_path, plans) -> None:
  paths = [_save(tmp_path / f"{name}.png", 0) for name in "ab"]
  measured, _, _ = _evaluate(paths, plans, tmp_path)
  assert [image.name for image in measured.images] == ["a.png"]
  (failure,) = measured.failures
  assert failure.what == paths[1]
  assert "a.png" in failure.reason


def test_what_a_codec_refuses_stops_nothing(
  tmp_path, plans, monkeypatch
) -> None:
  encode = image_codecs.Jpeg.encode

  def picky(self, x, quality):
    if x.shape[0] == 33:
      raise OSError("no such\nheight")
    return encode(self, x, quality)

  monkeypatch.setattr(image_codecs.Jpeg, "encode", picky)
  paths = [
    _save(tmp_path / "a.png", 0),
    _save(tmp_path / "b.png", 0, (33, 40)),
  ]
  measured, _, _ = _evaluate(paths, plans, tmp_path)
  assert len(measured.rows["JPEG 4:2:0"]) == 2
  assert [f.reason for f in measured.failures] == ["no such height"] * 2
  assert measured.failures[0].what == "b.png, jpeg, quality 20"
  # A mean over some of the images would be compared with one over all.
  assert measured.curves()[0].points == ()


def test_no_readable_image_is_an_error(tmp_path, plans) -> None:
  broken = tmp_path / "x.png"
  broken.write_bytes(b"x")
  with pytest.raises(errors.UnreadableInputError, match="no image"):
    _evaluate([str(broken)], plans, tmp_path)
  with pytest.raises(errors.UnreadableInputError, match="matches"):
    grid.find_images(str(tmp_path / "*.gif"))


def test_pixels_not_bytes_identify_an_image(tmp_path) -> None:
  png, bmp = (_save(tmp_path / f"a.{kind}", 0) for kind in ("png", "bmp"))
  assert measurement.inspect(png).hash == measurement.inspect(bmp).hash
  wide, tall = tmp_path / "w.png", tmp_path / "t.png"
  Image.fromarray(np.zeros((2, 8, 3), np.uint8)).save(wide)
  Image.fromarray(np.zeros((8, 2, 3), np.uint8)).save(tall)
  hashes = [measurement.inspect(str(p)).hash for p in (wide, tall)]
  assert hashes[0] != hashes[1]


def test_all_installed_codecs_are_planned_by_default(golden_model_dir) -> None:
  plans = grid.plan_codecs(None, [golden_model_dir], {})
  names = [plan.spec.name for plan in plans]
  assert names[:4] == ["bls2017", "jpeg", "jpeg444", "jpeg2000"]
  assert all(image_codecs.REGISTRY[name].is_available() for name in names)


def test_models_are_told_apart(tmp_path, golden_model_dir) -> None:
  copies = [tmp_path / "x" / "m", tmp_path / "y" / "m", tmp_path / "n"]
  for copy in copies:
    shutil.copytree(golden_model_dir, copy)
  plans = grid.plan_codecs(["bls2017"], [str(c) for c in copies], {})
  labels = [plan.codec.label for plan in plans]
  assert labels == [f"bls2017 {copies[0]}", f"bls2017 {copies[1]}", "bls2017 n"]


def test_packaged_models_are_called_by_their_names(packaged) -> None:
  plans = grid.plan_codecs(["bls2017"], ["newer", str(packaged / "older")], {})
  labels = [plan.codec.label for plan in plans]
  assert labels == ["bls2017 newer", "bls2017 older"]
  assert plans[0].spec.model == str(packaged / "newer")


def test_published_curves_stand_beside_the_whole_kodak_set_only() -> None:
  plans = grid.plan_codecs(["jpeg_standard_tables"], [], {})
  (plan,) = plans
  published = rate_distortion.published_curves()
  dense = next(c for c in published if c.codec["name"] == plan.spec.name)
  chosen = dense.points[20 : 20 + len(plan.qualities)]
  hashes = sorted(rate_distortion.kodak_hashes())

  def row(point: rate_distortion.Point) -> results.Row:
    fields = results.Row.__dataclass_fields__
    values = dict.fromkeys(fields, 0.5) | {
      key: point.values[key] + 0.1 for key in ("psnr_rgb", "psnr_y")
    }
    return results.Row(**{**values, "bpp": point.values["bpp"]})

  rows = {
    (h, q): row(point)
    for h in hashes
    for q, point in zip(plan.qualities, chosen)
  }
  kodak = tuple(
    measurement.ImageFile(f"{h}.png", f"{h}.png", 768, 512, h) for h in hashes
  )

  def summarize(shown):
    return summary.summarize(
      grid.Measurements(shown, plans, {plan.codec.label: rows}, ())
    )

  whole = summarize(kodak)
  assert [c.codec["name"] for c in whole.curves if c.published] == [
    "balle2017_mse", "balle2017_ms_ssim",
  ]  # fmt: skip
  assert [c["largest_db"] for c in whole.checks] == pytest.approx([0.1, 0.1])
  part = summarize(kodak[1:])
  assert not part.checks
  assert not [c for c in part.curves if c.published]
  assert "23 of the 23" in part.note
