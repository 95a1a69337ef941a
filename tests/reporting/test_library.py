from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecifar.reporting import library


@pytest.fixture(autouse=True)
def bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """An empty cache, and a bundle that notes when it is made."""
    made: list[str] = []

    def bundle(snippet: str) -> str:
        made.append(snippet)
        return "a = '</script>';"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library.vl_convert, "javascript_bundle", bundle)
    library.chart_library.cache_clear()
    yield made
    library.chart_library.cache_clear()


def test_it_cannot_end_its_element() -> None:
    assert library.chart_library() == "a = '<\\/script>';"


def test_it_is_bundled_once_and_kept(bundled: list[str]) -> None:
    first = library.chart_library()
    library.chart_library.cache_clear()
    assert library.chart_library() == first
    assert len(bundled) == 1


@pytest.mark.parametrize("altered", [b"alert(1)", b"\xff\xfe"])
def test_an_altered_file_is_bundled_anew(altered: bytes, bundled: list[str], tmp_path: Path) -> None:
    script = library.chart_library()
    (kept,) = (tmp_path / "edgecifar" / "charts").iterdir()
    kept.write_bytes(altered)
    library.chart_library.cache_clear()
    assert library.chart_library() == script
    assert len(bundled) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert library.chart_library().startswith("a = ")
