"""Image files made for tests, part by part, as no library would write them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tests.bls2017.images.pictures import X

ORIENTATION = 0x0112

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# A profile whose red is sRGB's green, and the other way round.
SWAPPED = (
  SRGB.replace(b"rXYZ", b"????")
  .replace(b"gXYZ", b"rXYZ")
  .replace(b"????", b"gXYZ")
)

# How an upright picture is stored under each orientation.
STORED = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: np.rot90(x, 1),
  7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
  8: lambda x: np.rot90(x, -1),
}

_LETTERS = {
  1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i",
  11: "f", 13: "I",
}  # fmt: skip


def saved(image, kind, **options):
  """The bytes that Pillow writes for an image or an array."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(np.ascontiguousarray(image))
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def chunk(kind, content, checksum=None):
  """A chunk of PNG, with another checksum if one is given."""
  checksum = zlib.crc32(kind + content) if checksum is None else checksum
  size = struct.pack(">I", len(content))
  return size + kind + content + struct.pack(">I", checksum)


def png(x, *chunks, depth=8, size=None, after=b"", idat=None):
  """A PNG file of samples [H, W] or [H, W, 1 to 4], and chunks before them."""
  x = x.reshape(*x.shape[:2], -1)
  colour = {1: 0, 2: 4, 3: 2, 4: 6}[x.shape[-1]]
  width, height = size or (x.shape[1], x.shape[0])
  if depth == 16:
    rows = x.astype(">u2").reshape(len(x), -1).view(np.uint8)
  elif depth == 8:
    rows = x.reshape(len(x), -1).astype(np.uint8)
  else:
    bits = np.unpackbits(x.astype(np.uint8)).reshape(*x.shape[:2], 8)
    rows = np.packbits(bits[..., -depth:].reshape(len(x), -1), axis=1)
  filtered = b"".join(b"\0" + row.tobytes() for row in rows)
  fields = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
  data = zlib.compress(filtered) if idat is None else idat
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", fields)
    + b"".join(c if isinstance(c, bytes) else chunk(*c) for c in chunks)
    + chunk(b"IDAT", data)
    + chunk(b"IEND", b"")
    + after
  )


def raw_profile(name, content):
  """A text of PNG that holds bytes, as ImageMagick writes it."""
  lines = [content.hex()[i : i + 72] for i in range(0, 2 * len(content), 72)]
  text = f"\n{name}\n{len(content):8d}\n" + "\n".join(lines) + "\n"
  return f"Raw profile type {name}".encode() + b"\0" + text.encode()


