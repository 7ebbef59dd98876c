"""The coding commands, as a user runs them."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import zlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import bls2017
from bls2017.commands import main
from bls2017.images import metadata, reading
from tests import alphas, commands, images

X = images.photograph(37, 50)
ORIENTATION, MAKER = 0x0112, 0x010F


@pytest.fixture(scope="module")
def codec():
  return bls2017.Codec.load()


@pytest.fixture
def folder(tmp_path, codec, monkeypatch):
  """The current directory: x.png, and x.bls of quality 2."""
  monkeypatch.chdir(tmp_path)
  Image.fromarray(X).save("x.png")
  (tmp_path / "x.bls").write_bytes(codec.compress(X, 2))
  return tmp_path


def _run(*lines):
  """Runs command lines, as a shell splits them."""
  return commands.run_several([shlex.split(line) for line in lines])


def _read(name):
  return reading.read_rgb(str(name))


def test_a_photograph_becomes_small_and_a_photograph_again(folder, codec):
  steps = _run(
    "compress x.png --quality=1.5",
    "decompress x.png.bls back.tiff",
    "info --json x.png.bls",
    "compress -q 1.5 --max-pixels=1850 -o named.bls -v x.png --verify",
    "decompress x.png.bls back.tiff --overwrite --verbose",
    "info x.png.bls",
  )
  assert [s.returncode for s in steps] == 6 * [0]
  quiet = steps[:2]
  assert [s.stdout + s.stderr for s in quiet] == [b"", b""]
  data = (folder / "x.png.bls").read_bytes()
  assert data == (folder / "named.bls").read_bytes() == codec.compress(X, 1.5)
  np.testing.assert_array_equal(_read("back.tiff"), codec.decompress(data))
  facts = json.loads(steps[2].stdout)
  assert (facts["height"], facts["width"], facts["quality"]) == (37, 50, 1.5)
  assert facts["model_id"] == codec.model.model_id.hex()
  assert facts["bpp"] == pytest.approx(8 * len(data) / (37 * 50))
  assert facts["header_bytes"] + facts["payload_bytes"] == facts["bytes"]
  assert facts["bytes"] == len(data) and facts["packaged_model"] == "psnr"
  said = steps[3].stderr.decode()
  for words in ("x.png: 50 x 37, ", f" {len(data)} bytes", "bpp", "PSNR"):
    assert words in said
  assert "MS-SSIM" not in said  # The image is too small for it.
  assert steps[4].stderr == b"x.png.bls: 50 x 37 pixels\n"
  for line in ("lanes           1", "metadata        none"):
    assert line in steps[5].stdout.decode().splitlines()


def test_standard_streams_work_as_a_pipe(folder, codec):
  small = commands.run(
    "compress", "-", "--quality=2", input=(folder / "x.png").read_bytes()
  ).stdout
  assert small == codec.compress(X, 2)
  back = commands.run("decompress", "-", "-", input=small).stdout
  np.testing.assert_array_equal(reading.read_rgb(back), codec.decompress(small))


def test_targets_are_kept_or_refused(folder, codec):
  size = 400
  *kept, refused = _run(
    "compress x.png a.bls --max_bytes=0.4k",
    f"compress x.png b.bls --target_bpp={8 * size / (37 * 50)}",
    "compress x.png c.bls --target_psnr=33",
    "compress x.png d.bls --max-bytes=30",
  )
  assert [(k.returncode, k.stderr) for k in kept] == 3 * [(0, b"")]
  for name in ("a.bls", "b.bls"):
    assert size / 2 < (folder / name).stat().st_size <= size
  decoded = codec.decompress((folder / "c.bls").read_bytes())
  error = np.mean(np.square(decoded.astype(float) - X))
  assert 10 * np.log10(255**2 / error) >= 33
  assert "smallest" in commands.assert_fails(refused, 5)
  assert not (folder / "d.bls").exists()


def test_images_lose_nothing_or_say_so(folder, codec):
  lossless, lossy, small, exists = _run(
    "decompress x.bls -o x.webp",
    "decompress x.bls x.jpg",
    "decompress x.bls y.jpg --output_quality=30",
    "decompress x.bls --format=jpg --output-quality=30",
  )
  assert (lossless.returncode, lossless.stderr) == (0, b"")
  x_hat = codec.decompress((folder / "x.bls").read_bytes())
  np.testing.assert_array_equal(_read("x.webp"), x_hat)
  assert lossy.stderr.count(b"\n") == 1 and b"JPEG" in lossy.stderr
  assert (small.returncode, small.stderr) == (0, b"")
  assert os.path.getsize("y.jpg") < os.path.getsize("x.jpg") / 2
  assert "x.jpg exists" in commands.assert_fails(exists, 6)


def test_parts_and_previews_are_those_of_the_whole_image(folder, codec):
  data = (folder / "x.bls").read_bytes()
  *done, beyond = _run(
    "decompress x.bls part.png --region=21,3,29,34",
    "decompress x.bls half.png --reduce 2",
    "decompress --reduce=4 x.bls both.png --region 21,3,29,34",
    "decompress x.bls beyond.png --region=21,3,30,34",
  )
  assert [(d.returncode, d.stderr) for d in done] == 3 * [(0, b"")]
  np.testing.assert_array_equal(
    _read("part.png"), codec.decompress(data)[3:37, 21:50]
  )
  for name, options in (
    ("half.png", {"reduce": 2}),
    ("both.png", {"reduce": 4, "region": (21, 3, 29, 34)}),
  ):
    np.testing.assert_array_equal(
      _read(name), codec.decompress(data, **options)
    )
  message = commands.assert_fails(beyond, 2)
  assert "x.bls" in message and "50 x 37" in message
  assert not (folder / "beyond.png").exists()


def test_metadata_is_kept_until_it_is_stripped(folder, codec):
  tags = Image.Exif()
  tags[ORIENTATION], tags[MAKER] = 6, "Maker"
  Image.fromarray(X).save("x.jpg", exif=tags, xmp=b"<x:xmpmeta/>")
  kinds = ("jpeg", "png", "webp", "tiff")
  steps = _run(
    "compress x.jpg kept.bls --verify",
    "compress x.jpg gone.bls --strip",
    "info kept.bls",
    *(f"decompress kept.bls back.{kind}" for kind in kinds),
  )
  assert [s.returncode for s in steps] == 7 * [0]
  assert b"Exif" in steps[2].stdout and b"XMP 12 bytes" in steps[2].stdout
  gone = codec.metadata((folder / "gone.bls").read_bytes())
  assert gone == metadata.Metadata()
  for kind in kinds:
    with Image.open(f"back.{kind}") as image:
      assert image.size == X.shape[:2]  # It stands upright.
      assert image.getexif().get(ORIENTATION, 1) == 1
      assert image.getexif()[MAKER] == "Maker"
    assert reading.read(f"back.{kind}").xmp == b"<x:xmpmeta/>"


def test_alpha_is_kept_exactly_unless_a_background_is_named(folder, codec):
  alpha = alphas.sprite(37, 50)
  Image.fromarray(np.dstack([X, alpha])).save("a.png")
  kinds = ("png", "webp", "tiff")
  steps = _run(
    "compress a.png a.bls --verify --verbose",
    "compress a.png white.bls --alpha=white",
    "compress a.png green.bls --alpha=#00ff00",
    "info a.bls",
    "info --json a.bls",
    "info white.bls",
    *(f"decompress a.bls a.{kind} --overwrite" for kind in kinds),
    "decompress a.bls part.png --region=11,3,21,30 --reduce=2",
    "decompress a.bls a.jpg",
    "compress a.png b.bls --alpha=black",
  )
  *done, jpeg, wrong = steps
  assert [s.returncode for s in done] == len(done) * [0]
  data = (folder / "a.bls").read_bytes()
  decoded = codec.decompress(data)
  size = codec.info(data).metadata["Alph"]
  assert b"PSNR" in done[0].stderr and done[1].stderr == b""
  lines = done[3].stdout.decode().splitlines()
  assert f"alpha           {size} bytes" in lines
  assert "metadata        none" in lines
  assert json.loads(done[4].stdout)["alpha"] is True
  assert b"alpha           none" in done[5].stdout.splitlines()
  for name, colour in (("white", (255,) * 3), ("green", (0, 255, 0))):
    composited = reading.to_rgb(X, alpha, colour)
    opaque = (folder / f"{name}.bls").read_bytes()
    assert opaque == codec.compress(composited, 6)
  for kind in kinds:
    with Image.open(f"a.{kind}") as image:
      assert image.mode == "RGBA"
      np.testing.assert_array_equal(np.asarray(image)[..., 3], alpha)
      np.testing.assert_array_equal(np.asarray(image), decoded)
  part = codec.decompress(data, region=(11, 3, 21, 30), reduce=2)
  with Image.open("part.png") as image:
    np.testing.assert_array_equal(np.asarray(image), part)
  assert jpeg.returncode == 0 and b"alpha (composited)" in jpeg.stderr
  with Image.open("a.jpg") as image:
    assert image.mode == "RGB"
  assert "alpha must be" in commands.assert_fails(wrong, 2)


def test_a_folder_notices_another_alpha(folder):
  (folder / "in").mkdir()
  Image.fromarray(np.dstack([X, alphas.sprite(37, 50)])).save("in/a.png")
  kept, again, white, composited, other = _run(
    "compress --output_dir=out in",
    "compress --output_dir=out in --alpha=keep",
    "compress --output_dir=out in --alpha=white",
    "compress --output_dir=out in --alpha=white --overwrite",
    "compress --output_dir=out in",
  )
  assert [s.returncode for s in (kept, again, composited)] == [0, 0, 0]
  assert b"1 skipped" in again.stderr
  assert white.returncode == other.returncode == 6
  assert b"exists with alpha" in white.stderr
  assert b"exists without alpha" in other.stderr


def test_masks_and_qualities_between_steps(folder, codec):
  Image.fromarray(np.eye(37, 50, dtype=np.uint8) * 255).save("mask.png")
  Image.fromarray(X[:-1]).save("other.png")
  masked, other, stepped = _run(
    "compress x.png a.bls --roi=mask.png",
    "compress x.png b.bls --roi=other.png",
    "compress x.png c.bls -q 1.3",
  )
  assert (masked.returncode, masked.stderr) == (0, b"")
  assert codec.decompress((folder / "a.bls").read_bytes()).shape == X.shape
  assert "region of interest" in commands.assert_fails(other, 2)
  says = b"quality 1.3 becomes 1.25, the nearest step\n"
  assert (stepped.returncode, stepped.stderr) == (0, says)
  assert (folder / "c.bls").read_bytes() == codec.compress(X, 1.25)


def test_folders_come_and_go_and_a_rerun_skips_them(folder, codec):
  (folder / "in" / "a").mkdir(parents=True)
  for name in ("0.png", "a/1.png"):
    Image.fromarray(X).save(f"in/{name}")
  (folder / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
  first, again, finer, back, small, verbose = _run(
    "compress --output_dir=out in -q 2",
    "compress --output_dir=out in -q 2",
    "compress --output_dir=out in/0.png -q 3",
    "decompress --output_dir=back out",
    "decompress --output_dir=back out --reduce=2",
    "compress --output_dir=o in/a --workers=1 -v --base_dir=.",
  )
  assert first.returncode == again.returncode == 3
  failure, summary = first.stderr.decode().splitlines()
  assert "in/broken.png" in failure
  assert "2 of 3 files coded" in summary and "1 failed" in summary
  assert "0 of 3 files coded, 2 skipped" in again.stderr.decode()
  assert (folder / "out/a/1.png.bls").read_bytes() == codec.compress(X, 2)
  assert sorted(os.listdir("out")) == ["0.png.bls", "a"]
  assert finer.returncode == 6 and b"quality 2, not 3; use" in finer.stderr
  assert back.returncode == 0 and sorted(os.listdir("back")) == ["0.png", "a"]
  assert small.returncode == 6 and b"not 25 x 19" in small.stderr
  assert b"in/a/1.png: 50 x 37" in verbose.stderr
  assert os.path.exists("o/in/a/1.png.bls")


_USAGE = (
  ("compress", "INPUT"),
  ("compress x.png --qualty=3", "qualty"),
  ("compress x.png --quality=high", "quality"),
  ("compress x.png --quality=13", "between 1 and 12"),
  ("compress x.png x.png --overwrite", "input and output"),
  ("compress a b c", "--output_dir"),
  ("compress .", "--output_dir"),
  ("compress x.png --quality=1 --max_bytes=9", "contradict"),
  ("compress x.png --metric=ms_ssim --target_psnr=30", "mse"),
  ("compress x.png --metric=ms_ssim --roi=x.png", "mse"),
  ("compress x.png --roi=x.png --output_dir=y", "one image"),
  ("compress x.png --effort=10", "effort"),
  ("compress x.png --max_bytes=9x", "bytes"),
  ("compress x.png --target_bpp=0", "positive"),
  ("compress x.png --workers=0", "above 0"),
  ("compress x.png -o x.bls --output_dir=y", "--output"),
  ("compress - --output_dir=y", "names"),
  ("compress x.png other.png --overwrite", "image"),
  ("compress x.png unnamed --overwrite", "image"),
  ("compress x.png new.jpg", "image"),
  ("decompress x.bls --region=1,2,3", "X,Y,W,H"),
  ("decompress x.bls --region=-1,2,3,4", "X,Y,W,H"),
  ("decompress x.bls --region=1,2,0,4", "X,Y,W,H"),
  ("decompress x.bls --reduce=3", "reduce"),
  ("decompress x.bls --region=0,0,1,1 --output_dir=y", "one file"),
  ("decompress x.bls a.png --output_quality=90", "no quality"),
  ("decompress x.bls a.jpg --output_quality=0", "1 to 100"),
  ("decompress x.bls a.xyz", "xyz"),
  ("decompress x.bls --runtime=litert", "runtime"),
  ("info", "FILE"),
  ("info x.bls --overwrite", "overwrite"),
  ("example x.jpg --model=x", "model"),
  ("explode", "explode"),
  ("freeze", "--train_dir"),
  ("tune_decoder --model=x", "--train_glob"),
  ("tune_tables --model=x --output_dir=y", "--images"),
  ("train", "--train_dir"),
  ("train --num_filters=many", "num_filters"),
  ("train --train-dir=x extra", "extra"),
)


def test_usage_errors_exit_with_2(folder):
  for name in ("other.png", "unnamed"):
    Image.fromarray(X).save(name, "PNG")
  before = {path: path.read_bytes() for path in folder.iterdir()}
  for done, (line, says) in zip(_run(*(u[0] for u in _USAGE)), _USAGE):
    assert says in commands.assert_fails(done, 2), line
  assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_errors_have_exit_codes_of_their_own(folder, codec):
  damaged = bytearray((folder / "x.bls").read_bytes())
  damaged[-1] ^= 1
  (folder / "damaged.bls").write_bytes(damaged)
  (folder / "empty.png").write_bytes(b"")
  (folder / "text.png").write_bytes(b"not an image")
  # An image that Pillow would take for a bomb: here its data is missing.
  fields = b"IHDR" + struct.pack(">IIBBBBB", 14000, 14000, 1, 0, 0, 0, 0)
  large = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + fields
  large += struct.pack(">II4s", zlib.crc32(fields), 1 << 25, b"IDAT")
  large += bytes(1 << 25)
  (folder / "large.png").write_bytes(large)
  before = sorted(os.listdir())
  cases = (
    ("compress missing.png", 3, "missing.png"),
    ("compress empty.png", 3, "empty.png"),
    ("compress text.png", 3, "text.png"),
    ("compress x.png --model=/no/such/model", 3, "/no/such/model"),
    ("decompress damaged.bls", 4, "damaged.bls: the checksum"),
    ("info damaged.bls", 4, "damaged.bls: the checksum"),
    ("decompress x.png", 4, "magic"),
    ("compress x.png --max_pixels=1000", 5, "limit"),
    ("decompress x.bls y.png --max_pixels=1000", 5, "limit"),
    ("info x.bls --max_pixels=1000", 5, "limit"),
    ("info large.png --max_pixels=1", 5, "longer than"),
    ("compress large.png --max_pixels=180000000", 5, "limit"),
    ("compress large.png --max_pixels=200000000", 3, "large.png"),
    ("compress x.png x.bls", 6, "x.bls exists; use --overwrite"),
    ("compress x.png no/x.bls", 6, "no does not exist"),
    ("decompress x.bls .", 6, "directory"),
  )
  for done, (line, code, says) in zip(_run(*(c[0] for c in cases)), cases):
    assert says in commands.assert_fails(done, code), line
  assert sorted(os.listdir()) == before


class Situation(NamedTuple):
  """What a user did, and what is right.

  Attributes:
    kind: Of the faults that users of other tools reported.
    before: For a shell, in a folder with photo.jpg and d/photo.jpg.
    line: Of the command; "d" stands for "compress --output_dir=o d".
    exit_code: Of the command.
    says: What standard error must say; nothing at all if empty.
    after: For a shell; it must succeed.
    streams: As those of `commands.Line`.
  """

  kind: str
  before: str
  line: str
  exit_code: int = 0
  says: str = ""
  after: str = "test -s o/photo.jpg.bls"
  streams: dict[str, str | None] = {}


_FINE = "1 of 1 files coded"
_ODD = "is not a regular file"
_IN, _OUT, _ERROR = ({n: None} for n in ("stdin", "stdout", "stderr"))
_WRITTEN = "test -s x.bls"
# Who is not root makes no devices, and cannot replace those of the machine.
_DEVICE = "mknod null c 1 3 2> /dev/null || ln -s /dev/null null"

SITUATIONS = (
  # A: outputs that are no plain files are not looked into.
  Situation("A", "mkdir o; mkfifo o/photo.jpg.bls", "d", 6, _ODD,
            "test -p o/photo.jpg.bls"),
  Situation("A", "mkdir o; ln -s gone o/photo.jpg.bls", "d", 6, _ODD,
            "test -L o/photo.jpg.bls -a ! -e o/gone"),
  Situation("A", "mkdir o; ln -s /dev/zero o/photo.jpg.bls", "d", 6, _ODD,
            "test -L o/photo.jpg.bls"),
  Situation("A", "mkfifo f; cat f > got &", "compress photo.jpg f", 0, "",
            "until test -s got; do sleep 0.1; done; test -p f"),
  Situation("A", "mkfifo f; cat f > got &", "compress photo.jpg f --overwrite",
            0, "", "until test -s got; do sleep 0.1; done; test -p f"),
  Situation("A", _DEVICE, "compress photo.jpg null", 0, "", "test -c null"),
  Situation("A", _DEVICE, "compress photo.jpg null --overwrite", 0, "",
            "test -c null"),
  Situation("A", f"{_DEVICE}; mkdir o; mv null o/photo.jpg.bls",
            "compress d --output_dir=o --overwrite", 0, _FINE,
            "test -c o/photo.jpg.bls"),
  Situation("A", "", "compress photo.jpg /dev/stdout", 0, "", "test -s x",
            {"stdout": "x"}),
  Situation("A", "touch old; ln -s old x.bls",
            "compress photo.jpg x.bls --overwrite", 0, "",
            "test -L x.bls -a -s old"),
  Situation("A", "touch old; ln -s old x.bls", "compress photo.jpg x.bls", 6,
            "x.bls exists; use --overwrite", "test -L x.bls -a ! -s old"),
  # E: nothing is left out without a word, and nothing stops the rest.
  Situation("E", "touch d/x.{HEIC,heif,jxl,DNG,cr2,nef,arw,exr} d/y.JXL", "d",
            3, "bls2017: left out, as Pillow does not read them: 1 .arw,"
            " 1 .cr2, 1 .dng, 1 .exr, 1 .heic, 1 .heif, 2 .jxl, 1 .nef;"),
  Situation("E", "touch d/x.txt d/x.mp4 d/x.xmp d/.x.heic", "d", 0, _FINE),
  Situation("E", "mkfifo d/x.png", "d", 3, f"d/x.png {_ODD}"),
  Situation("E", "ln -s /dev/zero d/x.png", "d", 3, f"d/x.png {_ODD}"),
  Situation("E", "ln -s gone d/x.png", "d", 3, "cannot read d/x.png"),
  Situation("E", "mkdir d/x.png", "d", 0, _FINE),
  Situation("E", "ln -s .. d/up", "d", 0,
            "d/up is a link to a directory and is not followed"),
  Situation("E", "", "compress --output_dir=o no*.jpg d", 3,
            "no file matches no*.jpg"),
  Situation("E", "", "compress --output_dir=o @gone d", 3, "@gone: gone"),
  Situation("E", "", "compress --output_dir=o gone d", 3, "cannot read gone"),
  Situation("E", "mkdir o; touch o/gone.jpg.bls",
            "compress --output_dir=o gone.jpg d", 3, "cannot read gone.jpg"),
  # Neither root nor anybody else opens a folder whose path is too long.
  Situation("E", "cd d; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do"
            " mkdir $(printf %0250d 0); cd -P $(printf %0250d 0); done",
            "d", 3, "File name too long"),
  # G: standard streams that are closed, or full.
  Situation("G", "", "compress photo.jpg x.bls", 0, "", _WRITTEN, _IN),
  Situation("G", "", "compress photo.jpg x.bls", 0, "", _WRITTEN, _OUT),
  Situation("G", "", "compress photo.jpg x.bls -v", 0, "", _WRITTEN, _ERROR),
  Situation("G", "", "compress photo.jpg x.bls -v", 0, "", _WRITTEN,
            {**_IN, **_OUT, **_ERROR}),
  Situation("G", "", "d", 0, "", streams=_ERROR),
  Situation("G", "", "d", 0, "", streams={"stderr": "/dev/full"}),
  Situation("G", "", "compress - x.bls", 3, "-", "test ! -e x.bls", _IN),
  Situation("G", "", "compress photo.jpg - -v", 0, "",
            "test $(head -c 4 x | tail -c 3) = BLS", {"stdout": "x", **_ERROR}),
  Situation("G", "", "compress gone.jpg -", 3, "", "test ! -s x",
            {"stdout": "x", **_ERROR}),
  Situation("G", "", "compress photo.jpg -", 6, "cannot write -", "", _OUT),
  Situation("G", "", "compress photo.jpg -", 6, "cannot write -", "",
            {"stdout": "/dev/full"}),
  Situation("G", "", "--version", 6, "cannot write", "", _OUT),
  Situation("G", "", "--version", 6, "cannot write", "",
            {"stdout": "/dev/full"}),
  # I: names and lists of all kinds.
  *(Situation("I", "", f"compress photo.jpg {name}.bls", 0, "",
              f"test -s {name}.bls")
    for name in (60 * "\U0001f600", 40 * "\u5199\u771f", 240 * "x")),
  Situation("I", f"mv d/photo.jpg d/{247 * 'x'}.jpg", "d", 0, _FINE,
            f"test -s o/{247 * 'x'}.jpg.bls"),
  Situation("I", f"cp d/photo.jpg d/{248 * 'x'}.jpg", "d", 6,
            "File name too long"),
  Situation("I", r"printf '\357\273\277d/photo.jpg\r\n' > l",
            "compress --output_dir=o @l", 0, _FINE),
  Situation("I", r"mv d/photo.jpg $(printf 'd/\377\033.jpg')", "d", 0, _FINE,
            r"test -s $(printf 'o/\377\033.jpg.bls')"),
  Situation("I", "mv d/photo.jpg 'd/a\nb  c.jpg'; touch 'd/d\ne.jpg'", "d", 3,
            "d/d e.jpg", "test -s 'o/a\nb  c.jpg.bls'"),
  Situation("I", "find d -name '*.jpg' -print0 > l",
            "compress --output_dir=o @-", 0, _FINE, streams={"stdin": "l"}),
  Situation("I", "mv photo.jpg ./-q.jpg", "compress -v -- -q.jpg", 0,
            "-q.jpg: 50 x 37", "test -s ./-q.jpg.bls"),
  Situation("I", "", "compress photo.jpg x.bls --max-bytes 1k --target_bpp=1",
            2, "contradict", "test ! -e x.bls"),
)  # fmt: skip
"""What users of other tools reported, by kind; more of each."""


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
  """How the commands of all situations end, and their folders."""
  lines = []
  for situation in SITUATIONS:
    folder = tmp_path_factory.mktemp("situation")
    (folder / "d").mkdir()
    for name in ("photo.jpg", "d/photo.jpg"):
      Image.fromarray(X).save(folder / name)
    subprocess.run(["bash", "-c", situation.before], cwd=folder, check=True)
    line = situation.line
    arguments = shlex.split(
      "compress --output_dir=o d" if line == "d" else line
    )
    lines.append(commands.Line(arguments, str(folder), situation.streams))
  done = commands.run_several(lines)
  yield list(zip(done, (line.folder for line in lines)))
  for line in lines:
    # Some hold paths that are too long for Python.
    subprocess.run(["rm", "-r", line.folder], check=True)


@pytest.mark.parametrize(
  "number",
  range(len(SITUATIONS)),
  ids=[f"{s.kind}: {s.before or s.line}" for s in SITUATIONS],
)
def test_what_users_of_other_tools_reported(endings, number):
  situation, (done, folder) = SITUATIONS[number], endings[number]
  error = done.stderr.decode(errors="replace")
  assert done.returncode == situation.exit_code, error
  assert "Traceback" not in error
  assert situation.says in error
  assert bool(error) == bool(situation.says)
  after = subprocess.run(["bash", "-c", situation.after], cwd=folder)
  assert after.returncode == 0


def test_two_runs_into_one_folder_do_each_file_once(folder):
  os.mkdir("in")
  for i in range(12):
    os.link("x.png", f"in/{i}.png")
  line = commands.line("compress", "in", "--output_dir=out")
  runs = [subprocess.Popen(line, stderr=subprocess.PIPE) for _ in range(2)]
  for run in runs:
    _, error = run.communicate(timeout=commands.SECONDS)
    assert run.returncode == 0 and b"of 12 files coded" in error
    assert b"failed" not in error
  assert len(os.listdir("out")) == 12


def _start(*arguments):
  return subprocess.Popen(commands.line(*arguments), stderr=subprocess.PIPE)


def _outputs(folder, expected):
  """Names of the outputs, each of which must be whole."""
  names = [n for n in os.listdir(folder) if not n.startswith(".")]
  for name in names:
    assert (folder / name).read_bytes() == expected
  return names


@pytest.mark.parametrize(
  ("signals", "exit_code"),
  [
    ([signal.SIGINT], 130),
    ([signal.SIGTERM], 143),
    ([signal.SIGINT, signal.SIGINT], 130),
    ([signal.SIGKILL], -9),
  ],
)
def test_a_run_that_is_cut_short_leaves_whole_files(
  tmp_path, codec, signals, exit_code
):
  folder, out = tmp_path / "in", tmp_path / "out"
  folder.mkdir()
  x = images.photograph(96, 96)
  expected = codec.compress(x)
  Image.fromarray(x).save(folder / "0.png")
  for i in range(1, 200):
    os.link(folder / "0.png", folder / f"{i}.png")
  line = ["compress", str(folder), f"--output_dir={out}", "--workers=2"]
  process = _start(*line)
  while process.poll() is None and not list(out.glob("[0-9]*")):
    time.sleep(0.01)
  for number in signals:
    process.send_signal(number)
  _, error = process.communicate(timeout=60)
  assert process.returncode == exit_code, error
  done = _outputs(out, expected)
  assert 0 < len(done) < 200
  if len(signals) == 1 and exit_code > 0:
    assert f"{len(done)} of {len(done)} files coded".encode() in error

  again = commands.run(*line)
  assert again.returncode == 0
  assert f"{len(done)} skipped" in again.stderr.decode()
  assert len(_outputs(out, expected)) == 200


@pytest.mark.tensorflow
def test_ctrl_c_takes_the_best_file_so_far(folder, codec):
  Image.fromarray(images.photograph(160, 160)).save("large.png")
  terminal, other_end = os.openpty()
  # A bar has room on it.
  fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
  with subprocess.Popen(
    commands.line("compress", "large.png", "--effort=9", "--quality=1"),
    stderr=other_end,
  ) as process:
    os.close(other_end)
    shown = b""
    while b"refining" not in shown:
      shown += os.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
      try:
        shown += os.read(terminal, 1000)
      except OSError:  # Its other end was closed.
        break
  os.close(terminal)
  assert process.returncode == 130, shown
  assert b"best file so far" in shown and b"Traceback" not in shown
  data = (folder / "large.png.bls").read_bytes()
  assert codec.info(data).quality == 1


_FAULTY = """
import sys
import numpy as np
from bls2017.format import container
pack = container.pack
def faulty(header, rows, *others):
  rows = rows.copy()
  rows[:, 1:] = np.where(rows[:, 1:] > 0, rows[:, 1:] - 1, 1)
  return pack(header, rows, *others)
