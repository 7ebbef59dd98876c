"""Opens a report in a headless browser, at desktop and at phone width.

    python tests/browser/check_report.py [--report=FILE] [--screenshots=DIR]

Without a report it makes one from synthetic images. Needs Chromium (Debian's
package `chromium`); not collected by pytest. A script is added to a copy of the
page that moves the slider, points at a curve, switches images and taps the
picture, and notes what happened; this program reads the notes and judges them.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 3600
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars",
  "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000",
)  # fmt: skip

PROBE = """
<script>
(async () => {
  const notes = {errors: []};
  window.addEventListener("error", (e) => notes.errors.push(e.message));
  const $ = (s) => document.querySelector(s);
  const all = (s) => [...document.querySelectorAll(s)];
  const wait = () => new Promise((done) => setTimeout(done, 300));
  await wait();
  notes.width = document.documentElement.clientWidth;
  notes.scrolls = document.documentElement.scrollWidth > notes.width + 1;
  notes.charts = all("#curves .chart > svg").length;
  notes.lines = all("#curves .chart > svg > g").length;
  notes.sizes = all("#curves .chart > svg").map(
    (s) => s.getBoundingClientRect().width);
  const dot = $("#curves .chart > svg .marker").getBoundingClientRect();
  $("#curves .chart > svg").dispatchEvent(new PointerEvent("pointermove", {
    clientX: dot.x + dot.width / 2, clientY: dot.y + dot.height / 2,
    bubbles: true}));
  const tip = $("#curves .tip");
  notes.tip = tip.hidden ? "" : tip.textContent;
  const button = $("#curves .legend button");
  button.click();
  notes.hidden = [...$("#curves .chart > svg").children].some(
    (g) => g.style.display === "none");
  button.click();
  const group = $("#group");
  if (group.options.length > 1) {
    group.value = "1";
    group.dispatchEvent(new Event("change"));
    await wait();
    notes.other = all("#curves .chart > svg").length;
    group.value = "0";
    group.dispatchEvent(new Event("change"));
  }
  if (!$("#pictures").hidden) {
    while (all("#pictures img").some((i) => !i.complete)) await wait();
    const view = $("#view"), box = view.getBoundingClientRect();
    notes.view = [box.width, box.height];
    notes.natural = all("#view img").map((i) => i.naturalWidth);
    notes.broken = all("#pictures img").filter((i) => !i.naturalWidth).length;
    const slider = $("#slider");
    slider.value = "30";
    slider.dispatchEvent(new Event("input"));
    notes.clip = $("#view .left").style.clipPath;
    notes.bar = $("#view .bar").getBoundingClientRect().x - box.x;
    const right = $("#right");
    right.value = String(right.options.length - 1);
    right.dispatchEvent(new Event("change"));
    await wait();
    notes.captions = [$("#left-caption").textContent,
      $("#right-caption").textContent];
    const crop = $("#crops img");
    notes.cropScale = crop.getBoundingClientRect().width / crop.naturalWidth;
    const before = crop.style.left + crop.style.top;
    const at = {clientX: box.x + 5, clientY: box.y + 5, pointerId: 1,
      bubbles: true};
    view.setPointerCapture = () => {};
    view.dispatchEvent(new PointerEvent("pointerdown", at));
    view.dispatchEvent(new PointerEvent("pointerup", at));
    notes.cropMoved = crop.style.left + crop.style.top !== before;
    view.dispatchEvent(new PointerEvent("pointerdown", at));
    view.dispatchEvent(new PointerEvent("pointermove",
      {...at, clientX: box.x + box.width / 5, buttons: 1}));
    notes.dragged = $("#view .left").style.clipPath;
    notes.crops = all("#crops figure").length;
  }
  const pre = document.createElement("pre");
  pre.id = "notes";
  pre.hidden = true;
  pre.textContent = JSON.stringify(notes);
  document.body.append(pre);
})();
</script>
"""


def _browser() -> str:
  for name in BROWSERS:
    found = shutil.which(name)
    if found:
      return found
  raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")


def _run(page: pathlib.Path, width: int, *options: str) -> str:
  with tempfile.TemporaryDirectory() as profile:
    process = subprocess.run(
      [
        _browser(), *OPTIONS, f"--user-data-dir={profile}",
        f"--window-size={width},{HEIGHT}", *options, page.as_uri(),
      ],
      capture_output=True,
      check=True,
      timeout=300,
    )  # fmt: skip
  return process.stdout.decode()


def _framed(page: pathlib.Path, width: int) -> pathlib.Path:
  """A page that shows another one at a width below the browser's least."""
  frame = page.with_name(f"{page.stem}_framed.html")
  style = f"border:0;width:{width}px;height:{HEIGHT}px"
  frame.write_text(
    f'<body style="margin:0"><iframe style="{style}" src="{page.name}">'
    "</iframe>",
    encoding="utf-8",
  )
  return frame