def directory(entries, order="<", start=0, more=0):
  """A directory of TIFF from (tag, type, values), and what does not fit in."""
  size = 2 + 12 * len(entries) + 4
  fields, content = b"", b""
  for tag, kind, values in sorted(entries):
    values = values if isinstance(values, (list, tuple, bytes)) else [values]
    if isinstance(values, bytes):
      packed = values
    else:
      form = order + _LETTERS[kind] * (len(values) // len(_LETTERS[kind]))
      packed = struct.pack(form, *values)
    number = len(values) // len(_LETTERS[kind])
    if len(packed) > 4:
      offset = struct.pack(f"{order}I", start + size + len(content))
      content += packed + b"\0" * (len(packed) % 2)
      packed = offset
    fields += struct.pack(f"{order}HHI", tag, kind, number)
    fields += packed.ljust(4, b"\0")
  count = struct.pack(f"{order}H", len(entries))
  following = struct.pack(f"{order}I", more)
  return count + fields + following + content


def exif(*entries, order="<"):
  """Exif of one directory."""
  head = b"II*\0" if order == "<" else b"MM\0*"
  return head + struct.pack(f"{order}I", 8) + directory(entries, order, 8)


def turned(orientation=6, kind=3, order="<"):
  """Exif that states an orientation, beside a maker."""
  entries = ((271, 2, b"Maker\0"), (ORIENTATION, kind, orientation))
  return exif(*entries, order=order)


def tiff(x, *entries, bits=8, photometry=None, order="<", pages=()):
  """An uncompressed TIFF file of samples; entries replace the usual ones.

  Each of the pages is (x, entries) and comes before the others.
  """
  parts = [b"II*\0" if order == "<" else b"MM\0*"]
  todo = [*pages, (x, entries)]
  start = 8
  for number, (samples, more) in enumerate(todo):
    samples = np.asarray(samples)
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    data = _packed(samples, bits, order)
    usual = {
      256: (4, width), 257: (4, height), 258: (3, [bits] * channels),
      259: (3, 1), 262: (3, 2 if channels > 2 else 1), 273: (4, start),
      277: (3, channels), 278: (4, height), 279: (4, len(data)),
    }  # fmt: skip
    if photometry is not None:
      usual[262] = (3, photometry)
    usual.update({tag: (kind, values) for tag, kind, values in more})
    fields = [(tag, *value) for tag, value in usual.items()]
    at = start + len(data)
    made = directory(fields, order, at)
    end = at + len(made)
    if number < len(todo) - 1:
      made = directory(fields, order, at, more=end + _size(todo[number + 1]))
    parts += [struct.pack(f"{order}I", at)] if number == 0 else []
    parts += [data, made]
    start = end
  return b"".join(parts)


def _size(page):
  return np.asarray(page[0]).nbytes


def _packed(samples, bits, order):
  if bits == 12:
    a, b = samples[:, ::2].astype(int), samples[:, 1::2].astype(int)
    three = [a >> 4, (a & 15) << 4 | b >> 8, b & 255]
    return np.concatenate(three, -1).astype(np.uint8).tobytes()
  if bits < 8:
    flat = np.unpackbits(samples.astype(np.uint8)).reshape(len(samples), -1, 8)
    return np.packbits(flat[..., -bits:].reshape(len(samples), -1), 1).tobytes()
  return samples.astype(samples.dtype.newbyteorder(order)).tobytes()


def jpeg(x, *segments, after=b"", before=b"", **options):
  """A JPEG file, with segments (marker, content) or bytes after its start."""
  data = saved(x, "JPEG", quality=100, subsampling=0, **options)
  made = b"".join(
    s
    if isinstance(s, bytes)
    else struct.pack(">BBH", 255, s[0], 2 + len(s[1])) + s[1]
    for s in segments
  )
  return before + data[:2] + made + data[2:] + after


def without(data, marker):
  """A JPEG file without its segments of a kind."""
  at = 2
  while data[at + 1] != 0xDA:
    (length,) = struct.unpack_from(">H", data, at + 2)
    if data[at + 1] == marker:
      data = data[:at] + data[at + 2 + length :]
    else:
      at += 2 + length
  return data


def box(kind, content):
  """A box of JPEG 2000."""
  return struct.pack(">I", 8 + len(content)) + kind + content


def xmp(orientation, as_element=False):
  """An XMP packet that states an orientation."""
  inner = f' tiff:Orientation="{orientation}">'
  if as_element:
    inner = f"><tiff:Orientation>{orientation}</tiff:Orientation>"
  return f"<rdf:Description dc:title='é'{inner}</rdf:Description>".encode()


def xmp_chunk(packet):
  """An XMP packet in PNG."""
  return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet


def pillow_png(x, key, value):
  """A PNG file with a text that Pillow packs."""
  info = PngImagePlugin.PngInfo()
  info.add_text(key, value, zip=True)
  return saved(x, "PNG", pnginfo=info)


def psd(x, resources=b"", layers=0, mode=3):
  """A Photoshop file of raw channels, with empty layers."""
  x = x.reshape(*x.shape[:2], -1)
  height, width, channels = x.shape
  info = b""
  if layers:
    one = struct.pack(">4IH", 0, 0, 0, 0, 1) + struct.pack(">hI", 0, 2)
    one += b"8BIMnorm\xff\0\0\0" + struct.pack(">I", 12) + bytes(8) + b"\1L\0\0"
    info = struct.pack(">h", layers) + one * layers + bytes(2) * layers
    info = struct.pack(">I", len(info)) + info
  header = struct.pack(
    ">4sH6xHIIHH", b"8BPS", 1, channels, height, width, 8, mode
  )
  return (
    header
    + struct.pack(">I", 0)
    + struct.pack(">I", len(resources))
    + resources
    + struct.pack(">I", len(info))
    + info
    + b"\0\0"
    + np.moveaxis(x, -1, 0).tobytes()
  )


def resource(number, content):
  """A resource of a Photoshop file."""
  padding = b"\0" * (len(content) % 2)
  head = struct.pack(">4sH2xI", b"8BIM", number, len(content))
  return head + content + padding


def tga(x, descriptor):
  """A TGA file of 32-bit pixels [H, W, 4] in RGBA."""
  height, width = x.shape[:2]
  fields = (0, 0, 2, 0, 0, 0, 0, 0, width, height, 32, 0x20 | descriptor)
  return struct.pack("<BBBHHBHHHHBB", *fields) + x[..., [2, 1, 0, 3]].tobytes()


def bmp(x, profile=b"", alpha=False):
  """A BMP file of version 5 of 32-bit pixels [H, W, 4] in RGBA."""
  height, width = x.shape[:2]
  data = x[::-1, :, [2, 1, 0, 3]].tobytes()
  masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000 if alpha else 0)
  header = struct.pack(
    "<IiiHHIIiiII4I4s36x3II3I",
    *(124, width, height, 1, 32, 3, len(data), 0, 0, 0, 0),
    *masks,
    b"DEBM" if profile else b"BGRs",
    *(0, 0, 0),
    4,
    *(124 + len(data), len(profile), 0),
  )
  size = 14 + len(header) + len(data) + len(profile)
  return struct.pack("<2sIII", b"BM", size, 0, 138) + header + data + profile