container.pack = faulty
from bls2017.commands import main
sys.exit(main.main(sys.argv[1:]))
"""


def test_a_fault_between_encoding_and_writing_is_found(folder):
  def compress(*options):
    return subprocess.run(
      [sys.executable, "-c", _FAULTY, "compress", "x.png", *options],
      capture_output=True, check=False,
    )  # fmt: skip

  message = commands.assert_fails(compress("--verify", "-q2"), 8)
  assert "x.png: the symbols" in message
  assert not os.path.exists("x.png.bls")
  assert compress("-q2").returncode == 0
  many = compress("--verify", "--output_dir=out")
  assert many.returncode == 8 and not os.path.exists("out/x.png.bls")


def test_wrong_values_and_info_need_nothing_heavy(folder):
  lines = [
    "info x.bls", "compress x.png --quality=19", "compress x.png --effort=0",
    "compress x.png --quality=1 --max_bytes=1k", "decompress x.bls --reduce=5",
    "compress x.png x.png.bls", "decompress x.bls back.png", "example e.png",
  ]  # fmt: skip
  heavy = ["tensorflow", "apache_beam", "matplotlib", "absl"]
  code = f"""
import shlex, sys
from bls2017.commands import main
for line in {lines}:
  main.main(shlex.split(line))
  assert not set({heavy}) & set(sys.modules), line
