"""Opens the web export in a headless browser, at desktop and phone width.

    python tests/browser/check_web.py --tfjs=DIR [--screenshots=DIR] [--times]

DIR is where `npm install --prefix DIR @tensorflow/tfjs-core@4.22.0
@tensorflow/tfjs-backend-wasm@4.22.0` put TensorFlow.js. Needs Chromium
(Debian's package `chromium`); not collected by pytest.

The decoder's pixels are compared with the library's, over the conformance set
and on a photograph of the packaged model; the page is used as people use it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import io
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from bls2017 import codec as codec_lib  # noqa: E402
from bls2017.model import model_directory  # noqa: E402
from export.web import web_export  # noqa: E402
from tests import images  # noqa: E402
from tests.browser import devtools  # noqa: E402
from tests.conformance import conformance_set  # noqa: E402

SCREENS: dict[str, dict[str, Any]] = {
  "desktop": {"width": 1280, "height": 800},
  "desktop_dark": {"width": 1280, "height": 800, "dark": True},
  "phone": {"width": 390, "height": 844, "scale": 2, "mobile": True},
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
import {showImages} from './decoder/bls2017.js';
showImages();
"""


class Expectations:
  """What was expected, and what was wrong."""

  def __init__(self) -> None:
    self.wrong: list[str] = []

  def __call__(self, condition: bool, what: str) -> None:
    """Notes what is wrong where a condition does not hold."""
    if not condition:
      self.wrong.append(what)

  def report(self, name: str) -> bool:
    """Prints what was wrong of a part; returns whether nothing was."""
    print(f"{name}: {'; '.join(self.wrong) or 'right'}", flush=True)
    return not self.wrong


@dataclasses.dataclass
class Site:
  """A site of the packaged model that is being served.

  Attributes:
    address: Of its root.
    folder: Of its files.
    sent: Bytes sent for each path.
    pixels: The library's of data/photograph.bls, uint8 [H, W, 3].
  """

  address: str
  folder: pathlib.Path
  sent: Any
  pixels: np.ndarray

  @property
  def data(self) -> pathlib.Path:
    """The folder of the files that are shown."""
    return self.folder / "data"


def decoded(page: devtools.Page, address: str) -> dict[str, Any]:
  """What `decode` gives of a file, its data as RGB samples."""
  result = page.evaluate(DECODE.replace("ADDRESS", json.dumps(address)))
  if "data" in result:
    rgba = np.frombuffer(base64.b64decode(result["data"]), np.uint8)
    rgba = rgba.reshape(result["height"], result["width"], 4)
    assert np.all(rgba[..., 3] == 255)
    result["data"] = rgba[..., :3]
  return result


