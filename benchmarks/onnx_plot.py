"""The picture of what `onnx_int8.py` measured: accuracy against milliseconds, a panel for each CPU."""

from pathlib import Path
from typing import TYPE_CHECKING

from onnx_measuring import Variant
from onnx_results import NOTABLE, Cpu, Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = {
    Variant.FLOAT: ("float32", "D", "0.45", 8),
    Variant.STOCK: ("stock tf2onnx", "^", "C1", 11),
    Variant.STATIC: ("quantize_static", "s", "C3", 11),
    Variant.STATIC_CHANNELS: ("quantize_static, per_channel", "p", "C4", 15),
    Variant.STATIC_REDUCED: ("quantize_static, reduce_range", "v", "C2", 11),
    Variant.OURS: ("edgecifar", "o", "C0", 6),
}
"""Label, marker, colour and size of the files that people choose between; the others explain these.

Where they lie on one another, the dot is seen within the outlines."""


def draw(measured: Measured, title: str, out: Path) -> None:
    """Writes a picture with a panel for each CPU that was timed.

    Args:
        measured: All variants.
        title: Of the picture.
        out: A PNG file; its folder is made.
    """
    import matplotlib.pyplot as plt

    ours = measured.rows[Variant.OURS]
    cpus = [cpu for cpu in measured.cpus if ours.on[cpu.name].ms is not None]
    figure, panels = plt.subplots(
        1, len(cpus), figsize=(1.5 + 3.3 * len(cpus), 4.6), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, cpu in zip(panels[0], cpus, strict=True):
        _draw_cpu(axes, measured, cpu)
    panels[0, 0].set_ylabel(f"top-1 on {cpus[0].images:,} test images, %")
    figure.suptitle(title)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def _draw_cpu(axes: "Axes", measured: Measured, cpu: Cpu) -> None:
    for variant, (label, marker, colour, size) in _MARKS.items():
        found = measured.rows[variant].on[cpu.name]
        if found.ms is None:
            continue
        fill = "full" if variant is Variant.OURS else "none"
        x, y = found.ms.median, 100 * found.accuracy
        axes.plot(
            x, y, marker, color=colour, fillstyle=fill, markersize=size, markeredgewidth=1.8,
            linestyle="none", label=label, zorder=3 if variant is Variant.OURS else 2,
        )  # fmt: skip
        if found.lost_points >= NOTABLE:
            there = f"{y + found.lost_points:.1f} % with {measured.cpus[0].name}"
            _write(axes, f"{y:.1f} %, {there}", (x, y), (0, -17), colour)
        if variant is Variant.OURS and found.faster_than_float is not None:
            _write(axes, f"{found.faster_than_float.median:.1f} × float's speed", (x, y), (0, 17), colour)
    axes.set_xlim(0, 1.15 * axes.dataLim.x1)
    axes.set(xlabel="ms for one image, one thread", title=cpu.name)
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)


def _write(axes: "Axes", text: str, point: tuple[float, float], offset: tuple[int, int], colour: str) -> None:
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        color=colour,
        ha="center",
        va="center",
        fontsize="small",
    )
