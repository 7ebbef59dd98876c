"""The signatures of an export, as a model server calls them."""

from __future__ import annotations

import dataclasses
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bls2017 import codec as codec_lib
from bls2017 import decode, errors
from bls2017.format import container
from bls2017.images import reading
from export import serving_module
from tests import alpha_boxes, forging, images, memory
from tests.conformance import broken, conformance_set
from tests.export import conftest, library
from tests.fuzz import forger

QUALITIES = (1.0, 1.375, 2.0)


def _of_set(kind: str) -> list[dict]:
  """The files of the conformance set that belong to the exported model."""
  model = str(conftest.MODEL.relative_to(conformance_set.ROOT))
  entries = conformance_set.read_manifest()[kind]
  return [entry for entry in entries if entry["model"] == model]


def _verdict(codec, file: bytes) -> int:
  """The status that a file must get: by what the library makes of it."""
  try:
    codec.decompress(file)
  except errors.CodecError as e:
    return e.exit_code
  return 0


def _status(outputs) -> list[int]:
  for status, message in zip(outputs["status"], outputs["message"]):
    assert bool(status) == bool(message)
    assert b"\n" not in message
  return outputs["status"].tolist()


def _assert_near(x, codec, data) -> None:
  colours = codec.decompress(data)[..., :3].astype(int)
  assert np.abs(x - colours).max() <= 1


@pytest.fixture(scope="module")
def files(session_model, photographs) -> dict[float, list[bytes]]:
  """The files of the photographs at each quality."""
  pngs = [library.png(x) for x in photographs]
  found = {}
  for quality in QUALITIES:
    outputs = session_model(
      "compress", image_bytes=pngs, quality=[quality] * len(pngs)
    )
    assert _status(outputs) == [0] * len(pngs)
    found[quality] = outputs["compressed_bytes"].tolist()
  return found


@pytest.fixture(scope="module")
def bad(codec) -> dict[bytes, int]:
  """Broken files, and the status that each must get."""
  found = [conformance_set.data(entry) for entry in _of_set("broken")]
  return {file: _verdict(codec, file) for file in found}


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_library_reads_the_symbols_that_it_would_choose(
  files, codec, photographs, quality
):
  for x, data in zip(photographs, files[quality]):
    assert codec.info(data).quality == quality
    np.testing.assert_array_equal(
      codec.symbols(data), library.symbols(codec.model, x, quality)
    )


@pytest.mark.parametrize("quality", QUALITIES)
def test_images_are_those_of_the_library(session_model, codec, files, quality):
  data = files[quality]
  outputs = session_model("decompress", compressed_bytes=data)
  assert _status(outputs) == [0] * len(data)
  for png, d in zip(outputs["image_bytes"], data):
    x = library.pixels(png)
    _assert_near(x, codec, d)
    tensor = session_model("decompress_image", compressed_bytes=[d])
    assert _status(tensor) == [0]
    np.testing.assert_array_equal(tensor["image"][0], x)
    assert np.all(tensor["alpha"] == 255)


def test_the_default_and_image_tensors_compress_as_files_do(
  session_model, photographs
):
  x = photographs[0]
  both = {"image": np.stack([x, x[::-1]])}
  pngs = {"image_bytes": [library.png(i) for i in both["image"]]}
  found = [
    session_model(name, **inputs, quality=[1.0, 2.0])["compressed_bytes"]
    for name, inputs in (
      ("compress", pngs), ("serving_default", pngs), ("compress_image", both)
    )
  ]  # fmt: skip
  for other in found[1:]:
    np.testing.assert_array_equal(found[0], other)


