"""Opens the web export in a headless browser, at desktop and phone width.

    python tests/browser/check_web.py --tfjs=DIR [--screenshots=DIR] [--times]

DIR is where `npm install --prefix DIR @tensorflow/tfjs-core@4.22.0
@tensorflow/tfjs-backend-wasm@4.22.0` put TensorFlow.js. Needs Chromium
(Debian's package `chromium`); pytest does not collect it. The first check that
fails ends it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from bls2017 import codec as codec_lib  # noqa: E402
from bls2017 import decode  # noqa: E402
from bls2017.format import container  # noqa: E402
from bls2017.model import model_directory  # noqa: E402
from export.web import web_export  # noqa: E402
from tests import alpha_boxes, forging, images  # noqa: E402
from tests.browser import devtools  # noqa: E402
from tests.conformance import conformance_set  # noqa: E402

SCREENS: dict[str, dict[str, Any]] = {
  "desktop": {"width": 1280, "height": 800},
  "desktop_dark": {"width": 1280, "height": 800, "dark": True},
  "phone": {"width": 390, "height": 844, "mobile": True},
}
PHOTOGRAPH = (352, 500)
QUALITY = 4.5
TIMED = (512, 768)
RUNS = 7

POLICY = (
  "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval';"
  " worker-src 'self'; connect-src 'self' blob:; img-src 'self' blob:"
)
"""The strictest that a site may set (export/web/README.md)."""

DECODE = """
(async () => {
  const {decode} = await import('/decoder/bls2017.js');
  const response = await fetch(ADDRESS, {cache: 'no-store'});
  const bytes = await response.arrayBuffer();
  try {
    const started = performance.now();
    const {width, height, data} = await decode(bytes);
    const milliseconds = performance.now() - started;
    let text = '';
    for (const byte of data) text += String.fromCharCode(byte);
    return {width, height, milliseconds, data: btoa(text)};
  } catch (error) {
    return {error: error.name, message: error.message};
  }
})()
"""

IMAGES_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Images</title>
<img id="first" src="data/photograph.bls" alt="a photograph">
<img id="broken" src="data/broken.bls" alt="a broken one">
<img id="plain" src="icon.svg" alt="an icon">
<script type="module" src="images.js"></script>
"""
IMAGES_SCRIPT = """
import {showImages} from './decoder/images.js';
showImages();
"""

SAVE = """
new Promise((done) => {
  HTMLAnchorElement.prototype.click = async function() {
    const bytes = await (await fetch(this.href)).arrayBuffer();
    let text = '';
    for (const b of new Uint8Array(bytes)) text += String.fromCharCode(b);
    done([this.download, btoa(text)]);
  };
  document.getElementById('save').click();
})
"""

IS_CHECKERED = "document.getElementById('canvas').matches('.checkered')"


class Site(NamedTuple):
  """A site of the packaged model that is being served."""

  address: str
  folder: pathlib.Path
  sent: Any  # Bytes sent for each path.
  pixels: np.ndarray  # The library's of data/photograph.bls, uint8 [H, W, 3].
  alpha: np.ndarray  # Of data/transparent.bls, the same else: uint8 [H, W].


def decoded(page: devtools.Page, address: str) -> dict[str, Any]:
  """Decodes a file in a page of a site.

  Returns:
    `data`, its RGB samples, `alpha` and `milliseconds`; or `error` and
    `message`.
  """
  result = page.evaluate(DECODE.replace("ADDRESS", json.dumps(address)))
  if "data" in result:
    rgba = np.frombuffer(base64.b64decode(result["data"]), np.uint8)
    rgba = rgba.reshape(result["height"], result["width"], 4)
    result["data"], result["alpha"] = rgba[..., :3], rgba[..., 3]
  return result


def check_conformance(browser: devtools.Browser, tfjs: str) -> None:
  """Decodes the conformance set."""
  manifest = conformance_set.read_manifest()
  for model in sorted({entry["model"] for entry in manifest["sound"]}):
    with tempfile.TemporaryDirectory() as folder:
      site = pathlib.Path(folder) / "site"
      frozen = model_directory.load(conformance_set.model_path(model))
      web_export.export(frozen, str(site), tfjs)
      shutil.copytree(conformance_set.FILES, site / "files")
      with devtools.serve(site) as (address, _):
        page = browser.page(800, 600)
        page.open(f"{address}/icon.svg")
        for entry in manifest["sound"] + manifest["broken"]:
          if entry["model"] == model:
            result = decoded(page, f"/files/{entry['file']}")
            assert result.get("error") == entry.get("error"), (entry, result)
            if "data" in result:
              pixels = result["data"]
              if "Alph" in entry["metadata"]:
                pixels = np.dstack([pixels, result["alpha"]])
              conformance_set.check_pixels(pixels, entry, manifest["nearness"])


