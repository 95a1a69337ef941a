import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.artifacts.layers import LayersReport
from edgecifar.reporting import charts, html
from edgecifar.reporting.html import render_html

LARGEST = 3_000_000


class Page(HTMLParser):
    """What the tests ask about a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def page(real_report: ParityReport) -> Page:
    return Page(render_html(real_report))


def test_nothing_is_fetched_from_elsewhere(page: Page) -> None:
    sources = [
        attributes.get("src") or "" for tag, attributes in page.tags if tag in {"img", "script", "iframe"}
    ]
    assert all(source.startswith("data:image/png;base64,") for source in sources if source)
    assert not page.all("link")
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))


def test_it_stays_small(real_report: ParityReport) -> None:
    assert len(render_html(real_report).encode()) < LARGEST


def test_the_answer_the_numbers_and_the_command_are_there(page: Page, real_report: ParityReport) -> None:
    for expected in (
        "May I ship it?",
        "not proven to pass",
        "it would take about",
        "Accuracy lost",
        "Agreement",
        real_report.command,
        real_report.data_fingerprint,
        "Expected calibration error",
    ):
        assert expected in page.text


def test_every_flip_has_its_picture_and_every_picture_its_words(
    page: Page, real_report: ParityReport
) -> None:
    thumbs = [attributes for attributes in page.all("button") if "thumb" in (attributes.get("class") or "")]
    flips = [flip for one in real_report.comparisons if one.evidence for flip in one.evidence.worst_flips]
    assert len(thumbs) == len(flips) > 0
    said = [json.loads(attributes["data-figures"] or "") for attributes in thumbs]
    assert [figures[1][1] for figures in said] == [
        real_report.class_names[flip.candidate_class] for flip in flips
    ]
    assert all(image["alt"] or image.get("id") == "flip-image" for image in page.all("img"))


def test_the_script_of_the_charts_gets_what_it_asks_for(real_report: ParityReport) -> None:
    text = render_html(real_report)
    content = json.loads(re.findall(r'<script type="application/json" id="content">(.*?)</script>', text)[0])
    assert set(content["specs"]) == set(charts.chart_specs())
    tables = content["tables"]
    assert (
        len(content["comparisons"]) == len(tables[content["drops"]]["rows"]) == len(real_report.comparisons)
    )
    first = content["comparisons"][0]
    assert {"candidate", "reference", "change", "flips", "differences", "calibration"} <= set(first)
    table = tables[first["candidate"]]
    assert len(table["rows"]) == len(real_report.class_names) ** 2
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    assert len({json.dumps(table) for table in tables}) == len(tables)


def test_each_picture_is_there_once(real_report: ParityReport) -> None:
    text = render_html(real_report)
    shown = re.findall(r'data-image="(\d+)"', text)
    assert len(shown) > len(set(shown)) > 0
    for image in set(shown):
        assert text.count(real_report.images[int(image)]) == 1


def test_a_report_of_every_engine_is_under_3_megabytes(checkout: Path) -> None:
    report = ParityReport.read(checkout / "exported" / "edge-vgg6" / "report" / "report.json")
    assert len(report.comparisons) > 40
    assert len(render_html(report).encode()) < 3_000_000


def test_names_cannot_become_markup_or_script(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    name = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    text = render_html(make_report(make_comparison(name, "litert", 9_170, 1), title=name))
    assert "<script>alert" not in text
    assert "<img src=x" not in text


def test_a_report_of_version_1_or_without_rows_can_be_shown(
    report: ParityReport, make_report: Callable[..., ParityReport]
) -> None:
    assert "version 1" in Page(render_html(report)).text
    assert "nothing was compared" in Page(render_html(make_report())).text


def test_each_chart_is_vega_lite_without_data() -> None:
    for name, spec in charts.chart_specs().items():
        assert "vega-lite" in spec["$schema"]
        assert "datasets" not in spec, name


def test_script_json_ends_no_script() -> None:
    text = html.script_json({"a": "</script>&"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>&"}


def test_layers_have_a_section_only_where_they_were_looked_into(
    real_report: ParityReport, make_report: Callable[..., ParityReport], layers: LayersReport
) -> None:
    text = Page(render_html(make_report(layers=(layers,)))).text
    for expected in ("Quality falls first at conv1: It is low. Keep it in float.", "31.2 dB", "no noise"):
        assert expected in text
    assert "Layer x has no partner." in text
    content = re.findall(
        r'<script type="application/json" id="content">(.*?)</script>',
        render_html(make_report(layers=(layers,))),
    )[0]
    table = json.loads(content)["tables"][json.loads(content)["layers"][0]]
    assert None in [row[table["columns"].index("sqnr")] for row in table["rows"]]
    assert 'id="layers"' not in render_html(real_report)


def test_what_too_few_images_left_open_is_said_on_the_first_screen(partly_undecided: ParityReport) -> None:
    text = render_html(partly_undecided)
    first_screen = Page(text[: text.index("</header>")]).text
    assert "May I ship it?" in first_screen
    assert "1 comparison is undecided on 200 images: too few to prove" in first_screen
    assert "a.tflite in litert-reference is undecided on 200 images." in first_screen
