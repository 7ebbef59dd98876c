from __future__ import annotations

import csv
import dataclasses
import math

import pytest

from bls2017 import errors
from bls2017.evaluation import results


def _row(**changes) -> results.Row:
  values = {f.name: 0.5 for f in dataclasses.fields(results.Row)}
  values |= {
    "image": "a, \"b\".png", "image_hash": "00ff", "codec": "jpeg",
    "version": "1", "settings": "x=1, y=2", "model_id": "", "width": 3,
    "height": 4, "bytes": 100, "quality": 10.0,
  }  # fmt: skip
  return results.Row(**{**values, **changes})


def _read(path: str) -> dict[results.Key, results.Row]:
  file = results.ResultsFile(path)
  file.close()
  return file.rows


def _write(path: str, *rows: results.Row) -> None:
  file = results.ResultsFile(path)
  for row in rows:
    file.append(row)
  file.close()


def test_rows_come_back(tmp_path) -> None:
  path = str(tmp_path / "results.csv")
  rows = [_row(), _row(quality=1.125), _row(psnr_rgb=math.inf)]
  _write(path, rows[0])
  _write(path, *rows[1:])
  assert _read(path) == {rows[1].key: rows[1], rows[2].key: rows[2]}
  with open(path, newline="") as f:
    assert [r["quality"] for r in csv.DictReader(f)] == ["10", "1.125", "10"]


def test_what_is_not_known_is_empty(tmp_path) -> None:
  path = str(tmp_path / "results.csv")
  _write(path, _row(ms_ssim_y=math.nan))
  with open(path, newline="") as f:
    assert next(csv.DictReader(f))["ms_ssim_y"] == ""
  (row,) = _read(path).values()
  assert math.isnan(row.ms_ssim_y)


def test_a_row_cut_anywhere_does_not_count_and_is_replaced(tmp_path) -> None:
  path = tmp_path / "results.csv"
  first, second = _row(), _row(quality=20.0)
  _write(str(path), first)
  length = path.stat().st_size
  _write(str(path), second)
  whole = path.read_bytes()
  for cut in range(length, len(whole)):
    path.write_bytes(whole[:cut])
    assert list(_read(str(path))) == [first.key]
    assert path.stat().st_size == length
    _write(str(path), second)
    assert path.read_bytes() == whole


def test_a_cut_header_starts_afresh(tmp_path) -> None:
  path = tmp_path / "results.csv"
  _write(str(path), _row())
  whole = path.read_bytes()
  path.write_bytes(whole[:10])
  _write(str(path), _row())
  assert path.read_bytes() == whole


@pytest.mark.parametrize(
  "change",
  [
    {"image_hash": "1"},
    {"version": "2"},
    {"settings": ""},
    {"model_id": "5"},
    {"quality": 11.0},
    {"codec": "webp"},
  ],
)
def test_whatever_a_row_depends_on_is_its_key(change) -> None:
  assert _row(**change).key != _row().key
  assert _row(psnr_rgb=1.0, image="other").key == _row().key


def test_other_files_are_left_alone(tmp_path) -> None:
  path = tmp_path / "results.csv"
  path.write_text("a,b\n1,2\n")
  with pytest.raises(errors.OutputError, match="other columns"):
    results.ResultsFile(str(path))
  assert path.read_text() == "a,b\n1,2\n"
  with pytest.raises(errors.OutputError, match="cannot write"):
    results.ResultsFile(str(tmp_path / "missing" / "results.csv"))
