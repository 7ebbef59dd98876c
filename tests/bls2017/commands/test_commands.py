"""The coding commands, as a user runs them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.commands import main
from bls2017.images import image_io, metadata
from bls2017.model import model_directory
from bls2017.training import freezing
from tests import commands, images

X = images.photograph(37, 50)
GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
ORIENTATION, MAKER = 0x0112, 0x010F


@pytest.fixture
def photo(tmp_path):
  path = tmp_path / "photo.png"
  Image.fromarray(X).save(path)
  return path


@pytest.fixture
def model_flag(golden_model_dir):
  return f"--model={golden_model_dir}"


def test_a_photograph_becomes_small_and_a_photograph_again(
  photo, tmp_path, model_flag, codec
):
  done = commands.run("compress", str(photo), "--quality=1.5", model_flag)
  assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
  small = tmp_path / "photo.png.bls"
  assert small.read_bytes() == codec.compress(X, 1.5)

  output = str(tmp_path / "back.tiff")
  done = commands.run("decompress", str(small), output, model_flag)
  assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
  x_hat = image_io.read_rgb(output)
  np.testing.assert_array_equal(x_hat, codec.decompress(small.read_bytes()))

  done = commands.run("info", "--json", str(small), model_flag)
  values = json.loads(done.stdout)
  assert (values["height"], values["width"]) == X.shape[:2]
  assert values["quality"] == 1.5
  assert values["model_id"] == codec.model.model_id.hex()
  size = small.stat().st_size
  assert values["bpp"] == pytest.approx(8 * size / (37 * 50))
  assert values["header_bytes"] + values["payload_bytes"] == size
  assert values["lanes"] >= 1
  assert values["version"] == 2


def test_standard_streams_work_as_a_pipe(photo, model_flag, codec):
  done = commands.run(
    "compress", "-", "--quality=2", model_flag, input=photo.read_bytes()
  )
  assert done.stdout == codec.compress(X, 2)
  back = commands.run("decompress", "-", "-", model_flag, input=done.stdout)
  np.testing.assert_array_equal(
    image_io.read_rgb(back.stdout), codec.decompress(done.stdout)
  )


def test_verbose_says_what_was_done(photo, model_flag):
  done = commands.run(
    "compress", str(photo), "--quality=1", "--verbose", model_flag
  )
  assert done.returncode == 0
  for word in ("50 x 37", "bytes", "bpp", "PSNR"):
    assert word in done.stderr.decode()
  # The image is too small for MS-SSIM.
  assert "nan" not in done.stderr.decode()


def test_verbose_counts_clipped_latents(photo, tmp_path, codec):
  tables = codec.model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * np.float32(100))
  model = dataclasses.replace(
    codec.model,
    tables=louder,
    model_id=model_directory.model_id(codec.model.pairs, louder, 2),
  )
  freezing.save(model, str(tmp_path / "louder"))
  done = commands.run(
    "compress", str(photo), "--quality=2", "--verbose",
    f"--model={tmp_path / 'louder'}",
  )  # fmt: skip
  assert done.returncode == 0
  clipped = codec_lib.Codec(model).encode(X, 2).clipped
  assert clipped > 0
  assert f", {clipped} latents clipped" in done.stderr.decode()


def test_a_size_is_kept_or_refused(photo, tmp_path, model_flag):
  output = tmp_path / "x.bls"
  for flag in ("--max_bytes=400", "--target_bpp=1.7"):
    done = commands.run(
      "compress", str(photo), str(output), flag, model_flag, "--overwrite"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert output.stat().st_size <= 400
  output.unlink()
  done = commands.run(
    "compress", str(photo), str(output), "--max_bytes=30", model_flag
  )
  assert "smallest" in commands.assert_fails(done, 5)
  assert not output.exists()


def test_effort_and_regions_make_files_that_decode(
  photo, tmp_path, model_flag, codec
):
  mask = tmp_path / "mask.png"
  Image.fromarray(np.eye(37, 50, dtype=np.uint8) * 255).save(mask)
  done = commands.run(
    "compress", str(photo), "--effort=4", f"--roi={mask}", "--quality=1",
    model_flag,
  )  # fmt: skip
  assert (done.returncode, done.stdout) == (0, b"")
  data = (tmp_path / "photo.png.bls").read_bytes()
  assert codec.decompress(data).shape == X.shape
  other = tmp_path / "other.png"
  Image.fromarray(X[:-1]).save(other)
  done = commands.run(
    "compress", str(photo), f"--roi={other}", "--quality=1", "--overwrite",
    model_flag,
  )  # fmt: skip
  assert "region of interest" in commands.assert_fails(done, 2)


def test_one_bad_input_of_several_does_not_stop_the_others(
  photo, tmp_path, model_flag
):
  broken = tmp_path / "broken.png"
  broken.write_bytes(photo.read_bytes()[:100])
  output = tmp_path / "out"
  done = commands.run(
    "compress", str(broken), str(photo), f"--output_dir={output}",
    "--quality=1", model_flag,
  )  # fmt: skip
  assert (done.returncode, done.stdout) == (3, b"")
  failure, summary = done.stderr.decode().splitlines()
  assert "broken.png" in failure
  assert "1 of 2 files coded" in summary and "1 failed" in summary
  assert [p.name for p in output.iterdir()] == ["photo.png.bls"]
  back = tmp_path / "back"
  done = commands.run(
    "decompress", str(output / "photo.png.bls"), f"--output_dir={back}",
    model_flag,
  )  # fmt: skip
  assert done.returncode == 0
  assert [p.name for p in back.iterdir()] == ["photo.png"]


def _usage_errors(photo):
  return [
    (["compress"], "input"),
    (["compress", str(photo), "--qualty=3"], "qualty"),
    (["compress", str(photo), "--quality=high"], "quality"),
    (["compress", str(photo), str(photo), "--overwrite"], "input and output"),
    (["compress", "a", "b", "c"], "--output_dir"),
    (
      ["compress", str(photo), "--quality=1", "--max_bytes=9"],
      "--quality and --max_bytes contradict",
    ),
    (["compress", str(photo), "--metric=ms_ssim", "--target_psnr=30"], "mse"),
    (["compress", str(photo), "--metric=ms_ssim", f"--roi={photo}"], "mse"),
    (["decompress", "a.bls", "--region=1,2,3"], "X,Y,W,H"),
    (["decompress", "a.bls", "--region=-1,2,3,4"], "X,Y,W,H"),
    (["decompress", "a.bls", "--region=1,2,0,4"], "X,Y,W,H"),
    (["decompress", "a.bls", "--reduce=3"], "reduce"),
    (["decompress", "a.bls", "--region=0,0,1,1", "--output_dir=y"], "one file"),
    (["compress", str(photo), "--effort=10"], "effort"),
    (["compress", str(photo), "--max_bytes=9x"], "bytes"),
    (["compress", str(photo), "--target_bpp=0"], "positive"),
    (["compress", str(photo), "--quality=13"], "between 1 and 12"),
    (["compress", str(photo), "-o", "x.bls", "--output_dir=y"], "--output"),
    (["decompress", "a.bls", "a.png", "--output_quality=90"], "no quality"),
    (["decompress", "a.bls", "a.jpg", "--output_quality=0"], "1 to 100"),
    (["decompress", "a.bls", "a.xyz"], "xyz"),
    (["info"], "one file"),
    (["explode"], "explode"),
    (["freeze"], "--train_dir"),
    (["train"], "--train_dir"),
  ]


@pytest.mark.parametrize("case", range(25))
def test_usage_errors_exit_with_2(photo, case):
  arguments, says = _usage_errors(photo)[case]
  done = commands.run(*arguments)
  assert says in commands.assert_fails(done, errors.UsageError.exit_code)


@pytest.mark.parametrize("overwrite", ["--overwrite", "--nooverwrite"])
def test_a_photograph_is_no_output(photo, tmp_path, overwrite):
  other = tmp_path / "other.png"
  Image.fromarray(X).save(other)
  unnamed = tmp_path / "unnamed"
  unnamed.write_bytes(other.read_bytes())
  for output in (other, unnamed, tmp_path / "new.jpg"):
    done = commands.run("compress", str(photo), str(output), overwrite)
    assert "image" in commands.assert_fails(done, 2)
  assert unnamed.read_bytes() == other.read_bytes()
  assert not (tmp_path / "new.jpg").exists()


def test_short_flags_sizes_and_what_a_quality_becomes(
  photo, tmp_path, model_flag, codec
):
  output = tmp_path / "x.bls"
  done = commands.run(
    "compress", "-q", "1.3", str(photo), "-o", str(output), model_flag
  )
  assert (done.returncode, done.stdout) == (0, b"")
  assert done.stderr == b"quality 1.3 becomes 1.25, the nearest step\n"
  assert output.read_bytes() == codec.compress(X, 1.25)
  done = commands.run(
    "compress", str(photo), "--max_bytes=0.12k", "-o", str(output),
    "--overwrite", model_flag,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert 60 < output.stat().st_size <= 120


def test_jpeg_and_webp_lose_nothing_or_say_so(tmp_path, model_flag, codec):
  small = tmp_path / "x.bls"
  small.write_bytes(codec.compress(X, 2))
  x_hat = codec.decompress(small.read_bytes())
  decompress = ("decompress", str(small), model_flag)
  done = commands.run(*decompress, "-o", str(tmp_path / "x.webp"))
  assert (done.returncode, done.stderr) == (0, b"")
  read = image_io.read_rgb(str(tmp_path / "x.webp"))
  np.testing.assert_array_equal(read, x_hat)
  done = commands.run(*decompress, str(tmp_path / "x.jpg"))
  assert done.stderr.count(b"\n") == 1 and b"JPEG" in done.stderr
  done = commands.run(
    *decompress, str(tmp_path / "y.jpg"), "--output_quality=30"
  )
  assert (done.returncode, done.stderr) == (0, b"")
  sizes = [(tmp_path / name).stat().st_size for name in ("y.jpg", "x.jpg")]
  assert sizes[0] < sizes[1] / 2


def test_parts_and_previews_are_those_of_the_whole_image(
  photo, tmp_path, model_flag, codec
):
  small = tmp_path / "photo.png.bls"
  small.write_bytes(codec.compress(X, 2))
  whole = codec.decompress(small.read_bytes())
  decompress = ("decompress", str(small), model_flag)
  lines = [
    [*decompress, str(tmp_path / "part.png"), "--region=21,3,29,34"],
    [*decompress, str(tmp_path / "half.png"), "--reduce=2"],
    [*decompress, str(tmp_path / "both.png"), "--region=21,3,29,34",
     "--reduce=4"],
    [*decompress, str(tmp_path / "beyond.png"), "--region=21,3,30,34"],
  ]  # fmt: skip
  *done, beyond = commands.run_several(lines)
  assert [(d.returncode, d.stderr) for d in done] == 3 * [(0, b"")]
  part = image_io.read_rgb(str(tmp_path / "part.png"))
  np.testing.assert_array_equal(part, whole[3:37, 21:50])
  for name, options in (
    ("half", {"reduce": 2}),
    ("both", {"reduce": 4, "region": (21, 3, 29, 34)}),
  ):
    np.testing.assert_array_equal(
      image_io.read_rgb(str(tmp_path / f"{name}.png")),
      codec.decompress(small.read_bytes(), **options),
    )
  message = commands.assert_fails(beyond, 2)
  assert str(small) in message and "50 x 37" in message
  assert not (tmp_path / "beyond.png").exists()


def test_a_folder_of_previews_is_done_once_for_each_size(
  tmp_path, model_flag, codec
):
  (tmp_path / "in").mkdir()
  for name in "ab":
    (tmp_path / "in" / f"{name}.bls").write_bytes(codec.compress(X, 1))
  line = ["decompress", str(tmp_path / "in"), model_flag]
  line.append(f"--output_dir={tmp_path / 'out'}")
  first, again, other = (
    commands.run(*line, f"--reduce={factor}") for factor in (4, 4, 2)
  )
  assert first.returncode == again.returncode == 0
  with Image.open(tmp_path / "out" / "b.png") as image:
    assert image.size == (13, 10)
  assert b"2 skipped" in again.stderr
  assert other.returncode == 6 and b"not 25 x 19" in other.stderr


def test_metadata_is_kept_until_it_is_stripped(tmp_path, newest_codec):
  model_flag = f"--model={GOLDEN / 'v3' / 'model'}"
  tags = Image.Exif()
  tags[ORIENTATION], tags[MAKER] = 6, "Maker"
  photo, small = tmp_path / "x.jpg", tmp_path / "x.jpg.bls"
  Image.fromarray(X).save(photo, exif=tags, xmp=b"<x:xmpmeta/>")
  done = commands.run("compress", str(photo), "-q", "1", model_flag)
  assert (done.returncode, done.stderr) == (0, b"")
  assert newest_codec.about(small.read_bytes()).xmp == b"<x:xmpmeta/>"
  done = commands.run("info", str(small), model_flag)
  assert b"Exif" in done.stdout and b"XMP 12 bytes" in done.stdout
  for ending in ("jpg", "png", "webp", "tiff"):
    output = tmp_path / f"back.{ending}"
    done = commands.run("decompress", str(small), str(output), model_flag)
    assert done.returncode == 0, done.stderr
    with Image.open(output) as image:
      assert image.size == X.shape[:2]  # It stands upright.
      assert image.getexif().get(ORIENTATION, 1) == 1
      assert image.getexif()[MAKER] == "Maker"
    assert metadata.read(str(output)).xmp == b"<x:xmpmeta/>"
  arguments = ("compress", str(photo), "-q", "1", "--overwrite")
  commands.run(*arguments, "--strip", model_flag)
  assert newest_codec.about(small.read_bytes()) == metadata.NONE


def test_files_of_a_model_without_room_say_that_metadata_is_left_out(
  tmp_path, model_flag
):
  photo = tmp_path / "x.jpg"
  Image.fromarray(X).save(photo, xmp=b"<x:xmpmeta/>")
  done = commands.run("compress", str(photo), "-q", "1", model_flag)
  assert done.returncode == 0
  assert done.stderr.count(b"\n") == 1 and b"left out" in done.stderr


def test_info_reads_files_of_models_that_are_not_there(tmp_path, codec):
  path = tmp_path / "x.bls"
  path.write_bytes(codec.compress(X, 1.5))
  values = json.loads(commands.run("info", "--json", str(path)).stdout)
  assert values["model_id"] == codec.model.model_id.hex()
  assert (values["quality"], values["lanes"]) == (None, None)
  assert b"unknown" in commands.run("info", str(path)).stdout


def test_info_and_wrong_values_need_no_tensorflow(tmp_path, codec, model_flag):
  path = tmp_path / "x.bls"
  path.write_bytes(codec.compress(X, 1.5))
  for arguments in (
    ["info", str(path), model_flag],
    ["compress", str(path), "--quality=9"],
    ["compress", str(path), "--effort=0"],
    ["compress", str(path), "--quality=1", "--max_bytes=1k"],
    ["compress", str(path), "--output_dir=x", "--metric=ms_ssim",
     "--target_psnr=30"],
    ["decompress", str(path), "--region=1,1,0,1"],
    ["decompress", str(path), "--reduce=5"],
  ):  # fmt: skip
    code = (
      "import sys\nfrom bls2017.commands import main\n"
      f"main.main({arguments})\nsys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, arguments


def test_quality_out_of_range_is_a_usage_error(photo, tmp_path, model_flag):
  done = commands.run("compress", str(photo), "--quality=9", model_flag)
  assert "quality" in commands.assert_fails(done, 2)
  assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_unreadable_inputs_exit_with_3(tmp_path, content):
  path = tmp_path / "x.png"
  if content is not None:
    path.write_bytes(content)
  done = commands.run("compress", str(path))
  assert "x.png" in commands.assert_fails(done, 3)
  assert not (tmp_path / "x.png.bls").exists()


def test_a_missing_model_is_named(photo):
  done = commands.run("compress", str(photo), "--model=/no/such/model")
  assert "/no/such/model" in commands.assert_fails(done, 3)


def test_a_damaged_file_exits_with_4(tmp_path, model_flag, codec):
  data = bytearray(codec.compress(X, 1))
  data[-1] ^= 1
  path = tmp_path / "x.bls"
  path.write_bytes(data)
  for command in ("decompress", "info"):
    done = commands.run(command, str(path), model_flag)
    message = commands.assert_fails(done, 4)
    assert "checksum" in message and str(path) in message
  assert [p.name for p in tmp_path.iterdir()] == ["x.bls"]


def test_a_large_image_exits_with_5(photo):
  done = commands.run("compress", str(photo), "--max_pixels=1000")
  assert "limit" in commands.assert_fails(done, 5)


def test_an_output_that_exists_exits_with_6(photo, tmp_path):
  output = tmp_path / "x.bls"
  output.write_bytes(b"mine")
  done = commands.run("compress", str(photo), str(output))
  assert "--overwrite" in commands.assert_fails(done, 6)
  assert output.read_bytes() == b"mine"
  done = commands.run("compress", str(photo), str(tmp_path / "no" / "x.bls"))
  commands.assert_fails(done, 6)


def test_an_example_is_a_photograph_to_try(tmp_path):
  path = tmp_path / "photo.png"
  done = commands.run("example", str(path), "--width=40", "--height=30")
  assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
  with Image.open(path) as image:
    assert image.size == (40, 30)
  commands.assert_fails(commands.run("example", str(path)), 6)
  commands.assert_fails(commands.run("example"), 2)


def test_a_flag_that_means_nothing_to_a_command_is_refused():
  for command, flag in (("info", "--overwrite"), ("example", "--model=x")):
    done = commands.run(command, "x.bls", flag)
    assert "Unknown" in commands.assert_fails(done, 2)
    assert flag.split("=")[0] not in commands.run(command, "-h").stdout.decode()


@pytest.mark.parametrize("command", main.COMMANDS)
def test_help_shows_the_flags_within_80_columns(command):
  done = commands.run("help", command)
  text = done.stdout.decode()
  assert (done.returncode, done.stderr) == (0, b"")
  assert text.startswith(f"usage: bls2017 {command}")
  assert "  --" in text
  assert max(map(len, text.splitlines())) <= 80
  for remark in ("<mse", "repeat this option", "comma separated", "=string"):
    assert remark not in text
  assert commands.run(command, "--help").stdout == done.stdout


def test_the_overview_names_every_command():
  done = commands.run("--help")
  assert done.returncode == 0
  for command in main.COMMANDS:
    assert f"\n  {command} " in done.stdout.decode()
  assert commands.run("help").stdout == done.stdout


def test_the_version_is_that_of_the_package():
  done = commands.run("--version")
  assert done.stdout.decode().split() == ["bls2017", bls2017.__version__]


@pytest.mark.parametrize(
  ("module", "heavy"),
  [("bls2017", "tensorflow"), ("bls2017.codec", "tensorflow_compression")],
)
def test_importing_loads_nothing_heavy(module, heavy):
  code = f"import {module}, sys; print('{heavy}' in sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, check=True
  )
  assert done.stdout.strip() == b"False"
