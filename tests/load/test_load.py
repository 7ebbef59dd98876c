"""The short form of the load test."""

from __future__ import annotations

from bls2017.model import model_directory
from export import export_model
from tests.load import serving


def test_a_server_under_load_answers_right_and_keeps_its_memory(tmp_path):
  path = export_model.export(
    model_directory.load(str(serving.MODEL)),
    str(tmp_path),
    max_pixels=serving.MAX_PIXELS,
  )
  clean, mixed, drift = serving.run(path, 2, 2.0, lambda line: None)
  assert not clean.wrong + mixed.wrong
  assert len(clean.seconds) > serving.CLIENTS
  assert mixed.hostile > 0
  # Only a leak grows so fast; the long form measures a few percent.
  assert drift < 0.5
