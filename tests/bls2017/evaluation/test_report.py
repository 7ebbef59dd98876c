"""The page is whole, and says what was measured; a browser is not needed."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from bls2017.evaluation import (
  evaluation_run,
  grid,
  measurement,
  plots,
  rate_distortion,
  report,
  study_results,
  summary,
)
from bls2017.images import metrics
from tests import images

pytestmark = pytest.mark.evaluation

NAME = "a <b> & </script>.png"


class Page(html.parser.HTMLParser):
  """The texts of a page by their elements, which must be nested rightly."""

  def __init__(self, text: str):
    super().__init__()
    self.open: list[str] = []
    self.texts: dict[str, list[str]] = {}
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    assert not {"src", "href"} & {name for name, value in attrs if value}
    if tag not in ("meta", "img", "input"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open:
      self.texts.setdefault(self.open[-1], []).append(data)

  def data(self) -> dict:
    return json.loads(self.texts["script"][0])


@pytest.fixture(scope="module")
def measured(tmp_path_factory, golden_model_dir) -> grid.Measurements:
  folder = tmp_path_factory.mktemp("images")
  shown = []
  for seed, name in enumerate((NAME, "b.png")):
    path = folder / f"{seed}.png"
    Image.fromarray(images.photograph(176, 192, seed)).save(path)
    shown.append(measurement.inspect(str(path))._replace(name=name))
  codecs = grid.choose_codecs(
    ["bls2017", "jpeg", "jpeg2000"],
    [golden_model_dir],
    {"jpeg": (20, 50, 80), "jpeg2000": (0.1, 1, 2)},
  )
  rows = {
    measurement.key(i, c, q): measurement.measure(i, c, q)
    for i in shown
    for c in codecs
    for q in c.qualities
  }
  failure = measurement.Failure("<broken>.png", "no image")
  return grid.Measurements(tuple(shown), codecs, rows, (failure,))


@pytest.fixture(scope="module")
def case(measured) -> report.Comparison:
  image = measured.images[0]
  return image, measurement.match(image, 1.0, measured.codecs)


@pytest.fixture(scope="module")
def text(measured, case) -> str:
  series = plots.Series("gdn", (0.5, 1.0), (30.0, math.nan))
  chart = plots.Chart("title", "x", "y", (series,))
  study = study_results.StudyResult(
    "transforms", "Is it so?", ["Yes."], ["a"], [["<1>"]], [chart]
  )
  return report.render(summary.summarize(measured), [case, case], [study])


@pytest.fixture(scope="module")
def page(text) -> Page:
  return Page(text)


def test_it_is_one_whole_page_that_needs_no_network(
  text, page, measured
) -> None:
  assert page.open == []
  without_names = text.replace("http://www.w3.org/2000/svg", "")
  assert not re.search(r"https?://|@import|url\(", without_names)
  folder = measured.images[0].path.rsplit("/", 2)[1]
  assert page.texts["title"] == [f"Compression of {folder}"]


def test_names_cannot_break_it(text, page) -> None:
  assert "<b> & </script>" not in text
  assert "&lt;broken&gt;.png: no image" in text
  assert [g["name"] for g in page.data()["curves"]][1:] == [NAME, "b.png"]


def test_curves_are_those_of_the_rows(measured, page) -> None:
  groups = page.data()["curves"]
  jpeg = measured.codecs[1]
  for image, group in zip(measured.images, groups[1:]):
    series = group["charts"][1]["series"]
    labels = [s["label"] for s in series]
    assert labels == ["bls2017", "JPEG 4:2:0", "JPEG 2000"]
    rows = [
      measured.rows[measurement.key(image, jpeg, q)] for q in (20, 50, 80)
    ]
    for row, (x, y, remark) in zip(rows, series[1]["points"]):
      assert (x, y) == pytest.approx((row.bpp, row.psnr_y), rel=1e-5)
      assert remark == f"quality {row.quality:g}"


def test_series_differ_without_colour(page) -> None:
  for chart in page.data()["curves"][0]["charts"]:
    widths = [s["width"] for s in chart["series"]]
    assert widths[0] > 2 * max(widths[1:])
  many = [plots.style(i, plots.Series("", (), ())) for i in range(10)]
  assert len({style.marker for style in many}) == len(many)


def test_the_headline_says_how_many_bits_the_codec_needs(
  text, page, measured
) -> None:
  result = summary.summarize(measured)
  rates = {
    d.anchor: d.bd_rate for d in result.deltas if d.distortion == "psnr_rgb"
  }
  # JPEG's curve starts above the other one's end.
  assert math.isnan(rates["JPEG 4:2:0"])
  rate = rates["JPEG 2000"]
  more = f"{abs(rate):.1f}% {'more' if rate > 0 else 'fewer'}"
  assert more in page.texts["b"]
  assert text.index('class="cards"') < text.index('id="curves"')
  (verdict,) = summary.headline(result)
  start = f"bls2017 needs {more} bits than JPEG 2000 at equal PSNR"
  assert str(verdict).startswith(start)


def test_the_headline_compares_with_the_papers_curve_tuned_alike(
  measured,
) -> None:
  result = summary.summarize(measured)
  paper = tuple(rate_distortion.published_curves()[:2])
  deltas = tuple(
    rate_distortion.Delta("bls2017", c.label, distortion, -5.0)
    for c in (*result.curves[1:], *paper)
    for distortion in ("psnr_rgb", "ms_ssim_rgb_db")
  )
  beside = result._replace(curves=result.curves + paper, deltas=deltas)
  anchors = {verdict.anchor for verdict in summary.headline(beside)}
  assert anchors == {"JPEG 4:2:0", "JPEG 2000", paper[0].label}


def test_pictures_are_embedded_and_right(case, page) -> None:
  _, matches = case
  shown, same = page.data()["comparisons"]
  assert shown == same
  pictures = page.data()["pictures"]
  assert len(set(pictures)) == len(pictures) == len(shown["items"])
  labels = [item["label"] for item in shown["items"]]
  assert labels == ["Original", *matches]
  for item in shown["items"][1:]:
    kind, _, code = pictures[item["picture"]].partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(code))) as image:
      assert kind == f"data:{Image.MIME[image.format]}"
      x = np.array(image.convert("RGB"))
    match = matches[item["label"]]
    if item["label"] == "JPEG 4:2:0":
      np.testing.assert_array_equal(x, match.decoded)
    assert metrics.psnr(x, match.decoded) > 42
    assert f"{match.row.bpp:.3f} bpp, PSNR Y' " in item["caption"]


def test_studies_and_tables_are_there(text, page, measured) -> None:
  ((chart,),) = page.data()["studies"]
  assert chart["series"][0]["points"] == [[0.5, 30.0, ""]]
  assert "Is it so?" in page.texts["h2"]
  cells = " ".join(page.texts["td"])
  assert "9/7 wavelet" in cells
  assert "<1>" in cells
  macs = measured.codecs[0].about()["macs"]
  assert f"{macs:,.0f}" in cells
  for delta in summary.summarize(measured).deltas:
    known = not math.isnan(delta.bd_rate)
    assert (f"{delta.bd_rate:+.1f}%" if known else "–") in text


def test_the_figure_holds_all_panels(case) -> None:
  _, matches = case
  with Image.open(io.BytesIO(evaluation_run.draw_figure(*case))) as figure:
    right = np.array(figure).astype(int)[8 : 8 + 176, 16 + 192 : 16 + 2 * 192]
  assert np.abs(right - matches["bls2017"].decoded).mean() < 8


def test_without_learned_codec_and_pictures(measured) -> None:
  rivals = measured._replace(codecs=measured.codecs[1:], failures=())
  page = Page(report.render(summary.summarize(rivals)))
  assert page.data()["comparisons"] == []
  assert "No learned codec" in " ".join(page.texts["p"])
  nothing = measured._replace(codecs=())
  assert Page(report.render(summary.summarize(nothing))).open == []
