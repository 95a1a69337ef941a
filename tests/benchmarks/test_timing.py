"""The arithmetic that the benchmarks share."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def timing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(checkout / "benchmarks")
    return importlib.import_module("timing")


def test_a_spread_has_the_median_of_all_values(timing) -> None:
    assert timing.Spread.of([5.0, 1.0, 2.0]) == timing.Spread(1.0, 2.0, 5.0, 3)


@pytest.mark.parametrize(("bound", "median", "met"), [
    ("at most", 1.5, True), ("at most", 1.6, False), ("at least", 1.5, True), ("at least", 1.4, False),
])  # fmt: skip
def test_a_goal_is_judged_on_the_median(timing, bound: str, median: float, met) -> None:
    goal = timing.Goal(timing.Bound(bound), 1.5)
    assert goal.is_met(timing.Spread(0.0, median, 9.0, 3)) is met


def test_each_round_starts_with_another_name(timing) -> None:
    assert list(timing.rounds("abc", 4)) == [tuple("abc"), tuple("bca"), tuple("cab"), tuple("abc")]


def test_variants_run_in_turn_and_the_warm_up_does_not_count(timing) -> None:
    ran = []
    seconds = timing.interleave({name: lambda name=name: ran.append(name) for name in "ab"}, repeats=2)
    assert "".join(ran) == "abbaab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_round_by_round(timing) -> None:
    assert timing.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_an_outcome_says_where_it_was_measured_and_what_was_reached(timing) -> None:
    machine = timing.Machine("a CPU, 2 cores", ("avx2", "fma"), {"python": "3.11"}, 0.5)
    goal = timing.Goal(timing.Bound.AT_LEAST, 10)
    figure = timing.Figure("a / b", timing.TIMES, timing.Spread(9.0, 9.51, 12.0, 5), goal)
    outcome = timing.Outcome("some", machine, {"repeats": 5}, (figure,), ("A note.",))
    text = outcome.text()
    for part in (
        "a CPU, 2 cores",
        "avx2 fma",
        "python 3.11",
        "load before the start 0.50",
        "repeats 5",
        "A note.",
    ):
        assert part in text
    assert "a / b   5    9    9.51   12  times  at least 10: missed" in text
    (record,) = json.loads(outcome.json())["figures"]
    assert record["median"] == 9.51
    assert record["goal"] == {"bound": "at least", "value": 10, "met": False}


def test_packages_that_are_not_installed_have_no_version(timing) -> None:
    assert set(timing.Machine.here(("numpy", "no-such-package-xyz")).versions) == {"python", "numpy"}
