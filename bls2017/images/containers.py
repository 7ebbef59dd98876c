"""Takes image files apart into samples and what is said beside them.

PNG, JPEG, AVIF and JPEG 2000 files are read here, and Pillow gets the parts
that hold samples alone, so that nothing else in a file can stop Pillow or slow
it down. Left out and named as lost are:

- chunks of PNG with a wrong checksum, unless they hold samples;
- bytes between and after the parts of a file, further pictures, gain maps and
  motion videos among them;
- texts, comments, and segments, chunks and boxes of other programs.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from bls2017 import errors
from bls2017.images import metadata
from bls2017.images.metadata import Description

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_ICONS = (b"\0\0\1\0", b"\0\0\2\0", b"icns")
_WHITE_SPACE = b"\0\t\n\r \xef\xbb\xbf"
_PADDING = b"\0\n\r"

_MAX_INFLATED = 1 << 24
_MAX_READ = 1 << 30
"""Most bytes of a file that are looked at."""

_SILENT_CHUNKS = (
  b"acTL bKGD cHRM cICP eXIf fcTL fdAT gAMA hIST iCCP iDOT iTXt oFFs pHYs sBIT"
  b" sPLT sRGB tEXt tIME tRNS vpAg zTXt"
).split()
"""Chunks that are read, or without which nothing is missing."""

_SILENT_SEGMENTS = (
  b"JFIF\0", b"JFXX\0", b"Adobe", b"MPF\0", b"Ducky", b"urn:iso:std:iso:ts:",
)  # fmt: skip

_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
"""A segment that says that samples are YCbCr, and nothing else."""

_SILENT_BOXES = (b"ftyp", b"meta", b"mdat", b"free", b"skip", b"moov")

_MOTION = re.compile(rb"(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*1")
_VIDEO = re.compile(rb"ftyp(?:mp4|iso|qt  |avc|M4V|MSNV|3gp)")
_GAIN_MAP = re.compile(rb"hdrgm:|HDRGainMap|urn:iso:std:iso:ts:21496")
_DEEP_AV1 = re.compile(rb"av1C..[\x40-\x7f\xc0-\xff]", re.DOTALL)
_NCLX = re.compile(rb"colrnclx.(.).(.)", re.DOTALL)
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
_PROFILE = re.compile(rb"colr(?:prof|rICC)")

_INNER_SIZES = re.compile(
  rb"\x89PNG\r\n\x1a\n....IHDR(.{8})|\xff\x4f\xff\x51....(.{8})", re.DOTALL
)
"""Sizes of PNG and JPEG 2000 images, which may be inside of others."""

Segments = list[tuple[int, bytes]]  # Markers of JPEG, and what they hold.
_UUIDS = {
  b"JpgTiffExif->JP2": "exif",
  bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
}


def take_apart(
  stream: BinaryIO, max_pixels: int
) -> tuple[BinaryIO, Description]:
  """Reads what can be read of a file without decoding its samples.

  Args:
    stream: A file that can seek.
    max_pixels: Limit of width times height, checked where it saves memory.

  Returns:
    A file for Pillow, and what is known.

  Raises:
    errors.UnreadableInputError: if a part with samples is damaged, the file is
      cut off, or an animated PNG.
    errors.LimitError: if the image has more pixels than allowed.
  """
  stream.seek(0)
  start = stream.read(1024)
  # Programs put white space before images by mistake.
  at = len(start) - len(start.lstrip(_WHITE_SPACE))
  about = Description()
  if start.startswith(_PNG, at):
    stream.seek(at)
    return _png(stream, about, max_pixels), about
  if start.startswith(_JPEG, at):
    stream.seek(at)
    return _jpeg(_read(stream, _MAX_READ), about), about
  stream.seek(0)
  if start[:4] == b"II*\0" and start[8:10] == b"CR":
    raise errors.UnreadableInputError("is a camera's raw file (CR2)")
  if start[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1"):
    return _avif(_read(stream, _MAX_READ), about), about
  if start.startswith((*_JPEG_2000, *_ICONS)):
    # Pillow believes what stands around the images, or decodes them at once.
    for sizes in _INNER_SIZES.findall(_read(stream, _MAX_READ)):
      check_pixels(struct.unpack(">II", sizes[0] or sizes[1]), max_pixels)
    stream.seek(0)
  if start.startswith(_JPEG_2000):
    return _jpeg_2000(_read(stream, _MAX_READ), about), about
  if start.startswith(b"BM") and start[70:74] in (b"DEBM", b"KNIL"):
    about.losses.append("its ICC profile")
  elif start.startswith(b"RIFF"):  # WebP, among others.
    stream.seek(8 + int.from_bytes(start[4:8], "little"))
    _look_behind(stream, about)
  return stream, about


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
  """Raises errors.LimitError if width times height is over a limit."""
  width, height = size
  if width * height > max_pixels:
    raise errors.LimitError(
      f"has {width} x {height} pixels, the limit is {max_pixels}"
    )


def _read(stream: BinaryIO, length: int) -> bytes:
  """So many bytes or fewer, without room for those that are not there."""
  parts = []
  while length > 0:
    part = stream.read(min(length, 1 << 20))
    if not part:
      break
    parts.append(part)
    length -= len(part)
  return b"".join(parts)


def _look_behind(stream: BinaryIO, about: Description) -> None:
  if stream.read(1024).strip(_PADDING):
    about.losses.append("bytes after its end")


def _name(about: Description, what: str, names: list[str]) -> None:
  if names:
    text = ", ".join(dict.fromkeys(names))[:80]
    text = "".join(c if c.isprintable() else "?" for c in text)
    about.losses.append(f"{what} ({text})")


# PNG


def _png(stream: BinaryIO, about: Description, max_pixels: int) -> BinaryIO:
  parts = [stream.read(len(_PNG))]
  chunks: dict[bytes, bytes] = {}
  texts: list[tuple[bytes, bytes]] = []
  damaged, others = [], []
  header = kind = b""
  while kind != b"IEND":
    head = stream.read(8)
    if len(head) < 8 or not head[4:].isalpha():
      raise errors.UnreadableInputError("is damaged or cut off")
    length, kind = struct.unpack(">I4s", head)
    body, checksum = _read(stream, length), stream.read(4)
    is_right = checksum == struct.pack(">I", zlib.crc32(kind + body))
    if kind[:1].islower():  # Not needed for the samples.
      if not is_right:
        damaged.append(kind.decode())
      elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        texts.append((kind, body))
      elif kind not in _SILENT_CHUNKS:
        others.append(kind.decode())
      else:
        chunks.setdefault(kind, body)
      if kind != b"tRNS" or not is_right or header[9:10] != b"\3":
        continue
    elif not is_right:
      raise errors.UnreadableInputError(
        f"is damaged or cut off: the checksum of {kind.decode()} is wrong"
      )
    parts += [head, body, checksum]
    if not header:
      if kind != b"IHDR" or len(body) != 13:
        raise errors.UnreadableInputError(
          f"begins with {kind.decode()}, not IHDR"
        )
      header = body
      check_pixels(struct.unpack(">II", body[:8]), max_pixels)
  _look_behind(stream, about)
  _name(about, "damaged chunks", damaged)
  _name(about, "chunks", others)
  _read_chunks(chunks, header, about)
  _read_texts(texts, about)
  return io.BytesIO(b"".join(parts))


def _read_chunks(chunks: dict, header: bytes, about: Description) -> None:
  about.depth, colour = header[8], header[9]
  frames = chunks.get(b"acTL", b"")
  if len(frames) == 8 and frames[:4] > b"\0\0\0\1":
    raise errors.UnreadableInputError("is an animation; extract a frame first")
  about.exif = metadata.plain_exif(chunks.get(b"eXIf", b""))
  key = chunks.get(b"tRNS", b"")
  if (colour, len(key)) in ((0, 2), (2, 6)):
    about.key = struct.unpack(f">{len(key) // 2}H", key)
  if b"iCCP" in chunks:
    about.icc = _inflated(chunks[b"iCCP"].partition(b"\0")[2][1:])
    if not about.icc:
      about.losses.append("a damaged ICC profile")
  cicp = chunks.get(b"cICP", b"")
  if len(cicp) == 4:
    about.cicp = cicp[0], cicp[1]
    if cicp[2:] != b"\0\1":
      about.losses.append("the matrix or the range of cICP")
  if b"sRGB" not in chunks:
    with contextlib.suppress(struct.error):
      values = struct.unpack(">8I", chunks.get(b"cHRM", b""))
      about.chromaticities = tuple(value / 100_000 for value in values)
    with contextlib.suppress(struct.error):
      (value,) = struct.unpack(">I", chunks.get(b"gAMA", b""))
      about.gamma = value / 100_000


def _read_texts(texts: list[tuple[bytes, bytes]], about: Description) -> None:
  others = []
  for kind, body in texts:
    key, _, text = body.partition(b"\0")
    name = key.decode("latin-1")
    raw = re.fullmatch("raw profile type (exif|app1|xmp|iptc|8bim)", name, re.I)
    if kind == b"iTXt" and name == metadata.PNG_XMP:
      packed, packet = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
      about.xmp = about.xmp or (_inflated(packet) if packed else packet)
    elif raw and raw[1].lower() in ("iptc", "8bim"):
      about.losses.append(metadata.IPTC)
    elif raw:
      text = _inflated(text[1:]) if kind == b"zTXt" else text
      data = metadata.raw_profile(text)
      if raw[1] == "xmp" or data.startswith(metadata.XMP_PREFIX):
        about.xmp = about.xmp or data.removeprefix(metadata.XMP_PREFIX)
      else:
        about.exif = about.exif or metadata.plain_exif(data)
    else:
      others.append(name)
  _name(about, "texts", others)


def _inflated(data: bytes) -> bytes:
  """The bytes that zlib packed; none if they are damaged or very long."""
  inflater = zlib.decompressobj()
  with contextlib.suppress(zlib.error):
    content = inflater.decompress(data, _MAX_INFLATED)
    return content if inflater.eof else b""
  return b""


# JPEG


def _jpeg(data: bytes, about: Description) -> BinaryIO:
  parts = [data[:2]]
  segments: Segments = []
  at, junk = 2, 0
  start = data.find(b"\xff", at)
  while 0 <= start <= len(data) - 4:
    marker = data[start + 1]
    junk += start - at
    if marker in (0xD9, 0xDA):  # The end, or the start of samples.
      break
    at = start + 1
    if marker <= 0x01 or 0xD0 <= marker <= 0xD8:
      junk += 2
      at = start + 2
    elif marker != 0xFF:  # Else it is padding.
      at += 1 + max(2, int.from_bytes(data[start + 2 : start + 4], "big"))
      segment = data[start + 4 : at]
      if 0xE0 <= marker <= 0xEF or marker == 0xFE:
        segments.append((marker, segment))
      if marker == 0xE0 and segment.startswith(b"JFIF"):
        parts.append(_JFIF)
      elif marker < 0xE0 or segment.startswith(b"Adobe"):
        parts.append(data[start:at])
    start = data.find(b"\xff", at)
  if junk:
    about.losses.append("bytes between its parts")
  samples = data[max(start, 0) :]
  _read_segments(segments, about)
  end = samples.find(b"\xff\xd9")
  if end < 0:
    raise errors.UnreadableInputError("is cut off")
  _name_rest(samples[end + 2 :], segments, about)
  return io.BytesIO(b"".join([*parts, samples]))


def _read_segments(segments: Segments, about: Description) -> None:
  exif, profile, others = b"", [], []
  for marker, segment in segments:
    if marker == 0xE1 and segment.startswith(metadata.EXIF_PREFIX[:5]):
      part = segment[len(metadata.EXIF_PREFIX) :]
      if exif and part[:2] in (b"II", b"MM"):
        others.append("a second Exif")
      else:
        exif += part
    elif marker == 0xE1 and segment.startswith(metadata.XMP_PREFIX):
      about.xmp = about.xmp or segment[len(metadata.XMP_PREFIX) :]
    elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
      profile.append(segment[12:])
    elif marker == 0xED and segment.startswith(b"Photoshop 3.0\0"):
      if metadata.IPTC_START in segment:
        about.losses.append(metadata.IPTC)
    elif marker == 0xFE:
      about.losses.append("a comment")
    elif not segment.startswith(_SILENT_SEGMENTS):
      name = re.split(rb"[^ -~]", segment[:40])[0].decode()
      others.append(f"APP{marker - 0xE0} {name}".strip())
  about.exif = metadata.plain_exif(exif)
  _name(about, "segments", others)
  if profile:
    profile.sort(key=lambda part: part[:1])
    numbers = [int.from_bytes(part[:1], "big") for part in profile]
    if numbers == list(range(1, (profile[0][1:2] or b"\0")[0] + 1)):
      about.icc = b"".join(part[2:] for part in profile)
    else:
      about.losses.append("an incomplete ICC profile")


def _name_rest(rest: bytes, segments: Segments, about: Description) -> None:
  """Says what follows a JPEG image: other images, a video, or anything."""
  if not rest.strip(_PADDING):
    return
  found = []
  if _JPEG in rest:
    parts = [rest, *(segment for _, segment in segments)]
    has_gain_map = any(map(_GAIN_MAP.search, parts))
    found.append("a gain map" if has_gain_map else "further pictures")
  if _VIDEO.search(rest) or _MOTION.search(about.xmp):
    found.append("a motion video")
  about.losses += found or ["bytes after its end"]


# AVIF and JPEG 2000


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple]:
  """Type of each box, and start and end of its content."""
  while start + 8 <= end:
    length, kind = struct.unpack_from(">I4s", data, start)
    content = start + 8
    if length == 1 and start + 16 <= end:
      (length,) = struct.unpack_from(">Q", data, content)
      content = start + 16
    stop = start + length if length else end
    if not content <= stop <= end:
      return
    yield kind, content, stop
    start = stop


def _avif(data: bytes, about: Description) -> BinaryIO:
  top = {kind: (a, b) for kind, a, b in _boxes(data, 0, len(data))}
  others = [kind for kind in top if kind not in _SILENT_BOXES]
  _name(about, "boxes", [kind.decode("latin-1") for kind in others])
  start, end = top.get(b"meta", (0, 0))
  about.depth = 10 if _DEEP_AV1.search(data, start, end) else 8
  colours = _NCLX.search(data, start, end)
  if colours and not _PROFILE.search(data, start, end):
    about.cicp = colours[1][0], colours[2][0]
  if data.find(b"tmap", 0, end) >= 0:
    about.losses.append("a gain map")
  return io.BytesIO(data)


def without_exif(stream: BinaryIO) -> BinaryIO:
  """An AVIF file whose Exif nobody finds, for damaged Exif stops Pillow."""
  stream.seek(0)
  return io.BytesIO(_EXIF_ITEM.sub(rb"\1none", _read(stream, _MAX_READ)))


def _jpeg_2000(data: bytes, about: Description) -> BinaryIO:
  size = data.find(_JPEG_2000[1])
  if size >= 0:
    number = int.from_bytes(data[size + 40 : size + 42], "big")
    depths = data[size + 42 : size + 42 + 3 * number : 3]
    about.depth = max((1 + (depth & 127) for depth in depths), default=8)
  others = []
  for kind, start, end in _boxes(data, 0, len(data)):
    name = _UUIDS.get(data[start : start + 16]) if kind == b"uuid" else None
    if kind == b"jp2h":
      for inner, a, b in _boxes(data, start, end):
        if inner == b"colr" and data[a : a + 1] in (b"\2", b"\3"):
          about.icc = about.icc or data[a + 3 : b]
    elif name:
      setattr(about, name, metadata.plain_exif(data[start + 16 : end]))
    elif kind in (b"uuid", b"xml ", b"asoc"):
      others.append(kind.decode().strip())
  _name(about, "boxes", others)
  return io.BytesIO(data)