def test_batches_may_mix_sizes_qualities_and_faults(
  session_model, files, bad, photographs
):
  rng = np.random.default_rng(0)
  sound = [data for q in QUALITIES for data in files[q]]
  order = rng.permutation(len(sound) + len(bad))
  mixed = [[*sound, *bad][i] for i in order]
  outputs = session_model("decompress", compressed_bytes=mixed)
  expected = [bad.get(file, 0) for file in mixed]
  assert _status(outputs) == expected
  assert set(expected) == {0, 4, 5}
  for data, png, status in zip(mixed, outputs["image_bytes"], expected):
    assert bool(png) == (not status)
    if png:
      alone = session_model("decompress", compressed_bytes=[data])
      assert alone["image_bytes"].tolist() == [png]
  pngs = [library.png(x) for x in photographs] * len(QUALITIES) + [b"x", b""]
  qualities = [q for q in QUALITIES for _ in photographs] + [1.0, 9.0]
  order = rng.permutation(len(pngs))
  outputs = session_model(
    "compress",
    image_bytes=[pngs[i] for i in order],
    quality=[qualities[i] for i in order],
  )
  back = np.argsort(order)
  found = outputs["compressed_bytes"][back].tolist()
  assert found == [*sound, b"", b""]
  statuses = np.array(_status(outputs))[back]
  assert statuses.tolist() == [0] * len(sound) + [3, 2]


def test_image_tensors_of_a_batch_have_the_first_sound_size(
  session_model, photographs, files, bad
):
  data = files[2.0]
  items = [b"", data[1], data[0], *bad, data[1]]
  outputs = session_model("decompress_image", compressed_bytes=items)
  statuses = _status(outputs)
  assert statuses[:3] == [4, 0, 2] and statuses[-1] == 0
  assert all(statuses[3:-1])
  assert outputs["image"].shape[1:] == photographs[1].shape
  for name in ("image", "alpha"):
    for image, status in zip(outputs[name], statuses):
      assert image.any() == (not status)
  outputs = session_model("decompress_image", compressed_bytes=[b"", b"x"])
  assert _status(outputs) == [4, 4]
  assert outputs["image"].shape == (2, 0, 0, 3)
  assert outputs["alpha"].shape == (2, 0, 0, 1)


def test_jpeg_files(session_model, codec, files):
  data = files[2.0]
  outputs = session_model(
    "decompress_to_jpeg",
    compressed_bytes=[data[0], data[3], data[0], data[0], b"x", data[3]],
    jpeg_quality=[95, 95, 0, 101, 50, 10],
  )
  assert _status(outputs) == [0, 0, 2, 2, 4, 0]
  found = outputs["image_bytes"]
  assert [bool(file) for file in found] == [True] * 2 + [False] * 3 + [True]
  assert len(found[5]) < len(found[1])
  for file, d in zip(found, data[::3]):
    image = Image.open(io.BytesIO(file))
    assert image.format == "JPEG"
    difference = np.array(image).astype(int) - codec.decompress(d)
    assert np.abs(difference).mean() < 8


def _transparent() -> list[Image.Image]:
  """Images of all modes of PNG that have alpha."""
  names = ("pixel", "row", "column", "hard mask", "soft edges", "stored")
  masks = [case.alpha for case in alpha_boxes.sound() if case.name in names]
  found = [
    Image.fromarray(np.dstack([images.photograph(*alpha.shape), alpha]))
    for alpha in masks
  ]
  palette = Image.fromarray(images.photograph(40, 30)).quantize(200)
  palette.info["transparency"] = bytes(range(200))
  return [*found, found[-1].convert("LA"), palette, Image.new("RGBA", (5, 4))]


def _of_file(file: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(file)) as image:
    return np.array(image)


def _png(image: Image.Image) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, "PNG")
  return buffer.getvalue()


