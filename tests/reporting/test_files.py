from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.reporting import write_report


def test_files_that_belong_together(report: ParityReport, tmp_path: Path) -> None:
    page, picture, markdown, junit, data = write_report(report, tmp_path / "new" / "folder")
    assert ParityReport.read(data) == report
    assert "model.int8.onnx" in markdown.read_text(encoding="utf-8")
    assert f"]({picture.name})" in markdown.read_text(encoding="utf-8")
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert "model.int8.onnx" in page.read_text(encoding="utf-8")
    assert ElementTree.parse(junit).getroot().tag == "testsuites"
    names = ["index.html", "junit.xml", "report.json", "report.md", "report.png"]
    assert sorted(path.name for path in data.parent.iterdir()) == names


def test_counts_and_floats_survive_the_json_unrounded(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison], tmp_path: Path
) -> None:
    comparison = make_comparison(
        "a.tflite", "litert", 9_133, 1, mean_difference=1 / 3, max_difference=2 / 3e5
    )
    *_, data = write_report(make_report(comparison), tmp_path)
    (read,) = ParityReport.read(data).comparisons
    assert (read.mean_difference, read.max_difference, read.accuracy.correct) == (1 / 3, 2 / 3e5, 9_133)


def test_a_failed_write_leaves_the_earlier_report(
    report: ParityReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_report(report, tmp_path)
    before = [path.read_bytes() for path in paths]

    def fill_the_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(report.model_copy(update={"title": "another"}), tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert len(list(tmp_path.iterdir())) == 5
