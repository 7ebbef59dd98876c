"""What bad input and faults lead to, for the commands: the whole matrix."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container
from bls2017.model import model_directory
from tests import commands, images

X = images.photograph(37, 50)


def _bad_files(data: bytes) -> dict[str, tuple[bytes, int, str]]:
  """Files by name, with the exit code and a word of the message."""

  def forged(start: int, content: bytes) -> bytes:
    changed = data[:start] + content + data[start + len(content) :]
    return sealed(changed[:18], changed[26:])

  def sealed(fields: bytes, body: bytes) -> bytes:
    return fields + container.checksum(fields + body) + body

  return {
    "empty": (b"", 4, "empty"),
    "magic": (b"\x89PNG" + data[4:], 4, "magic"),
    "version": (data[:4] + b"\x63" + data[5:], 4, "version 99"),
    "header": (data[:20], 4, "cut off"),
    "cut": (data[:-1], 4, "checksum"),
    "height": (forged(6, b"\0\0"), 4, "pixels"),
    "quality": (forged(5, b"\7"), 4, "quality"),
    "lacking": (forged(5, b"\xc8"), 4, "lacks"),
    "foreign": (forged(10, b"12345678"), 4, "model"),
    "limit": (forged(6, b"\xff" * 4), 5, "limit"),
    "largest": (forged(6, b"\xff\xff\0\4"), 4, "cannot have 1 lanes"),
    "payload": (forged(len(data) - 8, bytes(8)), 4, "payload"),
    "trailing": (sealed(data[:18], data[26:] + b"\0"), 4, "payload"),
  }


@pytest.fixture(scope="module")
def model_flag(golden_model_dir) -> str:
  return f"--model={golden_model_dir}"


def test_a_bad_file_is_one_line_an_exit_code_and_no_output(
  tmp_path, codec, model_flag
):
  bad = _bad_files(codec.compress(X, 1.5))
  lines = []
  for name, (data, _, _) in bad.items():
    path = tmp_path / f"{name}.bls"
    path.write_bytes(data)
    lines.append(["decompress", str(path), model_flag])
  for done in commands.run_several(lines):
    name = done.args[1].rpartition("/")[2].removesuffix(".bls")
    _, exit_code, says = bad[name]
    assert says in commands.assert_fails(done, exit_code), name
  assert {p.suffix for p in tmp_path.iterdir()} == {".bls"}


def test_what_is_no_usable_image_is_one_line_and_no_output(
  tmp_path, model_flag
):
  frames = [Image.fromarray(X), Image.fromarray(255 - X)]
  for kind in ("gif", "png"):
    frames[0].save(
      tmp_path / f"moving.{kind}", save_all=True, append_images=frames[1:]
    )
  for kind in ("png", "jpg"):
    buffer = io.BytesIO()
    frames[0].save(buffer, {"png": "PNG", "jpg": "JPEG"}[kind])
    whole = buffer.getvalue()
    (tmp_path / f"cut.{kind}").write_bytes(whole[: len(whole) // 2])
  bomb = struct.pack(">II", 20000, 20000)
  buffer = io.BytesIO()
  frames[0].save(buffer, "PNG")
  whole = buffer.getvalue()
  (tmp_path / "bomb.png").write_bytes(whole[:16] + bomb + whole[24:])
  lines = [
    ["compress", str(path), model_flag, "--quality=1"]
    for path in sorted(tmp_path.iterdir())
  ]
  for done in commands.run_several(lines):
    commands.assert_fails(done, 3)
    assert not (tmp_path / f"{done.args[1]}.bls").exists()


def test_outputs_that_cannot_be_written_exit_with_6(
  tmp_path, codec, model_flag
):
  photo, packed = tmp_path / "photo.png", tmp_path / "x.bls"
  Image.fromarray(X).save(photo)
  packed.write_bytes(codec.compress(X, 1))
  (tmp_path / "full").symlink_to("/dev/full")
  before = sorted(p.name for p in tmp_path.iterdir())
  inside_a_file = f"{photo}/x"
  for done in commands.run_several(
    [
      ["compress", str(photo), inside_a_file, model_flag],
      ["decompress", str(packed), inside_a_file, model_flag],
      ["compress", str(photo), str(tmp_path), model_flag, "--overwrite"],
      ["compress", str(photo), "/proc/x.bls", model_flag, "--quality=1"],
      ["decompress", str(packed), "/proc/x.png", model_flag],
    ]
  ):
    commands.assert_fails(done, 6)
  for same in (["compress", str(photo)], ["decompress", str(packed)]):
    done = commands.run(*same, same[1], "--overwrite", model_flag)
    commands.assert_fails(done, 2)
  assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["decompress", "info"])
def test_a_full_standard_output_exits_with_6(
  tmp_path, codec, model_flag, command
):
  path = tmp_path / "x.bls"
  path.write_bytes(codec.compress(X, 1))
  arguments = [str(path)] if command == "info" else [str(path), "-"]
  with open("/dev/full", "wb") as full:
    done = subprocess.run(
      [sys.executable, "-m", "bls2017.commands.main", command, *arguments,
       model_flag],
      stdout=full, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
  assert done.returncode == 6
  assert done.stderr.startswith(b"bls2017: "), done.stderr
  assert done.stderr.count(b"\n") == 1, done.stderr


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, model_flag):
  photo, output = tmp_path / "photo.png", tmp_path / "x.bls"
  Image.fromarray(images.photograph(200, 200)).save(photo)
  output.write_bytes(b"old")
  with _no_file_beyond_100_bytes():
    done = commands.run(
      "compress", str(photo), str(output), "--overwrite", "--quality=2",
      model_flag,
    )  # fmt: skip
  commands.assert_fails(done, 6)
  assert output.read_bytes() == b"old"
  assert len(list(tmp_path.iterdir())) == 2


@contextlib.contextmanager
def _no_file_beyond_100_bytes() -> Iterator[None]:
  """A limit that commands inherit; a fork among gRPC's threads may fail."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_same_tables_but_other_synthesis_weights_are_another_model(codec):
  model = codec.model
  weights = dict(model.weights)
  name = "synthesis/2/bias"
  weights[name] = np.nextafter(weights[name], np.float32(1e9))
  pairs = (model_directory.TransformPair(weights, model.pairs[0].graphs),)
  other = codec_lib.Codec(
    dataclasses.replace(
      model,
      pairs=pairs,
      model_id=model_directory.model_id(pairs, model.tables),
    )
  )
  data = codec.compress(X, 1.5)
  assert other.compress(X, 1.5)[26:] == data[26:]
  with pytest.raises(errors.ForeignModelError) as e:
    other.decompress(data)
  for each in (model, other.model):
    assert each.model_id.hex() in str(e.value)