def check_network(browser: devtools.Browser, tfjs: str) -> None:
  """Lets a site fetch TensorFlow.js from a network that is served here."""
  entry = next(
    entry
    for entry in conformance_set.read_manifest()["sound"]
    if entry["file"].endswith("-odd.bls")
  )
  model = model_directory.load(conformance_set.model_path(entry["model"]))
  with tempfile.TemporaryDirectory() as temporary:
    network = pathlib.Path(temporary) / "network"
    files = []
    for part, path in web_export.find_tfjs(tfjs).items():
      package, file, known_hash = web_export.TFJS_FILES[part]
      assert web_export.integrity(path.read_bytes()) == known_hash, file
      address = web_export.cdn_address(package, file)
      files.append(network / address.removeprefix(f"{web_export.CDN}/"))
      files[-1].parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(path, files[-1])
    site = pathlib.Path(temporary) / "site"
    web_export.export(model, str(site))
    shutil.copy(conformance_set.FILES / entry["file"], site)
    manifest = site / "model" / "model.json"
    with devtools.serve(
      network, Access_Control_Allow_Origin="*", Cache_Control="no-store"
    ) as (server, sent):
      text = manifest.read_text("utf-8").replace(web_export.CDN, server)
      manifest.write_text(text, encoding="utf-8")
      policy = POLICY.replace("connect-src", f"connect-src {server}")
      with devtools.serve(site, Content_Security_Policy=policy) as (address, _):
        page = browser.page(800, 600)
        page.open(f"{address}/icon.svg")
        result = decoded(page, f"/{entry['file']}")
        assert conformance_set.difference(result["data"], entry)[0] <= 1
        assert len(sent) == 3, sent
        for file in files:
          if f"/{file.relative_to(network)}" in sent:
            _check_damaged(browser.page(800, 600), address, entry, file)


def _check_damaged(
  page: devtools.Page, address: str, entry: dict[str, Any], file: pathlib.Path
) -> None:
  """A damaged file of TensorFlow.js is refused; once it is sound, it runs."""
  content = file.read_bytes()
  file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
  page.open(f"{address}/index.html?src={entry['file']}")
  page.wait_for("!document.getElementById('problem').hidden")
  assert "could not be started" in page.text("problem")
  assert file.name in page.text("problem")
  file.write_bytes(content)
  page.click("retry")
  _wait_for_picture(page, entry["file"])


def check_decoder(browser: devtools.Browser, site: Site) -> None:
  """Decodes a photograph, and shows it in elements."""
  page = browser.page(800, 600)
  page.open(f"{site.address}/icon.svg")
  opaque = decoded(page, "/data/photograph.bls")
  assert np.abs(opaque["data"].astype(int) - site.pixels).max() <= 1
  assert np.all(opaque["alpha"] == 255)
  transparent = decoded(page, "/data/transparent.bls")
  assert np.array_equal(transparent["data"], opaque["data"])
  assert np.array_equal(transparent["alpha"], site.alpha)
  sent = dict(site.sent)
  decoded(page, "/data/photograph.bls")
  again = {k for k, v in site.sent.items() if sent.get(k) != v}
  assert again == {"/data/photograph.bls"}

  page = browser.page(800, 600)
  page.open(f"{site.address}/images.html")
  page.wait_for("first.src.startsWith('blob:') && first.complete")
  size = page.evaluate("[first.naturalHeight, first.naturalWidth]")
  assert size == list(site.pixels.shape[:2])
  page.wait_for("broken.dataset.blsError")
  assert page.evaluate("plain.naturalWidth > 0")
  page.evaluate(
    "document.body.insertAdjacentHTML('beforeend',"
    " '<p><img id=added src=data/photograph.bls alt=added></p>')"
  )
  page.wait_for("added.src.startsWith('blob:') && added.complete")
  for name in ("first", "added"):
    address = json.dumps(page.evaluate(f"{name}.src"))
    can_be_fetched = f"fetch({address}).then(() => true, () => false)"
    page.evaluate(f"document.body.append({name})")
    assert page.evaluate(can_be_fetched), "a moved image is given up"
    page.evaluate(f"{name}.remove()")
    assert not page.evaluate(can_be_fetched), "a removed image is kept"


