"""Draws the README's plot: top-1 accuracy of the int8 TFLite files against their size.

    python scripts/plot_sizes.py [--exported exported] [--out docs/images/accuracy-size.png]

The bundles' points come from their reports, `exported/*/report/report.json`: run it again when one
changes.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bundle_tables import Verified
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgecifar.artifacts.files import replacing
from edgecifar.errors import EdgecifarError, VerificationError

OURS, THEIRS = "#1f5fbf", "#8a8f98"
PUBLISHED_FLOAT = 90.0
"""Per cent, float, of the published recipe of `vgg6` as its author reports it, without an int8 file:
https://appliedmachinelearning.blog/2018/03/24/achieving-90-accuracy-in-object-recognition-task-on-cifar-10-dataset-with-keras-convolutional-neural-networks/"""


@dataclass(frozen=True, slots=True)
class Point:
    """One int8 TFLite file."""

    name: str
    size_bytes: int
    accuracy_percent: float
    gzip_bytes: int | None = None
    """As downloaded; only of pruned models, whose zeros compress."""


ANCHORS = (
    Point("MLPerf Tiny ResNet-8", 98_496, 86.97),
    Point("MLPerf Tiny, large", 512_024, 91.31),
)
"""Published int8 files (https://github.com/mlcommons/tiny), measured on the same test images."""


def read_point(bundle: Path) -> Point:
    """Returns the int8 TFLite file of a bundle, as its report has it for LiteRT.

    Raises:
        VerificationError: The report has no such comparison on all test images.
    """
    verified = Verified(bundle)
    int8 = verified.whole("model.int8.tflite", "litert")
    accuracy = 100 * int8.accuracy.rate
    return Point(bundle.name, int8.size_bytes, accuracy, verified.gzip_bytes(int8))


def draw(points: list[Point], path: Path) -> None:
    """Draws bundles and anchors as PNG."""
    figure = Figure(figsize=(7, 4), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(PUBLISHED_FLOAT, color=THEIRS, linewidth=0.8, linestyle=":")
    axes.annotate(
        "published recipe of vgg6: about 90 %, float",
        (1, PUBLISHED_FLOAT),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        fontsize=7,
        color=THEIRS,
    )
    for point, colour, marker in [*((p, OURS, "o") for p in points), *((p, THEIRS, "s") for p in ANCHORS)]:
        size = point.size_bytes / 1000
        axes.plot(size, point.accuracy_percent, marker, color=colour)
        label, at = f"{point.name}\n{point.accuracy_percent:.2f} %", size
        if point.gzip_bytes is not None:
            at = point.gzip_bytes / 1000
            axes.plot([at, size], [point.accuracy_percent] * 2, color=colour, linewidth=0.8, linestyle="--")
            axes.plot(at, point.accuracy_percent, marker, color=colour, fillstyle="none")
            label += " (gzip)"
        axes.annotate(
            label, (at, point.accuracy_percent), (7, -4), textcoords="offset points", fontsize=8, va="top"
        )
    axes.set_xlabel("int8 TFLite file, thousand bytes", fontsize=9)
    axes.set_ylabel("top-1 on the 10,000 test images, %", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.18, y=0.2)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def main() -> None:
    """Reads the bundles and writes the picture."""
    parser = argparse.ArgumentParser(description="Draw accuracy against the size of int8 files.")
    parser.add_argument("--exported", type=Path, default=Path("exported"), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/images/accuracy-size.png"))
    arguments = parser.parse_args()
    bundles = sorted(path.parent.parent for path in arguments.exported.glob("*/report/report.json"))
    try:
        points = [read_point(bundle) for bundle in bundles]
        if not points:
            raise VerificationError(f"{arguments.exported}: there is no verified bundle.")
    except EdgecifarError as error:
        parser.exit(error.exit_status, f"error: {error}\n")
    draw(points, arguments.out)
    for point in points:
        print(f"{point.name}: {point.accuracy_percent:.2f} %, {point.size_bytes:,} bytes")
    print(f"Wrote {arguments.out}.")


if __name__ == "__main__":
    main()
