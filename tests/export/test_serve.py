"""An export in a process without Python, through TensorFlow's C library."""

from __future__ import annotations

import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import export
from tests.export import library

pytestmark = pytest.mark.cc

SOURCE = pathlib.Path(__file__).with_name("serve.c")
QUALITY = 1.5


@pytest.fixture(scope="module")
def photograph(photographs) -> bytes:
  return library.png(photographs[0])


@pytest.fixture(scope="module")
def answers(base_dir, photograph, tmp_path_factory) -> dict[str, bytes]:
  """What `serve.c` writes: the outputs, by "signature.output"."""
  folder = tmp_path_factory.mktemp("serve")
  (folder / "photo.png").write_bytes(photograph)
  wheel = tf.sysconfig.get_lib()
  build = [
    "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", str(SOURCE),
    "-isystem", tf.sysconfig.get_include(), f"-L{wheel}", f"-Wl,-rpath,{wheel}",
    "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2",
    "-o", "serve",
  ]  # fmt: skip
  subprocess.run(build, cwd=folder, check=True)
  (folder / "outputs").mkdir()
  version = str(base_dir / "1")
  subprocess.run(
    ["./serve", version, "photo.png", str(QUALITY), "outputs"],
    cwd=folder,
    check=True,
  )
  return {p.name: p.read_bytes() for p in (folder / "outputs").iterdir()}


def _numbers(answers, name: str, dtype: type) -> list:
  return np.frombuffer(answers[name], dtype).tolist()


def _outputs(answers, signature: str) -> dict[str, bytes]:
  names = (name.partition(".") for name in answers)
  return {o: answers[f"{s}.{o}"] for s, _, o in names if s == signature}


def _assert_as_in_python(answers, signature: str, expected) -> None:
  assert _outputs(answers, signature) == {
    name: b"".join(array) if array.dtype == object else array.tobytes()
    for name, array in expected.items()
  }


def test_a_broken_item_gets_a_status_and_the_next_request_an_answer(answers):
  statuses = {
    name.partition(".")[0]: _numbers(answers, name, np.int32)
    for name in answers
    if name.endswith(".status")
  }
  assert sorted(statuses) == sorted(export.SIGNATURES)
  assert statuses == {
    "serving_default": [0, 3],
    "compress": [0, 3],
    "info": [0, 4],
    "decompress": [0, 4],
    "decompress_to_jpeg": [0, 4],
    "decompress_image": [0, 4],
    "compress_image": [0, 0],
  }
  message = answers["decompress.message"]
  for signature in ("info", "decompress_to_jpeg", "decompress_image"):
    assert answers[f"{signature}.message"] == message


def test_files_are_those_that_python_makes(answers, session_model, photograph):
  expected = session_model(
    "compress",
    image_bytes=[photograph, photograph[: len(photograph) // 2]],
    quality=[QUALITY] * 2,
  )
  for signature in ("compress", "serving_default"):
    _assert_as_in_python(answers, signature, expected)


def test_images_are_those_that_python_makes(answers, session_model):
  data = answers["compress.compressed_bytes"]
  expected = session_model("decompress", compressed_bytes=[data, data[:-1]])
  _assert_as_in_python(answers, "decompress", expected)


def test_the_library_reads_the_files(answers, codec):
  data = answers["compress.compressed_bytes"]
  x_hat = library.pixels(answers["decompress.image_bytes"])
  assert np.abs(codec.decompress(data) - x_hat).max() <= 1


def test_info_states_what_the_library_states(answers, codec):
  info = codec.info(answers["compress.compressed_bytes"])
  for name, dtype in [
    ("height", np.int32),
    ("width", np.int32),
    ("quality", np.float32),
    ("bpp", np.float32),
  ]:
    found = _numbers(answers, f"info.{name}", dtype)
    assert found == [dtype(getattr(info, name)), 0]
  assert answers["info.model_id"].decode() == info.model_id


def test_pixels_and_both_kinds_of_files_are_one_image(answers, session_model):
  png = answers["decompress.image_bytes"]
  x_hat = library.pixels(png).astype(np.uint8)
  pixels = answers["decompress_image.image"]
  assert pixels == x_hat.tobytes() + bytes(x_hat.size)
  jpeg = tf.io.encode_jpeg(x_hat, quality=90).numpy()
  assert answers["decompress_to_jpeg.image_bytes"] == jpeg
  black = library.png(np.zeros_like(x_hat))
  again = session_model(
    "compress", image_bytes=[png, black], quality=[QUALITY] * 2
  )
  _assert_as_in_python(answers, "compress_image", again)
