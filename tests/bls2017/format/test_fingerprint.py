"""The checksum is FarmHash Fingerprint64, with TensorFlow and without."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bls2017.format import fingerprint

BYTES = np.random.default_rng(0).bytes(3_000_001)


@pytest.mark.parametrize(
  "lengths", [range(301), (1000, 65_535, 1 << 20, len(BYTES))]
)
def test_plain_integers_give_tensorflows_fingerprint(lengths):
  for length in lengths:
    data = BYTES[-length:] if length else b""
    expected = bytes(tf.fingerprint([data])[0].numpy())
    assert fingerprint.plain_fingerprint(data) == expected
    assert fingerprint.fingerprint(data) == expected


def test_all_bits_set_do_not_overflow():
  for length in (3, 7, 16, 32, 64, 65, 128, 1000):
    data = b"\xff" * length
    expected = bytes(tf.fingerprint([data])[0].numpy())
    assert fingerprint.plain_fingerprint(data) == expected


def test_the_empty_string_has_the_published_value():
  expected = struct.pack("<Q", 0x9AE16A3B2F90404F)
  assert fingerprint.plain_fingerprint(b"") == expected


def test_a_header_is_read_without_tensorflow(codec):
  image = np.zeros((20, 30, 3), np.uint8)
  program = (
    "import sys; from bls2017.format import container;"
    "print(container.unpack_header(bytes.fromhex(sys.argv[1])).width,"
    " 'tensorflow' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, codec.compress(image, 1).hex()],
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.split() == ["30", "False"]