def test_alpha_is_kept_exactly(session_model, codec):
  sources = _transparent()
  outputs = session_model(
    "compress",
    image_bytes=[_png(image) for image in sources],
    quality=[2.0] * len(sources),
  )
  assert _status(outputs) == [0] * len(sources)
  data = outputs["compressed_bytes"]
  again = session_model("decompress", compressed_bytes=data)
  jpegs = session_model(
    "decompress_to_jpeg",
    compressed_bytes=data,
    jpeg_quality=[90] * len(data),
  )
  for i, image in enumerate(sources):
    expected = np.array(image.convert("RGBA"))[..., 3]
    (box,) = decode.open(data[i], codec.model, conftest.MAX_PIXELS).boxes
    np.testing.assert_array_equal(_of_file(box.data), expected)
    x = _of_file(again["image_bytes"][i])
    np.testing.assert_array_equal(x[..., 3], expected)
    tensors = session_model(
      "decompress_image", compressed_bytes=data[i : i + 1]
    )
    tensors = [tensors[name][0] for name in ("image", "alpha")]
    np.testing.assert_array_equal(np.concatenate(tensors, 2), x)
    _assert_near(x[..., :3].astype(int), codec, data[i])
    on_white = reading.to_rgb(x[..., :3], x[..., 3])
    jpeg = tf.raw_ops.EncodeJpegVariableQuality(images=on_white, quality=90)
    assert jpegs["image_bytes"][i] == jpeg


def test_files_without_alpha_have_no_box(session_model, photographs):
  x = photographs[0]
  opaque = _png(Image.fromarray(x).convert("RGBA"))
  outputs = session_model(
    "compress", image_bytes=[library.png(x), opaque], quality=[2.0] * 2
  )
  first, second = outputs["compressed_bytes"]
  assert first == second
  (png,) = session_model("decompress", compressed_bytes=[first])["image_bytes"]
  assert _of_file(png).shape == x.shape


def test_alpha_that_the_format_has_no_room_for(frozen_model, monkeypatch):
  monkeypatch.setattr(container, "MAX_BOXES_BYTES", 100)
  module = serving_module.ServingModule(frozen_model, conftest.MAX_PIXELS)
  x = np.random.default_rng(0).integers(0, 256, (20, 20, 4)).astype(np.uint8)
  pngs = [_png(Image.fromarray(i)) for i in (x, x[:1, :1], x[..., :3])]
  outputs = module.compress(pngs, tf.constant([1.0] * 3))
  outputs = {k: v.numpy() for k, v in outputs.items()}
  assert _status(outputs) == [5, 0, 0]
  assert b"alpha" in outputs["message"][0]


def test_a_box_of_alpha_beside_others_is_judged(session_model, codec):
  cases = [*alpha_boxes.sound(), *alpha_boxes.broken()]
  others = [container.Box(kind, b"1") for kind in (b"AAAA", b"zzzz")]
  data = []
  for case in cases:
    x = images.photograph(case.height, case.width)
    file = decode.open(codec.compress(x, 1), codec.model, x.size)
    boxes = [container.Box(b"Alph", case.content), *others]
    parts = forging.parts(file)._replace(boxes=container.pack_boxes(boxes))
    data.append(forging.joined(parts))
  expected = [0 if case.alpha is not None else 4 for case in cases]
  for name in ("info", "decompress", "decompress_image"):
    outputs = session_model(name, compressed_bytes=data)
    found = _status(outputs)
    if name == "decompress_image":  # All but one size are refused.
      found = np.where(np.equal(found, 2), expected, found).tolist()
    assert found == expected
  outputs = session_model("decompress", compressed_bytes=data)
  for case, png in zip(cases, outputs["image_bytes"]):
    if case.alpha is not None:
      np.testing.assert_array_equal(_of_file(png)[..., 3], case.alpha)


def test_info_is_that_of_the_library(session_model, codec, files):
  entries = _of_set("sound")
  data = [*files[1.375], *(conformance_set.data(entry) for entry in entries)]
  outputs = session_model("info", compressed_bytes=[*data, data[0][:-1]])
  assert _status(outputs) == [0] * len(data) + [4]
  for i, d in enumerate(data):
    expected = codec.info(d)
    for name in ("height", "width", "quality"):
      assert outputs[name][i] == getattr(expected, name)
    assert outputs["model_id"][i].decode() == expected.model_id
    assert outputs["bpp"][i] == pytest.approx(expected.bpp, rel=1e-6)
  for name in ("height", "width", "quality", "model_id", "bpp"):
    assert not outputs[name][-1]


