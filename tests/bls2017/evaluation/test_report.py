"""The page is whole, and says what was measured; a browser is not needed."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from bls2017.evaluation import (
  comparison,
  grid,
  image_codecs,
  measurement,
  plots,
  rate_distortion,
  report,
  study_results,
  summary,
)
from bls2017.images import metrics
from tests import images

NAME = "a <b> & </script>.png"


class Page(html.parser.HTMLParser):
  """Elements, attributes and texts of a page."""

  def __init__(self, text: str):
    super().__init__()
    self.open: list[str] = []
    self.ids: set[str] = set()
    self.links: list[str] = []
    self.texts: dict[str, list[str]] = {}
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    values = dict(attrs)
    if "id" in values:
      assert values["id"] not in self.ids
      self.ids.add(values["id"])
    self.links += [values[k] for k in ("src", "href") if values.get(k)]
    if tag not in ("meta", "img", "input", "br"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open:
      self.texts.setdefault(self.open[-1], []).append(data)

  def data(self) -> dict:
    return json.loads(self.texts["script"][0])


def _identify(folder, x: np.ndarray, name: str) -> measurement.ImageFile:
  path = folder / name.replace("/", "_")
  Image.fromarray(x).save(path, "PNG")
  image = measurement.inspect(str(path))
  assert isinstance(image, measurement.ImageFile)
  return measurement.ImageFile(
    image.path, name, image.width, image.height, image.hash
  )


@pytest.fixture(scope="module")
def measured(tmp_path_factory, golden_model_dir) -> grid.Measurements:
  folder = tmp_path_factory.mktemp("images")
  shown = [
    _identify(folder, images.photograph(176, 192, seed), name)
    for seed, name in enumerate((NAME, "b.png"))
  ]
  plans = grid.plan_codecs(
    ["bls2017", "jpeg", "jpeg2000"],
    [golden_model_dir],
    {"jpeg": (20, 50, 80), "jpeg2000": (0.1, 1, 2)},
  )
  rows = {}
  for plan in plans:
    made = {}
    for image in shown:
      for quality in plan.qualities:
        job = measurement.MeasureTask(image, plan.spec, quality)
        made[image.hash, quality] = measurement.measure(job)
    rows[plan.codec.label] = made
  failure = measurement.Failure("<broken>.png", "no image")
  return grid.Measurements(tuple(shown), plans, rows, (failure,))


@pytest.fixture(scope="module")
def case(measured) -> comparison.Comparison:
  image = measured.images[0]
  matches = {
    plan.codec.label: measurement.match(
      measurement.MatchTask(image, plan.spec, 1.0)
    )
    for plan in measured.plans
  }
  return comparison.Comparison(image, 1.0, matches)


@pytest.fixture(scope="module")
def study() -> study_results.Result:
  series = plots.Series("gdn", (0.5, 1.0), (30.0, math.nan))
  chart = plots.Chart("title", "x", "y", (series,))
  return study_results.Result(
    "transforms", "Is it so?", ("Yes.",), ("a",), (("1",),), (chart,)
  )


@pytest.fixture(scope="module")
def text(measured, case, study) -> str:
  return report.render(summary.summarize(measured), [case], [study])


@pytest.fixture(scope="module")
def page(text) -> Page:
  return Page(text)


def test_it_is_one_whole_page(page) -> None:
  assert page.open == []
  assert {"curves", "view", "slider", "crops", "studies", "data"} <= page.ids


def test_it_needs_no_network(text, page) -> None:
  assert page.links == []
  without_names = text.replace("http://www.w3.org/2000/svg", "")
  assert not re.search(r"https?://|@import|url\(", without_names)


def test_it_fits_a_phone(text) -> None:
  assert 'name="viewport" content="width=device-width' in text


def test_names_cannot_break_it(text, page) -> None:
  assert "<b> & </script>" not in text
  assert "&lt;broken&gt;.png: no image" in text
  assert [g["name"] for g in page.data()["curves"]][1:] == [NAME, "b.png"]


def test_curves_are_those_of_the_rows(measured, page) -> None:
  groups = page.data()["curves"]
  for image, group in zip(measured.images, groups[1:]):
    series = group["charts"]["psnr_y"]["series"]
    assert [s["label"] for s in series] == [
      "bls2017",
      "JPEG 4:2:0",
      "JPEG 2000",
    ]
    rows = [measured.rows["JPEG 4:2:0"][image.hash, q] for q in (20, 50, 80)]
    assert series[1]["x"] == pytest.approx([row.bpp for row in rows], rel=1e-5)
    assert series[1]["y"] == pytest.approx(
      [row.psnr_y for row in rows], rel=1e-5
    )
    assert series[1]["texts"] == ["quality 20", "quality 50", "quality 80"]


def test_the_learned_curve_is_emphasised_and_all_differ_without_colour(
  page,
) -> None:
  data = page.data()
  for chart in data["curves"][0]["charts"].values():
    styles = [data["styles"][s["style"]] for s in chart["series"]]
    widths = [style["width"] for style in styles]
    assert widths[0] > 2 * max(widths[1:])
    assert [s["emphasised"] for s in chart["series"]] == [True, False, False]
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
  assert f"{rate:.1f}% more" in page.texts["b"]
  sentence = summary.headline(result)[0]
  assert f"larger than those of JPEG 2000 ({rate:+.1f}%)" in sentence
  assert "JPEG 4:2:0" not in sentence
  assert text.index('class="cards"') < text.index('id="curves"')


def test_the_headline_compares_with_the_papers_curve_tuned_alike(
  measured,
) -> None:
  result = summary.summarize(measured)
  paper = tuple(
    c
    for c in rate_distortion.published_curves()
    if c.codec["name"].startswith("balle2017")
  )
  assert len(paper) == 2
  deltas = tuple(
    rate_distortion.Delta(
      "bls2017", c.label, "psnr_rgb", -5.0, 1.0, (30.0, 40.0), 1.0
    )
    for c in paper
  )
  beside = dataclasses.replace(
    result, curves=result.curves + paper, deltas=deltas
  )
  rates = summary.headline_rates(beside, "bls2017", "psnr_rgb")
  assert list(rates) == [paper[0].label]


def test_the_title_names_the_data(page, measured) -> None:
  folder = measured.images[0].path.rsplit("/", 2)[1]
  assert page.texts["title"] == [f"Compression of {folder}"]
  assert page.texts["h1"] == page.texts["title"]


def test_pictures_are_embedded_and_right(case, page) -> None:
  (shown,) = page.data()["comparisons"]
  pictures = page.data()["pictures"]
  labels = [item["label"] for item in shown["items"]]
  assert labels == ["Original", *case.matches]
  for item in shown["items"]:
    kind, _, code = pictures[item["picture"]].partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(code))) as image:
      assert kind == f"data:{Image.MIME[image.format]}"
      x = np.array(image.convert("RGB"))
    if item["label"] in case.matches:
      match = case.matches[item["label"]]
      if image_codecs.REGISTRY[match.row.codec].media_type:
        np.testing.assert_array_equal(x, match.decoded)
      assert metrics.psnr(x, match.decoded) > 42
      assert item["caption"] == comparison.caption(match)


def test_a_picture_is_held_once(measured, case, text) -> None:
  result = summary.summarize(measured)
  twice = report.render(result, [case, case])
  assert len(twice) - len(report.render(result, [case])) < 2000


def test_rivals_get_no_smaller_a_rate(case) -> None:
  rates = [match.row.bpp for match in case.matches.values()]
  assert all(1.0 <= bpp < 1.15 for bpp in rates[1:])


def test_studies_and_tables_are_there(text, page, measured) -> None:
  (shown,) = page.data()["studies"]
  assert shown["title"] == "Is it so?"
  assert shown["charts"][0]["series"][0]["y"] == [30.0, None]
  cells = " ".join(page.texts["td"])
  assert "9/7 wavelet" in cells
  assert "irreversible=True" not in text
  for delta in summary.summarize(measured).deltas:
    known = not math.isnan(delta.bd_rate)
    assert (f"{delta.bd_rate:+.1f}%" if known else "–") in text


def test_the_figure_holds_all_panels(case) -> None:
  with Image.open(io.BytesIO(comparison.draw(case))) as figure:
    assert figure.format == "JPEG"
    sheet = np.array(figure)
  x = images.photograph(176, 192, 0)
  top_left = sheet[8 : 8 + 176, 8 : 8 + 192].astype(int)
  assert np.abs(top_left - x).mean() < 8
  right = sheet[8 : 8 + 176, 16 + 192 : 16 + 2 * 192].astype(int)
  own = next(iter(case.matches.values())).decoded
  assert np.abs(right - own).mean() < 8


def test_without_learned_codec_and_pictures(measured) -> None:
  rivals = grid.Measurements(
    measured.images, measured.plans[1:], measured.rows, ()
  )
  page = Page(report.render(summary.summarize(rivals)))
  assert page.data()["comparisons"] == []
  assert "No learned codec" in " ".join(page.texts["p"])


def test_settings_measured_on_some_images_only_are_left_out(measured) -> None:
  rows = {k: dict(v) for k, v in measured.rows.items()}
  del rows["JPEG 4:2:0"][measured.images[0].hash, 50]
  partial = grid.Measurements(measured.images, measured.plans, rows, ())
  jpeg = partial.curves()[1]
  assert [p.quality for p in jpeg.points] == [20, 80]
  assert len(partial.curves(measured.images[1].hash)[1].points) == 3


def test_registry_knows_what_browsers_show() -> None:
  shown = {n for n, c in image_codecs.REGISTRY.items() if c.media_type}
  assert not shown & {"bls2017", "jpeg2000", "jpegxl"}
