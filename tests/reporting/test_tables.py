from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.artifacts import Accuracy, Comparison, ParityReport
from edgecifar.reporting import tables


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.9165, "91.65 %"),
        (1.0, "100.00 %"),
        (0.999_96, ">99.99 %"),
        (49_999 / 50_000, ">99.99 %"),
        (0.9999, "99.99 %"),
        (0.0, "0.00 %"),
    ],
)
def test_percent(rate: float, text: str) -> None:
    assert tables.percent(rate) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "+0.04"), (-0.1, "−0.10"), (0.0, "0.00"), (-0.0, "0.00"), (-0.004, "0.00"), (81.7, "+81.70")],
)
def test_points(value: float, text: str) -> None:
    assert tables.points(value) == text


def test_count() -> None:
    assert tables.count(1_243_904) == "1,243,904"
    assert tables.count(2345.6) == "2,346"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3e-7, "3e-07"), (0.00005, "0.0001"), (0.03125, "0.0312"), (1.0, "1.0000")],
)
def test_difference(value: float, text: str) -> None:
    assert tables.difference(value) == text


@given(st.floats(min_value=1e-12, max_value=1))
def test_a_difference_that_is_there_is_never_written_as_none(value: float) -> None:
    assert float(tables.difference(value)) > 0


def test_columns_that_say_nothing_are_left_out(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison], report: ParityReport
) -> None:
    plain = make_report(make_comparison("a.tflite", "litert", 9_000, 1))
    assert {"images", "max step"}.isdisjoint(column.heading for column in tables.columns_of(plain))
    assert {"images", "max step"} <= {column.heading for column in tables.columns_of(report)}
    few = make_comparison(
        "a.tflite", "litert", 9, 1, accuracy=Accuracy(correct=9, total=10), reference_correct=9
    )
    assert "images" in {column.heading for column in tables.columns_of(make_report(few))}


def test_less_important_columns_go_first_and_the_answer_stays(report: ParityReport) -> None:
    columns = tables.columns_of(report)
    previous = {column.heading for column in tables.fit(columns, report.comparisons, 1_000, 1)}
    assert previous == {column.heading for column in columns}
    for width in range(130, 0, -1):
        kept = {column.heading for column in tables.fit(columns, report.comparisons, width, 1)}
        assert kept <= previous
        assert {"artifact", "runtime", "drop pp", "verdict"} <= kept
        previous = kept
    assert previous == {"artifact", "runtime", "drop pp", "verdict"}