def stored(orientation, x=X):
  return np.ascontiguousarray(STORED[orientation](x))


def exif_chunk(content):
  return b"eXIf", content


def gama(value):
  return b"gAMA", struct.pack(">I", value)


def chrm(values):
  return b"cHRM", struct.pack(">8I", *values)


def iccp(profile):
  return b"iCCP", b"x\0\0" + zlib.compress(profile, 9)


def with_thumbnail(orientation):
  head = turned(orientation)
  second = directory([(ORIENTATION, 3, 6)])
  at = struct.pack("<I", len(head))
  return head[:34] + at + head[38:] + second


def many_entries(*orientations):
  """Exif of 65,535 entries, of which the last ones state orientations."""
  count = 0xFFFF - len(orientations)
  tags = [*range(count), *[ORIENTATION] * len(orientations)]
  values = [*[0] * count, *orientations]
  entries = (
    struct.pack("<HHII", tag, 3, 1, value) for tag, value in zip(tags, values)
  )
  head = b"II*\0" + struct.pack("<IH", 8, 0xFFFF)
  return head + b"".join(entries) + bytes(4)


def raw_chunk(kind, name, content):
  key, _, text = raw_profile(name, content).partition(b"\0")
  return kind, key + (
    b"\0\0" + zlib.compress(text) if kind == b"zTXt" else b"\0" + text
  )


def in_segments(exif, size=65_000):
  parts = [exif[i : i + size] for i in range(0, len(exif), size)]
  return [(0xE1, b"Exif\0\0" + part) for part in parts]


def jp2(x, *boxes):
  data = saved(x, "JPEG2000")
  at = data.index(b"jp2c") - 4
  return data[:at] + b"".join(boxes) + data[at:]


def jp2_with_profile(profile):
  data = saved(X, "JPEG2000")
  at = data.index(b"colr") - 4
  colr = box(b"colr", b"\2\0\0" + profile)
  data = data[:at] + colr + data[at + 15 :]
  at = data.index(b"jp2h") - 4
  (length,) = struct.unpack_from(">I", data, at)
  size = struct.pack(">I", length + len(colr) - 15)
  return data[:at] + size + data[at + 4 :]


def profile_segments(profile):
  half = len(profile) // 2
  parts = [profile[:half], profile[half:]]
  return [
    (0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 2]) + part)
    for i, part in enumerate(parts)
  ]


def grey_profile(gamma):
  """An ICC profile for grey, of one curve."""
  curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
  white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
  tags = struct.pack(
    ">I4sII4sII", 2, b"kTRC", 156, 14, b"wtpt", 172, len(white)
  )
  header = struct.pack(
    ">I4xI4s4s4s12x4s28x3i", 192, 0x02400000, b"mntr", b"GRAY", b"XYZ ",
    b"acsp", 63190, 65536, 54061,
  )  # fmt: skip
  return header.ljust(128, b"\0") + tags + curve + white


def avif(colours=None, **options):
  data = saved(X, "AVIF", quality=100, subsampling="4:4:4", **options)
  if colours:
    at = data.index(b"colrnclx") + 8
    data = data[:at] + colours + data[at + 4 :]
  return data


def mpo():
  one, two = Image.fromarray(X), Image.fromarray(255 - X)
  return saved(
    one, "MPO", save_all=True, append_images=[two], quality=100, subsampling=0
  )


def flipped(data, kind):
  at = data.index(kind) + 20
  return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def animation(kind):
  frames = [Image.fromarray(X), Image.fromarray(255 - X)]
  return saved(frames[0], kind, save_all=True, append_images=frames[1:])