@pytest.mark.parametrize("kind", ["cut", "bit", "zero", "appended"])
def test_every_damage_is_refused(session_model, kind):
  data = conformance_set.data(_of_set("sound")[2])
  damaged = forger.damaged(data)[kind]
  assert len(damaged) > 20
  for signature in ("info", "decompress"):
    outputs = session_model(signature, compressed_bytes=damaged)
    assert set(_status(outputs)) == {4}


def test_any_byte_before_the_lanes_is_judged_as_by_the_library(
  session_model, codec
):
  described = [entry for entry in _of_set("sound") if entry["metadata"]]
  entry = max(described, key=lambda entry: entry["lanes"])
  assert entry["lanes"] > 2
  data = conformance_set.data(entry)
  end = codec.info(data).header_bytes
  changed = [
    broken.seal(broken.changed(data, place, bytes([value])))
    for place in range(5, end)
    for value in {
      0,
      1,
      31,
      32,
      127,
      255,
      data[place] ^ 1,
      data[place] + 1 & 255,
    }
  ]
  outputs = session_model("decompress", compressed_bytes=changed)
  statuses = _status(outputs)
  for file, status in zip(changed, statuses):
    assert status == _verdict(codec, file), file.hex()
  assert set(statuses) == {0, 4, 5}


def test_a_size_without_its_payload_costs_no_memory(session_model, files):
  data = files[1.0][0]
  largest = broken.seal(broken.changed(data, 6, b"\xff" * 4))
  sides = struct.pack("<HH", 256, 256)
  too_short = broken.seal(broken.changed(data, 6, sides))
  items = [largest, too_short]
  session_model("decompress", compressed_bytes=items)  # Has its own memory.

  def refused():
    outputs = session_model("decompress", compressed_bytes=items)
    assert _status(outputs) == [5, 4]

  assert memory.growth(refused) < 1 << 24


def test_another_models_file_is_refused_and_both_are_named(
  session_model, codec, files
):
  foreign = broken.seal(broken.changed(files[1.0][0], 10, b"another!"))
  for signature in ("info", "decompress"):
    outputs = session_model(signature, compressed_bytes=[foreign])
    assert _status(outputs) == [4]
    for model_id in (b"another!", codec.model.model_id):
      assert model_id.hex().encode() in outputs["message"][0]


def test_bad_images_and_qualities_get_a_status(session_model, photographs):
  good = library.png(photographs[0])
  bomb = good[:16] + struct.pack(">II", 20000, 20000) + good[24:]
  items = [
    (good, 1.0, 0),
    (b"", 1.0, 3),
    (b"GIF89a", 1.0, 3),
    (good[:20], 1.0, 3),
    (good[:200], 1.0, 3),
    (good, 0.9, 2),
    (good, 2.1, 2),
    (good, np.nan, 2),
    (good, np.inf, 2),
    (bomb, 1.0, 5),
    (library.png(images.photograph(257, 256)), 1.0, 5),
    (good, 2.0, 0),
  ]
  data, quality, expected = zip(*items)
  outputs = session_model("compress", image_bytes=data, quality=quality)
  assert _status(outputs) == list(expected)
  empty = [not d for d in outputs["compressed_bytes"]]
  assert empty == [bool(status) for status in expected]


@pytest.mark.parametrize(
  "size, status", [((0, 5), 2), ((257, 256), 5), ((1, 65535), 0)]
)
def test_image_tensors_have_limits(session_model, size, status):
  image = np.zeros((2, *size, 3), np.uint8)
  outputs = session_model("compress_image", image=image, quality=[1.0, 9.0])
  assert _status(outputs) == [status, 2]


