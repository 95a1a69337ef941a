"""What `onnx_int8.py` measured: files on CPUs, the goals that they reach, and tables for people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx_measuring import Variant
from timing import TIMES, Bound, Figure, Goal, Spread

POINTS = "points"
NOTABLE = 0.5
"""Points of accuracy lost against this CPU, from which on they are shown."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor that files ran on."""

    name: str
    flags: tuple[str, ...]
    """Those of `edgecifar.host.RELEVANT_FLAGS` that the engines saw."""
    images: int
    """Classified there."""

    @property
    def has_vnni(self) -> bool:
        """Whether it adds products of bytes in 32 bits."""
        return any("vnni" in flag for flag in self.flags)


@dataclass(frozen=True, slots=True)
class OnCpu:
    """A file on one of them."""

    ms: Spread | None
    """One image; None where an emulator ran."""
    faster_than_float: Spread | None
    accuracy: float
    """Share of right answers."""
    lost_points: float
    """By how many points of accuracy it is worse than on the first CPU, on the same images."""
    flips: int
    """Images that get another class than on the first CPU."""
    unlike: int
    """Images whose outputs are not the same integers as on the first CPU."""
    unlike_xnnpack: int | None
    """Images whose outputs are not its TFLite file's there, in XNNPACK; None: it was made of none."""
    classes_unlike_xnnpack: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One file."""

    variant: Variant
    size_bytes: int
    integer_layers: int
    layers: int
    unsafe_pairs: int
    on: dict[str, OnCpu]
    """By the CPU's name; the float file was not emulated."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All files on all CPUs."""

    cpus: tuple[Cpu, ...]
    """The first is this one, all of it."""
    rows: dict[Variant, Row]
    faster_than_stock: dict[str, Spread]
    """By CPU: how many times as fast as stock tf2onnx's of the same integers this tool's file is."""


def figures(measured: Measured, model: str) -> Iterator[Figure]:
    """Yields what this tool's file reaches, with the goals that hold for such a CPU and model.

    Args:
        measured: All variants.
        model: The recipe's name of the architecture.
    """
    here, *others = measured.cpus
    for cpu in measured.cpus:
        yield from _of_cpu(measured, cpu, model)
    ours, unsafe = (measured.rows[variant].on[here.name] for variant in (Variant.OURS, Variant.UNSAFE))
    gained = 100 * (ours.accuracy - unsafe.accuracy)
    yield _count(f"{here.name}: accuracy against unsafe weights", POINTS, gained, Goal(Bound.AT_LEAST, -0.05))
    for cpu in others:
        there, static = (measured.rows[variant].on[cpu.name] for variant in (Variant.OURS, Variant.STATIC))
        yield _count(
            f"{cpu.name}: images unlike {here.name}'s", "images", there.unlike, Goal(Bound.AT_MOST, 0)
        )
        # A goal where that file saturates only: where it keeps its answers there is nothing to win.
        goal = Goal(Bound.AT_LEAST, 1.5) if static.flips else None
        better = 100 * (there.accuracy - static.accuracy)
        yield _count(f"{cpu.name}: accuracy against quantize_static", POINTS, better, goal)


def _of_cpu(measured: Measured, cpu: Cpu, model: str) -> Iterator[Figure]:
    """Yields speed and equality with XNNPACK on one CPU."""
    ours = measured.rows[Variant.OURS].on[cpu.name]
    if ours.faster_than_float is not None:
        yield Figure(
            f"{cpu.name}: one image, times as fast as float", TIMES, ours.faster_than_float,
            Goal(Bound.AT_LEAST, 2.3 if cpu.has_vnni else 1.7),
        )  # fmt: skip
        yield Figure(
            f"{cpu.name}: one image, times as fast as stock tf2onnx of the same TFLite file",
            TIMES, measured.faster_than_stock[cpu.name],
            Goal(Bound.AT_LEAST, 2) if model == "resnet8" and cpu.has_vnni else None,
        )  # fmt: skip
    if ours.unlike_xnnpack is not None and ours.classes_unlike_xnnpack is not None:
        alike = 100 * (1 - ours.unlike_xnnpack / cpu.images)
        yield _count(f"{cpu.name}: images bit for bit as XNNPACK", "%", alike, Goal(Bound.AT_LEAST, 99.9))
        yield _count(
            f"{cpu.name}: images of another class than XNNPACK's", "images", ours.classes_unlike_xnnpack,
            Goal(Bound.AT_MOST, 0),
        )  # fmt: skip


def _count(name: str, unit: str, value: float, goal: Goal | None) -> Figure:
    return Figure(name, unit, Spread.of([value]), goal)


def speed_table(measured: Measured) -> Iterator[str]:
    """Yields the lines of a Markdown table: time and accuracy of each file on each CPU."""
    timed = [cpu for cpu in measured.cpus if measured.rows[Variant.OURS].on[cpu.name].ms is not None]
    heads = [f"ms, × float: {cpu.name}" for cpu in timed]
    heads += [f"top-1: {_name(cpu, measured)}" for cpu in measured.cpus]
    rows = []
    for row in measured.rows.values():
        cells = [row.variant.value]
        cells += [_time(row.on[cpu.name]) for cpu in timed]
        cells += [_accuracy(row.on.get(cpu.name)) for cpu in measured.cpus]
        rows.append(cells)
    yield from _markdown(["file", *heads], rows)


def bits_table(measured: Measured) -> Iterator[str]:
    """Yields the lines of a Markdown table: size, arithmetic, and on how many images outputs differ."""
    here, *others = measured.cpus
    with_twin = [
        cpu for cpu in measured.cpus if measured.rows[Variant.OURS].on[cpu.name].unlike_xnnpack is not None
    ]
    heads = ["file", "bytes", "integer layers", "unsafe pairs"]
    heads += [f"unlike XNNPACK: {cpu.name}" for cpu in with_twin]
    heads += [f"unlike {here.name}: {_name(cpu, measured)}" for cpu in others]
    rows = []
    for row in measured.rows.values():
        cells = [
            row.variant.value, f"{row.size_bytes:,}", f"{row.integer_layers} of {row.layers}",
            f"{row.unsafe_pairs:,}",
        ]  # fmt: skip
        for cpu in with_twin:
            there = row.on.get(cpu.name)
            cells.append(_pair(there.unlike_xnnpack, there.classes_unlike_xnnpack) if there else "–")
        for cpu in others:
            there = row.on.get(cpu.name)
            cells.append(_pair(there.unlike, there.flips) if there else "–")
        rows.append(cells)
    yield from _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " + "| --: " * (len(heads) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _name(cpu: Cpu, measured: Measured) -> str:
    """Returns a CPU's name, with the number of images where it got fewer than the first."""
    return cpu.name if cpu.images == measured.cpus[0].images else f"{cpu.name}, {cpu.images:,} images"


def _time(found: OnCpu) -> str:
    if found.ms is None or found.faster_than_float is None:
        return "–"
    return f"{found.ms.median:.3f}, {found.faster_than_float.median:.2f}"


def _accuracy(found: OnCpu | None) -> str:
    if found is None:
        return "–"
    text = f"{100 * found.accuracy:.2f} %"
    return f"**{text}**" if found.lost_points >= NOTABLE else text


def _pair(images: int | None, classes: int | None) -> str:
    return "–" if images is None else f"{images:,} ({classes:,})"
