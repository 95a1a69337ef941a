"""What `onnx_int8.py` measured: its rows, the goals that they reach, a table and a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnx_variants import Variant
from timing import TIMES, Bound, Figure, Goal, Spread

POINTS = "points"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A file on an emulated CPU."""

    accuracy: float
    lost_points: float
    """By how many points of accuracy it is worse than on this CPU, on the same images."""
    flips: int
    """Images that get another class there."""
    unlike: int
    """Images whose outputs are not the same integers there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One file."""

    variant: Variant
    ms: Spread
    faster_than_float: Spread
    integer_layers: int
    layers: int
    unsafe_pairs: int
    accuracy: float
    """Share of right answers on this CPU."""
    accuracy_of_emulated: float
    """The same, of the images that emulated CPUs get."""
    elsewhere: dict[str, Elsewhere]
    """By level of CPU; empty for the float file."""
    images_unlike_xnnpack: int | None
    """Images whose outputs are not XNNPACK's for the TFLite file that it was made of; None: of none."""
    classes_unlike_xnnpack: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """All files, and how many times as fast as stock tf2onnx's of the same integers this tool's is."""

    rows: dict[Variant, Row]
    faster_than_stock: Spread
    images: int
    """Classified on this CPU."""
    emulated: int
    """Images of them that emulated CPUs classified."""


def figures(measured: Measured, model: str, flags: tuple[str, ...]) -> Iterator[Figure]:
    """Yields what this tool's file reaches, with the goals that hold for such a CPU and model.

    Args:
        measured: All variants.
        model: The recipe's name of the architecture.
        flags: This CPU's.
    """
    rows, ours = measured.rows, measured.rows[Variant.OURS]
    has_vnni = any("vnni" in flag for flag in flags)
    yield Figure(
        "one image, times as fast as float", TIMES, ours.faster_than_float,
        Goal(Bound.AT_LEAST, 2.3 if has_vnni else 1.7),
    )  # fmt: skip
    yield Figure(
        "one image, times as fast as stock tf2onnx of the same TFLite file",
        TIMES, measured.faster_than_stock,
        Goal(Bound.AT_LEAST, 2) if model == "resnet8" and has_vnni else None,
    )  # fmt: skip
    unlike, classes = ours.images_unlike_xnnpack or 0, ours.classes_unlike_xnnpack or 0
    yield _count(
        "images bit for bit as XNNPACK", "%", 100 * (1 - unlike / measured.images), Goal(Bound.AT_LEAST, 99.9)
    )
    yield _count("images of another class than XNNPACK's", "images", classes, Goal(Bound.AT_MOST, 0))
    gained = 100 * (ours.accuracy - rows[Variant.UNSAFE].accuracy)
    yield _count("accuracy against unsafe weights", POINTS, gained, Goal(Bound.AT_LEAST, -0.05))
    for level, there in ours.elsewhere.items():
        yield _count(f"{level}: images unlike this CPU's", "images", there.unlike, Goal(Bound.AT_MOST, 0))
        static = rows[Variant.STATIC].elsewhere[level]
        # A goal where that file saturates only: where it keeps its answers there is nothing to win.
        goal = Goal(Bound.AT_LEAST, 1.5) if static.flips else None
        better = 100 * (there.accuracy - static.accuracy)
        yield _count(f"{level}: accuracy against quantize_static", POINTS, better, goal)


def _count(name: str, unit: str, value: float, goal: Goal) -> Figure:
    return Figure(name, unit, Spread.of([value]), goal)


def table(rows: dict[Variant, Row], levels: list[str]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    heads = ["variant", "ms, one image", "× float", "integer layers", "unsafe pairs", "top-1"]
    heads += [f"top-1, {level} (points lost, flips, images unlike)" for level in levels]
    heads += ["images unlike XNNPACK (classes)"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for row in rows.values():
        cells = [
            row.variant.value, f"{row.ms.median:.3f} [{row.ms.minimum:.3f}, {row.ms.maximum:.3f}]",
            f"{row.faster_than_float.median:.2f}", f"{row.integer_layers} of {row.layers}",
            f"{row.unsafe_pairs:,}", f"{100 * row.accuracy:.2f} %",
        ]  # fmt: skip
        for level in levels:
            there = row.elsewhere.get(level)
            cells.append(
                f"{100 * there.accuracy:.2f} % ({there.lost_points:.2f}, {there.flips}, {there.unlike})"
                if there
                else "–"
            )
        unlike = row.images_unlike_xnnpack
        cells.append("–" if unlike is None else f"{unlike} ({row.classes_unlike_xnnpack})")
        yield "| " + " | ".join(cells) + " |"


def draw(rows: dict[Variant, Row], images: int, title: str, out: Path) -> None:
    """Writes a picture: accuracy on each CPU against milliseconds on this one.

    Args:
        rows: All variants.
        images: That every CPU classified.
        title: Of the picture.
        out: A PNG file; its folder is made.
    """
    import matplotlib.pyplot as plt

    levels = tuple(rows[Variant.OURS].elsewhere)
    markers = dict(zip(levels, "vs^D", strict=False))
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for number, row in enumerate(rows.values()):
        ms, colour, here = row.ms.median, f"C{number}", 100 * row.accuracy_of_emulated
        there = {level: 100 * found.accuracy for level, found in row.elsewhere.items()}
        every = [here, *there.values()]
        axes.plot([ms, ms], [min(every), max(every)], "-", color=colour, alpha=0.5)
        axes.plot(ms, here, "o", color=colour, label=row.variant.value)
        for level, accuracy in there.items():
            axes.plot(ms, accuracy, markers[level], color=colour, fillstyle="none", markersize=9)
    axes.set(
        xlabel="ms for one image, one thread, this CPU", ylabel=f"top-1 on {images:,} images, %", title=title
    )
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    for level, marker in markers.items():
        axes.plot(
            [], [], marker, color="grey", fillstyle="none", linestyle="none", label=f"on {level}, emulated"
        )
    axes.legend(title="● this CPU", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