def difference(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
  """The largest difference, and the share of samples that differ."""
  difference = np.abs(a.astype(int) - b)
  return int(difference.max()), float(np.mean(difference > 0))


def check_conformance(browser: devtools.Browser, tfjs: str) -> bool:
  """Decodes the conformance set in the browser."""
  manifest = conformance_set.read_manifest()
  nearness = manifest["nearness"]
  expect = Expectations()
  most_differing = 0.0
  models = {e["model"] for e in manifest["sound"] if e["version"] == 3}
  for model in sorted(models):
    with tempfile.TemporaryDirectory() as folder:
      site = pathlib.Path(folder) / "site"
      frozen = model_directory.load(str(conformance_set.ROOT / model))
      web_export.export(frozen, str(site), tfjs)
      shutil.copytree(conformance_set.FILES, site / "files")
      with devtools.serve(site) as (address, _):
        page = browser.page(800, 600)
        page.open(f"{address}/icon.svg")
        for entry in manifest["sound"]:
          if entry["model"] == model:
            result = decoded(page, f"/files/{entry['file']}")
            expect("data" in result, f"{entry['file']}: {result}")
            if "data" in result:
              largest, share = conformance_set.difference(result["data"], entry)
              most_differing = max(most_differing, share)
              near = largest <= nearness["largest_difference"]
              near = near and share <= nearness["differing_share"]
              expect(near, f"{entry['file']}: {largest} levels, {share:.2%}")
        for entry in manifest["broken"]:
          if entry["model"] == model:
            result = decoded(page, f"/files/{entry['file']}")
            right = result.get("error") == entry["error"]
            expect(right, f"{entry['file']}: {result.get('error')}")
  print(f"  at most {most_differing:.2%} of a file's samples differ")
  return expect.report("conformance set")


def check_pairs(browser: devtools.Browser, tfjs: str) -> bool:
  """Opens files of a model of two pairs, whose weights come when needed."""
  expect = Expectations()
  model = model_directory.load(str(conformance_set.PAIRS))
  files = {
    model.tables.pair_of(model.config.quality_index(e["quality"])): e["file"]
    for e in conformance_set.read_manifest()["sound"]
    if e["file"].startswith("pairs-")
  }
  with tempfile.TemporaryDirectory() as folder:
    site = pathlib.Path(folder) / "site"
    web_export.export(model, str(site), tfjs)
    manifest = json.loads((site / "model" / "model.json").read_text("utf-8"))
    weights = [
      (f"/model/{e['file']}", (site / "model" / e["file"]).stat().st_size)
      for e in manifest["weights"]
    ]
    with devtools.serve(site) as (address, sent):
      page = browser.page(800, 600)
      page.open(f"{address}/index.html")
      for pair, expected in ((1, [1]), (0, [0, 1]), (1, [0, 1])):
        page.drop(conformance_set.FILES / files[pair])
        _wait_for_picture(page, files[pair])
        fetched = [i for i, (path, _) in enumerate(weights) if path in sent]
        expect(fetched == expected, f"weights of {fetched}, not {expected}")
      for path, size in weights:
        expect(sent[path] == size, f"{path}: {sent[path]} bytes, not {size}")
      errors = page.errors()
      expect(not errors, f"script errors: {errors}")
  return expect.report("a model of two pairs")


class Cdn:
  """The public network, answered for from where npm installed its packages.

  Attributes:
    asked: Addresses that were asked for.
    damaged: An address of which a byte is another one, or nothing.
  """

  def __init__(self, tfjs: str):
    """Takes the folder that was given to npm."""
    self._packages = pathlib.Path(tfjs) / "node_modules" / "@tensorflow"
    self.asked: list[str] = []
    self.damaged = ""

  def __call__(self, address: str) -> bytes | None:
    """The content of an address; a package's version is part of it."""
    self.asked.append(address)
    name, _, path = address.removeprefix(f"{web_export.CDN}/").partition("/")
    package, _, version = name.partition("@")
    folder = self._packages / package
    described = json.loads((folder / "package.json").read_text("utf-8"))
    if described["version"] != version or not (folder / path).is_file():
      return None
    content = (folder / path).read_bytes()
    if address == self.damaged:
      content = content[:-1] + bytes([content[-1] ^ 1])
    return content


def check_cdn(browser: devtools.Browser, tfjs: str) -> bool:
  """Lets a site fetch TensorFlow.js as from the public network."""
  expect = Expectations()
  cdn = Cdn(tfjs)
  entry = next(
    entry
    for entry in conformance_set.read_manifest()["sound"]
    if entry["file"] == "v3-odd.bls"
  )
  server = web_export.CDN.removesuffix("/npm/@tensorflow")
  policy = POLICY.replace("connect-src", f"connect-src {server}")
  with tempfile.TemporaryDirectory() as folder:
    site = pathlib.Path(folder) / "site"
    frozen = model_directory.load(str(conformance_set.ROOT / entry["model"]))
    web_export.export(frozen, str(site))
    shutil.copy(conformance_set.FILES / entry["file"], site)
    with devtools.serve(site, Content_Security_Policy=policy) as (address, _):

      def opened(path: str) -> devtools.Page:
        page = browser.page(800, 600)
        page.intercept(server, cdn)
        page.open(f"{address}/{path}")
        return page

      result = decoded(opened("icon.svg"), f"/{entry['file']}")
      expect("data" in result, f"{result}")
      if "data" in result:
        largest, _ = conformance_set.difference(result["data"], entry)
        expect(largest <= 1, f"a sample differs by {largest} levels")
      asked = list(cdn.asked)
      expect(len(asked) == 3, f"it asked for {asked}")
      for cdn.damaged in asked:
        page = opened(f"index.html?src={entry['file']}")
        page.wait_for("!document.getElementById('problem').hidden")
        said = _text(page, "problem")
        expect("could not be started" in said, f"{cdn.damaged}: {said}")
        expect(cdn.damaged in said, f"{cdn.damaged} is not named: {said}")
        cdn.damaged = ""
        page.evaluate("document.getElementById('retry').click()")
        _wait_for_picture(page, entry["file"])
  return expect.report("TensorFlow.js from a public network")


def check_hashes(tfjs: str) -> bool:
  """Compares the integrity hashes with the files that npm installed."""
  expect = Expectations()
  files = web_export.find_tfjs(tfjs)
  cdn = Cdn(tfjs)
  for part, (package, name, known_hash) in web_export.TFJS_FILES.items():
    found = web_export.integrity(files[part].read_bytes())
    expect(found == known_hash, f"{files[part].name} has {found}")
    address = web_export.cdn_address(package, name)
    expect(cdn(address) == files[part].read_bytes(), f"{address} is not it")
  return expect.report(f"TensorFlow.js {web_export.TFJS_VERSION}")


def check_decoder(browser: devtools.Browser, site: Site) -> bool:
  """Decodes a photograph, and shows it in an element."""
  expect = Expectations()
  page = browser.page(800, 600)
  page.open(f"{site.address}/icon.svg")
  largest, share = difference(
    decoded(page, "/data/photograph.bls")["data"], site.pixels
  )
  expect(largest <= 1, f"a sample differs by {largest} levels")
  print(f"  {share:.3%} of the samples differ, by at most {largest}")
  sent = dict(site.sent)
  decoded(page, "/data/photograph.bls")
  again = {k for k, v in site.sent.items() if sent.get(k) != v}
  expect(again == {"/data/photograph.bls"}, f"fetched again: {again}")

  page = browser.page(800, 600)
  page.open(f"{site.address}/images.html")
  page.wait_for("first.src.startsWith('blob:') && first.complete")
  size = page.evaluate("[first.naturalHeight, first.naturalWidth]")
  expect(size == list(site.pixels.shape[:2]), f"the element shows {size}")
  page.wait_for("broken.dataset.blsError")
  expect(page.evaluate("plain.naturalWidth > 0"), "other images are broken")
  page.evaluate(
    "document.body.insertAdjacentHTML('beforeend',"
    " '<p><img id=added src=data/photograph.bls alt=added></p>')"
  )
  page.wait_for("added.src.startsWith('blob:') && added.complete")
  can_fetch = "fetch(ADDRESS).then(() => true, () => false)"
  for name in ("first", "added"):
    address = json.dumps(page.evaluate(f"{name}.src"))
    fetches = can_fetch.replace("ADDRESS", address)
    expect(page.evaluate(fetches), f"{name} is not kept")
    page.evaluate("document.body.append(document.querySelector('img'))")
    expect(page.evaluate(fetches), f"{name} is given up when it moves")
    page.evaluate(f"{name}.closest('p, img').remove()")
    expect(not page.evaluate(fetches), f"{name} is not given up")
  return expect.report("decoder")


def check_page(
  browser: devtools.Browser,
  site: Site,
  name: str,
  screenshots: pathlib.Path | None,
) -> bool:
  """Uses the page on a screen: opens files, zooms, compares, saves."""
  screen = SCREENS[name]
  expect = Expectations()
  page = browser.page(**screen)

  def shot(state: str) -> None:
    page.evaluate("new Promise((done) => setTimeout(done, 200))")
    width = page.evaluate("document.documentElement.scrollWidth")
    expect(width <= screen["width"], f"it scrolls sideways when {state}")
    if screenshots:
      page.screenshot(screenshots / f"{name}_{state}.png")

  page.open(f"{site.address}/index.html")
  shot("empty")
  _open_file(page, site, expect)
  shot("shown")
  _zoom(page, site, expect, screen.get("mobile", False))
  shot("zoomed")
  _compare(page, site, expect)
  shot("compared")
  _save(page, site, expect)
  page.drop(site.data / "broken.bls")
  page.wait_for("!document.getElementById('problem').hidden")
  expect("cannot be decoded" in _text(page, "problem"), "errors are not told")
  expect(page.evaluate("document.getElementById('save').disabled"), "save")
  shot("refused")
  page.open(f"{site.address}/index.html?src=data/missing.bls")
  page.wait_for("!document.getElementById('problem').hidden")
  expect("404" in _text(page, "problem"), "a missing file is not told")
  page.open(f"{site.address}/index.html?src=data/photograph.bls")
  _wait_for_picture(page, "photograph.bls")
  errors = [e for e in page.errors() if "missing.bls" not in e]
  expect(not errors, f"script errors: {errors}")
  return expect.report(f"page, {name}, {screen['width']} px")


def _text(page: devtools.Page, element: str) -> str:
  return page.evaluate(f"document.getElementById('{element}').textContent")


def _wait_for_picture(page: devtools.Page, name: str) -> None:
  said = json.dumps(f"{name} is shown")
  page.wait_for(f"document.getElementById('status').textContent === {said}")


def _open_file(page: devtools.Page, site: Site, expect: Expectations) -> None:
  page.drop(site.data / "photograph.bls", site.data / "broken.bls")
  _wait_for_picture(page, "photograph.bls")
  height, width = site.pixels.shape[:2]
  facts = _text(page, "facts")
  expect(f"{width} × {height}" in facts, f"the size is not told: {facts}")
  for fact in (f"Quality{QUALITY}", "Model", "Bits per pixel"):
    expect(fact in facts, f"{fact} is not told")
  entries = page.evaluate("document.querySelectorAll('#entries button').length")
  expect(entries == 2, f"{entries} files are listed")


def _zoom(
  page: devtools.Page, site: Site, expect: Expectations, mobile: bool
) -> None:
  page.evaluate("document.getElementById('actual').click()")
  expect(_text(page, "zoom") == "100%", "1:1 is not 100%")
  x, y = page.evaluate(
    "(() => { const box = document.getElementById('canvas')"
    ".getBoundingClientRect();"
    " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
  )
  if mobile:
    _pinch(page, x, y)
  else:
    for _ in range(8):
      page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    page.mouse("mouseMoved", x, y)
  page.wait_for("!document.getElementById('pixel').hidden")
  expect(int(_text(page, "zoom").rstrip("%")) >= 1000, "it zooms too little")
  place, _, colour = _text(page, "pixel").partition(": ")
  column, row = map(int, place.split(", "))
  near = np.abs(np.array(colour.split(), int) - site.pixels[row, column])
  expect(near.max() <= 1, f"the pixel at {place} is said to be {colour}")
  if not mobile:
    page.evaluate("new Promise((done) => requestAnimationFrame(done))")
    # Within a pixel's width to the right its outline is crossed.
    outlined = page.evaluate(
      "(() => { const c = document.getElementById('canvas');"
      " const row = c.getContext('2d').getImageData("
      "Math.round(c.width / 2), Math.round(c.height / 2), 66, 1).data;"
      " return row.some((_, i) => i % 4 === 0 &&"
      " row.subarray(i, i + 3).every((v) => v === 255)); })()"
    )
    expect(outlined, "the pixel that is pointed at has no outline")
  if mobile:
    page.touch("touchEnd")


def _pinch(page: devtools.Page, x: float, y: float) -> None:
  """Spreads two fingers, from 10 pixels to either side to 150."""
  for distance in range(10, 151, 10):
    kind = "touchStart" if distance == 10 else "touchMove"
    page.touch(kind, (x - distance, y), (x + distance, y))


def _compare(page: devtools.Page, site: Site, expect: Expectations) -> None:
  page.choose("#original-file", site.data / "other_size.png")
  page.wait_for("!document.getElementById('comparison').hidden")
  expect("do not compare" in _text(page, "comparison"), "sizes are not told")
  page.choose("#original-file", site.data / "original.png")
  page.wait_for("!document.getElementById('split-field').hidden")
  with Image.open(site.data / "original.png") as image:
    error = np.mean((np.asarray(image).astype(float) - site.pixels) ** 2)
  psnr = 10 * np.log10(255**2 / error)
  said = _text(page, "comparison")
  near = any(f"{psnr + d:.2f} dB" in said for d in (-0.01, 0, 0.01))
  expect(near, f"PSNR is {psnr:.2f}: {said}")
  page.evaluate("document.getElementById('fit').click()")
  page.evaluate(
    "(() => { const s = document.getElementById('split'); s.value = 30;"
    " s.dispatchEvent(new Event('input')); })()"
  )
  page.evaluate("new Promise((done) => requestAnimationFrame(done))")
  # The line is white where the slider stands.
  line = page.evaluate(
    "(() => { const c = document.getElementById('canvas');"
    " return [...c.getContext('2d').getImageData("
    "Math.round(0.3 * c.width), 4, 1, 1).data]; })()"
  )
  expect(line == [255, 255, 255, 255], f"the line is {line}")


def _save(page: devtools.Page, site: Site, expect: Expectations) -> None:
  name, encoded = page.evaluate(
    """new Promise((done) => {
      HTMLAnchorElement.prototype.click = async function() {
        const bytes = await (await fetch(this.href)).arrayBuffer();
        let text = '';
        for (const b of new Uint8Array(bytes)) text += String.fromCharCode(b);
        done([this.download, btoa(text)]);
      };
      document.getElementById('save').click();
    })"""
  )
  expect(name == "photograph.png", f"it is saved as {name}")
  with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
    largest, _ = difference(np.asarray(image.convert("RGB")), site.pixels)
  expect(largest <= 1, f"a saved sample differs by {largest} levels")


def print_times(tfjs: str) -> None:
  """Prints what a first image takes and downloads, and those after it."""
  codec = codec_lib.Codec.load()
  data = codec.compress(images.photograph(*TIMED), 6)
  cold: list[float] = []
  warm: list[float] = []
  with _packaged_site(tfjs) as site:
    (site.data / "timed.bls").write_bytes(data)
    for _ in range(RUNS):
      site.sent.clear()
      with devtools.Browser() as browser:
        page = browser.page(800, 600)
        page.open(f"{site.address}/icon.svg")
        times = [
          decoded(page, "/data/timed.bls")["milliseconds"] for _ in range(4)
        ]
      cold.append(times[0])
      warm += times[1:]
    sent = {k: v for k, v in site.sent.items() if not k.startswith("/data")}
  print(
    f"{TIMED[1]} x {TIMED[0]}: first {statistics.median(cold):.0f} ms"
    f" (medians of {RUNS} browsers), then {statistics.median(warm):.0f} ms;"
    f" {sum(sent.values())} bytes fetched: {json.dumps(sent)}"
  )


@contextlib.contextmanager
def _packaged_site(tfjs: str) -> Iterator[Site]:
  """Serves a site of the packaged model, with files to be shown."""
  codec = codec_lib.Codec.load()
  original = images.photograph(*PHOTOGRAPH)
  data = codec.compress(original, QUALITY)
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary) / "site"
    web_export.export(codec.model, str(folder), tfjs)
    (folder / "images.html").write_text(IMAGES_PAGE, encoding="utf-8")
    (folder / "images.js").write_text(IMAGES_SCRIPT, encoding="utf-8")
    shown = folder / "data"
    shown.mkdir()
    (shown / "photograph.bls").write_bytes(data)
    (shown / "broken.bls").write_bytes(data[:-1])
    Image.fromarray(original).save(shown / "original.png")
    Image.fromarray(original[1:]).save(shown / "other_size.png")
    with devtools.serve(folder, Content_Security_Policy=POLICY) as served:
      address, sent = served
      yield Site(address, folder, sent, codec.decompress(data))


def main() -> int:
  """Runs the checks; see the module's description."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--tfjs", required=True)
  parser.add_argument("--screenshots", type=pathlib.Path)
  parser.add_argument("--times", action="store_true")
  arguments = parser.parse_args()
  if arguments.screenshots:
    arguments.screenshots.mkdir(parents=True, exist_ok=True)
  if arguments.times:
    print_times(arguments.tfjs)
    return 0
  right = [check_hashes(arguments.tfjs)]
  with devtools.Browser() as browser:
    right.append(check_cdn(browser, arguments.tfjs))
    right.append(check_conformance(browser, arguments.tfjs))
    right.append(check_pairs(browser, arguments.tfjs))
    with _packaged_site(arguments.tfjs) as site:
      right.append(check_decoder(browser, site))
      for screen in SCREENS:
        right.append(check_page(browser, site, screen, arguments.screenshots))
  return 0 if all(right) else 1


if __name__ == "__main__":
  sys.exit(main())