def test_the_limits_of_both_directions_agree(session_model, codec):
  wide = codec_lib.Codec(codec.model)
  data = wide.compress(images.photograph(257, 256), 1)
  outputs = session_model("info", compressed_bytes=[data])
  assert _status(outputs) == [5]


def test_empty_batches(session_model):
  outputs = session_model("decompress", compressed_bytes=[])
  assert outputs["image_bytes"].shape == (0,)
  outputs = session_model("compress", image_bytes=[], quality=[])
  assert outputs["status"].shape == (0,)


def test_a_request_that_is_no_batch_fails_alone(session_model, photographs):
  file = library.png(photographs[0])
  for inputs in (
    {"image_bytes": [file], "quality": [1.0, 1.0]},
    {"image_bytes": [file, file], "quality": [1.0]},
  ):
    with pytest.raises(tf.errors.InvalidArgumentError):
      session_model("compress", **inputs)
  with pytest.raises(ValueError):
    session_model("decompress", compressed_bytes=[[b"x"]])


def test_the_signatures_are_the_documented_ones(session_model):
  string, number, real, byte = 7, 3, 1, 4
  status = {"status": (number, [-1]), "message": (string, [-1])}
  data = {"compressed_bytes": (string, [-1])}
  quality = {"quality": (real, [-1])}
  jpeg_quality = {"jpeg_quality": (number, [-1])}
  image = {"image": (byte, [-1, -1, -1, 3])}
  file = {"image_bytes": (string, [-1])}
  facts = {
    "height": (number, [-1]),
    "width": (number, [-1]),
    "quality": (real, [-1]),
    "model_id": (string, [-1]),
    "bpp": (real, [-1]),
  }
  expected = {
    "serving_default": ({**file, **quality}, data),
    "compress": ({**file, **quality}, data),
    "decompress": (data, file),
    "decompress_to_jpeg": ({**data, **jpeg_quality}, file),
    "compress_image": ({**image, **quality}, data),
    "decompress_image": (data, {**image, "alpha": (byte, [-1, -1, -1, 1])}),
    "info": (data, facts),
  }

  def described(tensors):
    return {
      name: (t.dtype, [d.size for d in t.tensor_shape.dim])
      for name, t in tensors.items()
    }

  for name, (inputs, outputs) in expected.items():
    signature = session_model.signatures[name]
    assert described(signature.inputs) == inputs
    assert described(signature.outputs) == {**outputs, **status}


def test_latents_that_are_not_finite_get_a_status(frozen_model):
  weights = dict(frozen_model.weights)
  weights["analysis/2/bias"] = weights["analysis/2/bias"] * np.float32(np.nan)
  pair = dataclasses.replace(frozen_model.pairs[0], weights=weights)
  model = dataclasses.replace(frozen_model, pairs=(pair,))
  module = serving_module.ServingModule(model, conftest.MAX_PIXELS)
  x = np.stack([images.photograph(20, 20)] * 2)
  outputs = module.compress_image(x, tf.constant([1.0, 9.0]))
  outputs = {k: v.numpy() for k, v in outputs.items()}
  assert _status(outputs) == [3, 2]
  assert b"not finite" in outputs["message"][0]
  assert not any(outputs["compressed_bytes"])


def test_latents_beyond_integers_are_clipped_as_in_the_library(frozen_model):
  tables = frozen_model.tables
  louder = dataclasses.replace(tables, gain=tables.gain * np.float32(1e30))
  model = dataclasses.replace(frozen_model, tables=louder)
  module = serving_module.ServingModule(model, conftest.MAX_PIXELS)
  x = images.photograph(20, 20)
  outputs = module.compress_image(x[None], tf.constant([1.5]))
  (data,) = outputs["compressed_bytes"].numpy()
  np.testing.assert_array_equal(
    codec_lib.Codec(model).symbols(data), library.symbols(model, x, 1.5)
  )