"""
  done = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert done.returncode == 0, done.stderr.decode()


def test_info_reads_files_of_models_that_are_not_there(
  folder, golden_model_dir
):
  stranger = bls2017.Codec.load(golden_model_dir)
  (folder / "y.bls").write_bytes(stranger.compress(X, 1.5))
  facts, text, named, refused = _run(
    "info --json y.bls", "info y.bls",
    f"info --json y.bls --model={golden_model_dir}", "decompress y.bls",
  )  # fmt: skip
  values = json.loads(facts.stdout)
  assert values["model_id"] == stranger.model.model_id.hex()
  assert (values["quality"], values["lanes"]) == (None, None)
  assert b"unknown" in text.stdout
  assert json.loads(named.stdout)["quality"] == 1.5
  assert "--model" in commands.assert_fails(refused, 4)


def test_files_of_all_packaged_models_are_read(folder, packaged):
  os.mkdir("in")
  decoded = {}
  for name in ("one", "two", "ms_ssim"):
    codec = bls2017.Codec.load(name)
    data = codec.compress(X, 1.5)
    (folder / "in" / f"{name}.bls").write_bytes(data)
    decoded[name] = codec.decompress(data)
  done = commands.run(
    "decompress", "--output_dir=back", "in", models=str(packaged)
  )
  assert done.returncode == 0, done.stderr
  for name, x_hat in decoded.items():
    np.testing.assert_array_equal(_read(f"back/{name}.png"), x_hat)
  done = commands.run("info", "--json", "in/two.bls", models=str(packaged))
  facts = json.loads(done.stdout)
  assert facts["packaged_model"] == "two" and facts["lanes"]
  done = commands.run("compress", "x.png", "y", "--model=two", "-q1",
                      models=str(packaged))  # fmt: skip
  assert done.returncode == 0, done.stderr
  done = commands.run("info", "y", "--model=three", models=str(packaged))
  assert "one and two" in commands.assert_fails(done, 3)


def test_an_example_is_a_photograph_to_try(folder):
  done, exists = _run(
    "example photo.png --width=40 --height=30", "example photo.png"
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
  with Image.open("photo.png") as image:
    assert image.size == (40, 30)
  commands.assert_fails(exists, 6)


def test_help_says_what_each_command_takes_within_80_columns():
  texts = _run(*(f"help {name}" for name in main.COMMANDS))
  for name, done in zip(main.COMMANDS, texts):
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert text.startswith(f"usage: bls2017 {name} ")
    assert "  --" in text
    assert max(map(len, text.splitlines())) <= 80
  long, short, bare, version, nothing = _run(
    "--help", "help", "compress x.png -h", "--version", ""
  )
  assert long.stdout == short.stdout == nothing.stdout
  assert nothing.returncode == 2
  for name in main.COMMANDS:
    assert f"\n  {name} " in long.stdout.decode()
  assert bare.stdout == texts[list(main.COMMANDS).index("compress")].stdout
  assert version.stdout.decode().split() == ["bls2017", bls2017.__version__]
