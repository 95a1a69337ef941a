"""Figures: the rows of a report's charts and of the tables that say the same."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import (
    Calibration,
    ClassScore,
    Comparison,
    Distribution,
    Evidence,
    GateKind,
    ParityReport,
    Unit,
)
from edgecifar.artifacts.layers import LayersReport
from edgecifar.reporting import charts
from edgecifar.reporting.explaining import short_name
from edgecifar.reporting.tables import NOTHING, count, difference, interval, percent, points

MOST_CLASSES = 20
"""In a confusion matrix that can still be read."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class in one comparison."""

    name: str
    before: ClassScore
    after: ClassScore
    drop_pp: float | None
    lost: int
    won: int


def drop_rows(report: ParityReport) -> list[Row]:
    """Returns a row for each comparison: the drop, its interval and the gate on it."""
    rows = []
    for comparison in report.comparisons:
        evidence = comparison.evidence
        bounds = evidence.drop_interval_pp if evidence else None
        gate = next((one.limit for one in comparison.checks if one.kind is GateKind.MAX_DROP), None)
        detail = f"{points(comparison.drop_pp)} pp"
        rows.append(
            {
                "subject": comparison.subject,
                "drop": comparison.drop_pp,
                "low": bounds.low if bounds else comparison.drop_pp,
                "high": bounds.high if bounds else comparison.drop_pp,
                "verdict": comparison.verdict.value,
                "gate": gate,
                "detail": f"{detail} {interval(bounds, points)}" if bounds else detail,
            }
        )
    return rows


def class_rows(names: tuple[str, ...], evidence: Evidence) -> list[ClassRow]:
    """Returns a row for each class."""
    columns = (
        names,
        evidence.reference_confusion.scores,
        evidence.confusion.scores,
        evidence.class_drops_pp,
        evidence.right_to_wrong,
        evidence.wrong_to_right,
    )
    return [ClassRow(*row) for row in zip(*columns, strict=True)]


def most_changed(evidence: Evidence) -> list[int]:
    """Returns the classes that a confusion matrix shows: all, or those with most flips, in order."""
    flips = np.array(evidence.right_to_wrong) + np.array(evidence.wrong_to_right)
    return sorted(np.argsort(-flips, kind="stable")[:MOST_CLASSES].tolist())


def chart_rows(comparison: Comparison, names: tuple[str, ...]) -> dict[str, list[Row]]:
    """Returns the rows of each chart of one comparison; none without evidence."""
    evidence = comparison.evidence
    if evidence is None:
        return {}
    shown = most_changed(evidence)
    before, after = (one.matrix for one in (evidence.reference_confusion, evidence.confusion))
    rows = {
        "flips": _flip_rows(names, evidence, shown),
        charts.CANDIDATE: _confusion_rows(after, names, shown),
        charts.REFERENCE: _confusion_rows(before, names, shown),
        "change": _change_rows(after - before, names, shown),
        "differences": distribution_rows(evidence.differences),
    }
    if evidence.calibration and evidence.reference_calibration:
        rows["calibration"] = [
            *_calibration_rows(charts.REFERENCE, evidence.reference_calibration),
            *_calibration_rows(charts.CANDIDATE, evidence.calibration),
        ]
    return rows


def _flip_rows(names: tuple[str, ...], evidence: Evidence, shown: list[int]) -> list[Row]:
    directions = ((charts.LOST, -1, evidence.right_to_wrong), (charts.WON, 1, evidence.wrong_to_right))
    return [
        {
            "class": names[place],
            "direction": direction,
            "images": sign * by_class[place],
            "detail": f"{names[place]}: {count(by_class[place])} {direction}",
        }
        for place in shown
        for direction, sign, by_class in directions
    ]


def _confusion_rows(matrix: NDArray[np.int64], names: tuple[str, ...], shown: list[int]) -> list[Row]:
    # Within a class's row; its square root shows the few errors beside the many that are right.
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shades = np.sqrt(matrix / totals)
    return _cells(matrix, shades, names, shown, str)


def _change_rows(matrix: NDArray[np.int64], names: tuple[str, ...], shown: list[int]) -> list[Row]:
    shades = matrix / max(1, int(np.abs(matrix).max()))
    return _cells(matrix, shades, names, shown, signed)


def _cells(
    matrix: NDArray[np.int64],
    shades: NDArray[np.float64],
    names: tuple[str, ...],
    shown: list[int],
    write: Callable[[int], str],
) -> list[Row]:
    return [
        {
            "label": names[label],
            "prediction": names[prediction],
            "shade": round(float(shades[label, prediction]), 3),
            "text": write(int(matrix[label, prediction])) if matrix[label, prediction] else "",
            "contrast": bool(abs(shades[label, prediction]) > 0.55),
            "detail": f"{names[label]} said to be {names[prediction]}: "
            f"{write(int(matrix[label, prediction]))}",
        }
        for label in shown
        for prediction in shown
    ]


def signed(number: int) -> str:
    """Returns a whole number with its sign, a typographic minus."""
    return points(number).removesuffix(".00")


def _calibration_rows(model: str, calibration: Calibration) -> list[Row]:
    return [
        {
            "model": model,
            "confidence": one.confidence_sum / one.images,
            "accuracy": one.correct / one.images,
            "images": one.images,
            "detail": f"{model}: {count(one.images)} images, confidence "
            f"{percent(one.confidence_sum / one.images)}, accuracy {percent(one.correct / one.images)}",
        }
        for one in calibration.bins
        if one.images
    ]


def distribution_rows(found: Distribution) -> list[Row]:
    """Returns a row for each range of differences, from the first to the last in which an image lies."""
    filled = np.flatnonzero(found.counts)
    rows = []
    for place in range(filled[0], filled[-1] + 1):
        edge, images = found.edges[place], found.counts[place]
        text = f"{edge:g}" if found.unit is Unit.STEPS else difference(edge)
        rows.append({"range": text, "images": images, "detail": f"up to {text}: {count(images)} images"})
    return rows


def layer_rows(found: LayersReport) -> list[Row]:
    """Returns a row for each layer: how much noise its output carries."""
    return [
        {
            # Converters give layers of one name; a number tells them apart.
            "layer": f"{place}. {short_name(layer.name)}",
            "sqnr": layer.sqnr_db if math.isfinite(layer.sqnr_db) else None,
            "detail": f"{decibels(layer.sqnr_db)}, cosine {layer.cosine:.5f}",
        }
        for place, layer in enumerate(found.layers, start=1)
    ]


def decibels(ratio: float | None) -> str:
    """Returns a ratio in dB with one decimal, or a dash."""
    if ratio is None:
        return NOTHING
    return f"{ratio:.1f} dB" if math.isfinite(ratio) else "no noise"


def share(rate: float | None) -> str:
    """Returns a share as a percentage, or a dash."""
    return NOTHING if rate is None else percent(rate)