def _notes(page: pathlib.Path, width: int) -> dict:
  # What is inside a frame is not dumped; the frame hands its notes up.
  text = page.read_text(encoding="utf-8").replace(
    "document.body.append(pre);",
    "document.body.append(pre); parent.postMessage(pre.textContent, '*');",
  )
  page.write_text(text, encoding="utf-8")
  frame = _framed(page, width)
  frame.write_text(
    frame.read_text(encoding="utf-8")
    + "<pre id='notes'></pre><script>addEventListener('message', (e) => {"
    "document.getElementById('notes').textContent = e.data; });</script>",
    encoding="utf-8",
  )
  dumped = _run(frame, width, "--dump-dom")
  found = re.search(r'<pre id="notes">(.*?)</pre>', dumped, re.DOTALL)
  if not found or not found.group(1):
    raise SystemExit("the page's script did not come to its end")
  return json.loads(html.unescape(found.group(1)))


def _judge(notes: dict, width: int) -> list[str]:
  """What is wrong, in words."""
  wrong = []

  def expect(condition: bool, what: str) -> None:
    if not condition:
      wrong.append(what)

  expect(not notes["errors"], f"script errors: {notes['errors']}")
  expect(abs(notes["width"] - width) < 2, f"it is {notes['width']} px wide")
  expect(not notes["scrolls"], "it scrolls sideways")
  expect(notes["charts"] >= 2, "curves are missing")
  expect(notes["lines"] >= 2 * notes["charts"], "series are missing")
  expect(min(notes["sizes"]) > min(width, 440) * 0.7, "charts are too small")
  expect("bits per pixel" in notes["tip"], "pointing at a curve says nothing")
  expect(notes["hidden"], "the legend hides nothing")
  expect(notes.get("other", 2) >= 1, "the curves of an image are missing")
  if "view" in notes:
    view_width, view_height = notes["view"]
    expect(0 < view_width <= width, "the picture is wider than the page")
    expect(view_height > 0.3 * view_width, "the picture is squeezed")
    expect(not notes["broken"], f"{notes['broken']} pictures do not load")
    expect("70%" in notes["clip"], "the slider does not move the split")
    expect("80%" in notes["dragged"], "dragging does not move the split")
    share = notes["bar"] / view_width
    expect(abs(share - 0.3) < 0.02, "the line is not at the slider")
    expect(all("bpp" in c for c in notes["captions"]), "captions are missing")
    expect(notes["cropScale"] == 1, "crops are not at full size")
    expect(notes["crops"] >= 2, "crops are missing")
    # An image smaller than a crop has nowhere to move it.
    expect(
      notes["cropMoved"] or min(notes["natural"]) <= 240,
      "a tap does not move the crops",
    )
  return wrong


def _synthetic_report(folder: pathlib.Path) -> pathlib.Path:
  from PIL import Image

  from bls2017.commands import main
  from tests import images

  for seed in range(2):
    x = images.photograph(320, 400, seed)
    Image.fromarray(x).save(folder / f"{seed}.png")
  code = main.main(
    [
      "evaluate", f"--images={folder}/*.png", f"--output_dir={folder}/out",
      "--codecs=bls2017,jpeg,jpeg2000,webp", "--qualities=2,6,10",
      "--qualities=jpeg:10,40,80", "--qualities=webp:10,40,80",
      "--qualities=jpeg2000:0.3,1,3", "--compare_bpp=1.0",
    ]
  )  # fmt: skip
  if code:
    raise SystemExit(code)
  return folder / "out" / "report.html"


def check(report: pathlib.Path, screenshots: pathlib.Path | None) -> bool:
  """Checks a report at all widths; returns whether it is right."""
  right = True
  with tempfile.TemporaryDirectory() as folder:
    page = pathlib.Path(folder) / "probe.html"
    text = report.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", PROBE + "</body>"), "utf-8")
    for name, width in WIDTHS.items():
      wrong = _judge(_notes(page, width), width)
      right = right and not wrong
      print(f"{name}, {width} px: {'; '.join(wrong) or 'right'}")
      if screenshots:
        path = screenshots / f"{name}.png"
        frame = _framed(page, width)
        _run(frame, width, f"--screenshot={path}")
        print(f"  {path}")
  return right


def main() -> int:
  """Runs the check; see the module's description."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--report", type=pathlib.Path)
  parser.add_argument("--screenshots", type=pathlib.Path)
  arguments = parser.parse_args()
  if arguments.screenshots:
    os.makedirs(arguments.screenshots, exist_ok=True)
  with tempfile.TemporaryDirectory() as folder:
    report = arguments.report or _synthetic_report(pathlib.Path(folder))
    return 0 if check(report, arguments.screenshots) else 1


if __name__ == "__main__":
  sys.exit(main())
