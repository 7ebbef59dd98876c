"""Every truncation, every flipped bit and more, of whole files.

    python -m tests.fuzz.exhaustive

As they are, all of them must be refused. With the checksum made right again,
each must be refused or be the one spelling of an image, for both runtimes. The
short form, of the smallest file, is in `test_fuzz.py`.
"""

from __future__ import annotations

import pathlib
import sys

from bls2017 import codec as codec_lib
from bls2017 import errors
from bls2017.format import container, range_coder_numpy
from tests.fuzz import container as container_fuzz
from tests.fuzz import payloads

GOLDEN = payloads.GOLDEN
_BLOCK = 16


def damaged(data: bytes) -> dict[str, list[bytes]]:
  """What can happen to a file: by the kind of damage."""
  cut = [data[:length] for length in range(len(data))]
  flipped = []
  for bit in range(8 * len(data)):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    flipped.append(bytes(changed))
  zeroed = [
    data[:start] + bytes(_BLOCK) + data[start + _BLOCK :]
    for start in range(0, len(data) - _BLOCK)
    if any(data[start : start + _BLOCK])
  ]
  appended = [data + bytes(n) for n in range(1, 1001)]
  return {"cut": cut, "bit": flipped, "zero": zeroed, "appended": appended}


def check(data: bytes, sealed_share: int = 1) -> tuple[int, int]:
  """The laws for all that can happen to a file.

  Args:
    data: The file.
    sealed_share: Seal and decode each so manyth.

  Returns:
    Files that were refused, and files with a right checksum that were decoded.

  Raises:
    AssertionError: if a law does not hold.
  """
  version = data[container.VERSION_OFFSET]
  codec = codec_lib.Codec.load(str(GOLDEN / f"v{version}" / "model"))
  other = codec_lib.Codec(codec.model, range_coder_numpy.NumpyRangeCoder())
  refused = decoded = 0
  for kind, files in damaged(data).items():
    for number, changed in enumerate(files):
      try:
        container.unpack_header(changed)
      except errors.BitstreamError:
        refused += 1
      else:
        raise AssertionError(f"{kind}: {changed.hex()} is accepted")
      whole = len(changed) >= container.HEADER_BYTES and kind != "appended"
      if not whole or number % sealed_share:
        continue
      sealed = container_fuzz.seal(changed)
      if sealed == data or _is_large(sealed):
        continue
      payloads.check_codec(codec, other, sealed)
      decoded += 1
  return refused, decoded


def _is_large(data: bytes) -> bool:
  """Whether a header asks for more than takes no time."""
  try:
    return container.unpack_header(data).positions > 1 << 8
  except errors.BitstreamError:
    return False


def main() -> None:
  """Prints what was tried."""
  files = [pathlib.Path(p) for p in sys.argv[1:]] or sorted(
    GOLDEN.glob("v[23]/*.bls")
  )
  for path in files:
    refused, decoded = check(path.read_bytes())
    print(
      f"{path.name}: {refused} damaged files refused, {decoded} sealed again"
      " and decoded alike by both runtimes",
      flush=True,
    )


if __name__ == "__main__":
  main()