def check_page(
  browser: devtools.Browser,
  site: Site,
  name: str,
  screenshots: pathlib.Path | None,
) -> None:
  """Uses the page on a screen: opens files, zooms, compares, saves."""
  screen = SCREENS[name]
  page = browser.page(**screen)

  def shot(state: str) -> None:
    page.evaluate("new Promise((done) => setTimeout(done, 200))")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= screen["width"], f"it scrolls sideways when {state}"
    if screenshots:
      file = screenshots / f"{name}_{state}.png"
      file.write_bytes(page.screenshot())

  data = site.folder / "data"
  page.open(f"{site.address}/index.html")
  shot("empty")
  page.drop(data / "photograph.bls", data / "broken.bls")
  _wait_for_picture(page, "photograph.bls")
  height, width = site.pixels.shape[:2]
  for fact in (f"{width} × {height}", f"Quality{QUALITY}", "Bits per pixel"):
    assert fact in page.text("facts")
  assert page.text("entries") == "photograph.blsbroken.bls"
  shot("shown")
  _zoom(page, site, screen.get("mobile", False))
  shot("zoomed")
  _compare(page, site)
  shot("compared")
  saved = _saved(page, "photograph.png")[..., :3].astype(int)
  assert np.abs(saved - site.pixels).max() <= 1
  assert not page.evaluate(IS_CHECKERED)
  page.drop(data / "transparent.bls")
  _wait_for_picture(page, "transparent.bls")
  assert page.evaluate(IS_CHECKERED)
  assert np.array_equal(_saved(page, "transparent.png")[..., 3], site.alpha)
  shot("transparent")
  page.drop(data / "broken.bls")
  page.wait_for("!document.getElementById('problem').hidden")
  assert "cannot be decoded" in page.text("problem")
  assert page.evaluate("document.getElementById('save').disabled")
  shot("refused")
  page.open(f"{site.address}/index.html?src=data/missing.bls")
  page.wait_for("!document.getElementById('problem').hidden")
  assert "404" in page.text("problem")
  page.open(f"{site.address}/index.html?src=data/photograph.bls")
  _wait_for_picture(page, "photograph.bls")
  errors = [e for e in page.errors() if "missing.bls" not in e]
  assert not errors, errors


def _wait_for_picture(page: devtools.Page, name: str) -> None:
  said = json.dumps(f"{name} is shown")
  page.wait_for(f"document.getElementById('status').textContent === {said}")


def _seen(page: devtools.Page) -> np.ndarray:
  """What is seen of the canvas: uint8 [rows, columns, 3], in pixels of CSS."""
  page.evaluate("new Promise((done) => requestAnimationFrame(done))")
  left, top, width, height = _canvas_box(page)
  with Image.open(io.BytesIO(page.screenshot())) as image:
    size = page.evaluate("[innerWidth, innerHeight]")
    shot = image.convert("RGB").resize(size, Image.Resampling.NEAREST)
  return np.asarray(shot.crop((left, top, left + width, top + height)))


def _canvas_box(page: devtools.Page) -> list[int]:
  return page.evaluate(
    "(({x, y, width, height}) => [x, y, width, height].map(Math.round))"
    "(document.getElementById('canvas').getBoundingClientRect())"
  )


