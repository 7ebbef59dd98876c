"""Metadata and lane lengths are read and refused as in the library."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.format import container
from export.graph import graph_lanes
from tests import laws

_LONGEST = tf.constant(1 << 30)


@pytest.fixture(scope="module", params=[2, 3])
def version(request):
  return request.param


def _unpack(version):
  return tf.function(
    lambda data, count: graph_lanes.unpack(
      data, version, count, _LONGEST, _LONGEST
    ),
    input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)],
    autograph=False,
  )


@pytest.fixture(scope="module")
def unpack(version):
  return _unpack(version)


@pytest.fixture(scope="module")
def pack(version):
  return tf.function(
    lambda lengths: graph_lanes.pack_lengths(lengths, version),
    input_signature=[tf.TensorSpec((None,), tf.int32)],
    autograph=False,
  )


_KINDS = st.text(
  st.characters(codec="ascii", categories=("L",)), min_size=4, max_size=4
)
_BOXES = st.dictionaries(_KINDS, st.binary(min_size=1, max_size=9), max_size=3)


@laws.examples(200)
@given(
  lengths=st.lists(st.integers(0, 40), min_size=1, max_size=20),
  longer=st.sampled_from([0, 0, 300]),
  boxes=_BOXES,
  changes=st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3
  ),
  cut=st.integers(0, 40),
)
def test_files_are_read_and_refused_alike(
  unpack, pack, version, lengths, longer, boxes, changes, cut
):
  lengths[0] += longer
  header = container.Header(16, 16 * len(lengths), 0, b"model id", version)
  named = [container.Box(k.encode(), v) for k, v in boxes.items()]
  streams = [bytes([7]) * n for n in lengths]
  data = container.pack(header, streams, named if version > 2 else ())
  plain = container.pack(header, streams)
  between = pack(tf.constant(lengths)).numpy()
  assert plain == plain[: container.HEADER_BYTES] + between + b"".join(streams)
  content = bytearray(data)
  for place, value in changes:
    if container.HEADER_BYTES + place < len(content):
      content[container.HEADER_BYTES + place] = value
  data = bytes(content[: max(len(content) - cut // 4, 26)])
  try:
    container.unpack_boxes(data, header)
    expected = container.unpack_lanes(data, header, 1)
  except errors.BitstreamError as e:
    expected = str(e)
  payload, found, verdict = unpack(data, len(lengths))
  if verdict.status.numpy():
    assert verdict.message.numpy().decode() == expected
  else:
    assert found.numpy().tolist() == [len(s) for s in expected]
    assert payload.numpy() == b"".join(expected)


@pytest.mark.parametrize("count", [64, 65])
def test_boxes_have_a_limit_as_in_the_library(monkeypatch, count):
  boxes = [container.Box(b"%04d" % i, b"1") for i in range(count)]
  header = container.Header(16, 16, 0, b"model id", 3)
  with monkeypatch.context() as lifted:
    lifted.setattr(container, "MAX_BOXES", count)
    data = container.pack(header, [b"lane"], boxes)
  payload, lengths, verdict = _unpack(3)(data, 1)
  if count <= container.MAX_BOXES:
    assert container.unpack_boxes(data, header) == boxes
    assert verdict.status.numpy() == 0
    assert (payload.numpy(), lengths.numpy().tolist()) == (b"lane", [4])
  else:
    with pytest.raises(errors.BitstreamError) as refused:
      container.unpack_boxes(data, header)
    assert verdict.status.numpy() == errors.BitstreamError.exit_code
    assert verdict.message.numpy().decode() == str(refused.value)