def _zoom(page: devtools.Page, site: Site, mobile: bool) -> None:
  """Zooms to single pixels with the mouse or two fingers."""
  page.click("actual")
  assert page.text("zoom") == "100%"
  left, top, width, height = _canvas_box(page)
  x, y = left + width / 2, top + height / 2
  if mobile:
    for distance in range(10, 151, 10):
      page.call(
        "Input.dispatchTouchEvent",
        type="touchStart" if distance == 10 else "touchMove",
        touchPoints=[
          {"x": x - distance, "y": y, "id": 0},
          {"x": x + distance, "y": y, "id": 1},
        ],
      )
  else:
    wheel = {"type": "mouseWheel", "deltaX": 0, "deltaY": -300}
    for event in 8 * [wheel] + [{"type": "mouseMoved"}]:
      page.call("Input.dispatchMouseEvent", x=x, y=y, **event)
  page.wait_for("!document.getElementById('pixel').hidden")
  assert int(page.text("zoom").rstrip("%")) >= 1000
  place, _, colour = page.text("pixel").partition(": ")
  column, row = map(int, place.split(", "))
  difference = np.array(colour.split(), int) - site.pixels[row, column]
  assert np.abs(difference).max() <= 1
  if mobile:
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
  else:
    # Within a pixel's width to the right, its white outline is crossed.
    right = _seen(page)[height // 2, width // 2 :][:66]
    assert np.any(np.all(right == 255, axis=1))


def _compare(page: devtools.Page, site: Site) -> None:
  """Compares with originals of another size and of the same."""
  data = site.folder / "data"
  page.choose("#original-file", data / "other_size.png")
  page.wait_for("!document.getElementById('comparison').hidden")
  assert "do not compare" in page.text("comparison")
  page.choose("#original-file", data / "original.png")
  page.wait_for("!document.getElementById('split-field').hidden")
  with Image.open(data / "original.png") as image:
    error = np.mean((np.asarray(image).astype(float) - site.pixels) ** 2)
  psnr = 10 * np.log10(255**2 / error)
  said = float(page.text("comparison").split()[-2])
  assert abs(said - psnr) < 0.015
  page.click("fit")
  page.evaluate(
    "(() => { const s = document.getElementById('split'); s.value = 30;"
    " s.dispatchEvent(new Event('input')); })()"
  )
  # The line is white where the slider stands.
  seen = _seen(page)
  assert np.all(seen[5, round(0.3 * seen.shape[1])] == 255)


def _saved(page: devtools.Page, name: str) -> np.ndarray:
  """Saves a PNG: uint8 [H, W, 4]."""
  found, encoded = page.evaluate(SAVE)
  assert found == name
  with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
    return np.asarray(image.convert("RGBA"))


def print_times(tfjs: str) -> None:
  """Prints what a first image takes and downloads, and those after it."""
  codec = codec_lib.Codec.load()
  data = codec.compress(images.photograph(*TIMED), 6)
  first: list[float] = []
  later: list[float] = []
  with packaged_site(tfjs) as site:
    (site.folder / "data" / "timed.bls").write_bytes(data)
    for _ in range(RUNS):
      site.sent.clear()
      with devtools.Browser() as browser:
        page = browser.page(800, 600)
        page.open(f"{site.address}/icon.svg")
        times = [
          decoded(page, "/data/timed.bls")["milliseconds"] for _ in range(4)
        ]
      first.append(times[0])
      later += times[1:]
    sent = {k: v for k, v in site.sent.items() if not k.startswith("/data")}
  print(
    f"{TIMED[1]} x {TIMED[0]}: first {statistics.median(first):.0f} ms"
    f" (medians of {RUNS} browsers), then {statistics.median(later):.0f} ms;"
    f" {sum(sent.values())} bytes fetched: {json.dumps(sent)}"
  )


@contextlib.contextmanager
def packaged_site(tfjs: str) -> Iterator[Site]:
  """Serves a site of the packaged model, with files to be shown."""
  codec = codec_lib.Codec.load()
  original = images.photograph(*PHOTOGRAPH)
  data = codec.compress(original, QUALITY)
  alpha = np.tile(np.arange(PHOTOGRAPH[1]) % 256, (PHOTOGRAPH[0], 1))
  alpha = alpha.astype(np.uint8)
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary) / "site"
    web_export.export(codec.model, str(folder), tfjs)
    (folder / "images.html").write_text(IMAGES_PAGE, encoding="utf-8")
    (folder / "images.js").write_text(IMAGES_SCRIPT, encoding="utf-8")
    shown = folder / "data"
    shown.mkdir()
    (shown / "photograph.bls").write_bytes(data)
    (shown / "broken.bls").write_bytes(data[:-1])
    (shown / "transparent.bls").write_bytes(_with_alpha(codec, data, alpha))
    Image.fromarray(original).save(shown / "original.png")
    Image.fromarray(original[1:]).save(shown / "other_size.png")
    with devtools.serve(folder, Content_Security_Policy=POLICY) as served:
      address, sent = served
      yield Site(address, folder, sent, codec.decompress(data), alpha)


def _with_alpha(
  codec: codec_lib.Codec, data: bytes, alpha: np.ndarray
) -> bytes:
  """Puts alpha into a file."""
  rows = alpha_boxes.filtered(alpha, np.arange(len(alpha)) % 5)
  stream = alpha_boxes.deflated(rows)
  content = alpha_boxes.file(*alpha.shape, stream)
  parts = forging.parts(decode.open(data, codec.model, alpha.size))
  boxes = container.pack_boxes([container.Box(b"Alph", content)])
  return forging.joined(parts._replace(boxes=boxes))


def main() -> None:
  """Runs the checks; see the module's description."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--tfjs", required=True)
  parser.add_argument("--screenshots", type=pathlib.Path)
  parser.add_argument("--times", action="store_true")
  arguments = parser.parse_args()
  if arguments.times:
    print_times(arguments.tfjs)
    return
  if arguments.screenshots:
    arguments.screenshots.mkdir(parents=True, exist_ok=True)
  with devtools.Browser() as browser:
    check_network(browser, arguments.tfjs)
    check_conformance(browser, arguments.tfjs)
    with packaged_site(arguments.tfjs) as site:
      check_decoder(browser, site)
      for screen in SCREENS:
        check_page(browser, site, screen, arguments.screenshots)
  print("all is right")


if __name__ == "__main__":
  main()
