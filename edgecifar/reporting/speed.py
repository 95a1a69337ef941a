"""A SpeedReport as terminal table, CSV and picture."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from edgecifar.artifacts.files import replacing, write_text
from edgecifar.artifacts.speed import SpeedReport, SpeedRow
from edgecifar.reporting.tables import NOTHING, count, percent

_MARKERS = "osD^vP*X<>h"
_COLOURS = {"float32": "#5b6470", "float16": "#8250df", "dynamic": "#b35900", "int8": "#0969da"}


class SpeedView:
    """A rich renderable of a speed report: three tables, each narrow enough for a terminal of 80 columns."""

    def __init__(self, report: SpeedReport) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        report = self._report
        yield Text(f"CPU  {' · '.join((report.cpu, *report.cpu_flags))}")
        if report.rows:
            images = count(report.rows[0].accuracy.total)
            yield Text(f"\nOne image at a time, one thread; top-1 of {images} images", style="bold")
            yield _table(report, ("median\nms", "p90\nms", "p99\nms", "ratio", "top-1"), _latency)
            yield Text("\nImages/s", style="bold")
            yield _throughput_table(report)
            yield Text("\nSize, load, peak memory of the process", style="bold")
            yield _table(report, ("bytes", "gzip -9", "load\nms", "memory\nMB"), _footprint)
        yield Text(
            f"\n{report.rounds} rounds in turn; seconds in the engine, with what edgecifar's adapter adds.",
            style="dim",
        )
        if report.base:
            yield Text(f"Ratio: median to that of {report.base}; below 1 is faster.", style="dim")
        for skipped in report.skipped:
            yield Text(f"Skipped: {skipped}", style="yellow")
        for note in report.notes:
            yield Text(f"Note: {note}")


def _table(report: SpeedReport, headings: Iterable[str], cells: Callable[[SpeedRow], list[str]]) -> Table:
    """Returns a table with one line for each artifact in each runtime."""
    table = _empty(headings)
    previous = None
    for row in report.rows:
        name = "" if row.artifact == previous else row.artifact
        previous = row.artifact
        table.add_row(Text(name), row.engine.runtime, *cells(row))
    return table


def _throughput_table(report: SpeedReport) -> Table:
    """Returns images/s with one line for each number of threads, as the engine tells it, in each row."""
    batches = list(dict.fromkeys(one.batch for row in report.rows for one in row.throughput))
    table = _empty(("threads", *(f"batch {batch}" for batch in batches)))
    for row in report.rows:
        label = (row.artifact, row.engine.runtime)
        rates = {(one.threads, one.batch): count(one.images_per_s) for one in row.throughput}
        for threads in dict.fromkeys(one.threads for one in row.throughput):
            cells = (rates.get((threads, batch), NOTHING) for batch in batches)
            table.add_row(*map(Text, label), str(threads), *cells)
            label = ("", "")
    return table


def _empty(headings: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("artifact", overflow="fold", vertical="top")
    table.add_column("runtime", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _latency(row: SpeedRow) -> list[str]:
    latency = row.latency
    ratio = NOTHING if row.latency_ratio is None else f"{row.latency_ratio:.2f}"
    times = [_ms(seconds) for seconds in (latency.median_s, latency.p90_s, latency.p99_s)]
    return [*times, ratio, percent(row.accuracy.rate)]


def _footprint(row: SpeedRow) -> list[str]:
    memory = NOTHING if row.peak_memory_bytes is None else count(row.peak_memory_bytes / 1e6)
    return [count(row.size_bytes), count(row.gzip_bytes), _ms(row.load_s), memory]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


def write_speed(report: SpeedReport, folder: Path) -> tuple[Path, ...]:
    """Writes benchmark.json, benchmark.csv and benchmark.png, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"benchmark.{ending}" for ending in ("json", "csv", "png"))
    report.write(paths[0])
    write_text(paths[1], speed_csv(report))
    with replacing(paths[2]) as temporary:
        draw_speed(report).savefig(temporary, metadata={"Software": None})
    return paths


def speed_csv(report: SpeedReport) -> str:
    """Returns the rows as CSV with one line for each batch size and number of threads, unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("artifact", "precision", "runtime", "engine", "version", "device", "size_bytes", "gzip_bytes",
         "load_s", "latency_threads", "latency_median_s", "latency_p90_s", "latency_p99_s", "latency_calls",
         "latency_ratio", "batch", "threads", "images_per_s", "peak_memory_bytes", "correct", "images")
    )  # fmt: skip
    for row in report.rows:
        engine, latency = row.engine, row.latency
        for one in row.throughput:
            writer.writerow(
                (row.artifact, row.precision, engine.runtime, engine.engine, engine.version, engine.device,
                 row.size_bytes, row.gzip_bytes, row.load_s, engine.threads, latency.median_s, latency.p90_s,
                 latency.p99_s, latency.calls, row.latency_ratio, one.batch, one.threads, one.images_per_s,
                 row.peak_memory_bytes, row.accuracy.correct, row.accuracy.total)
            )  # fmt: skip
    return text.getvalue()


def draw_speed(report: SpeedReport) -> Figure:
    """Returns accuracy against latency and against size.

    Colours are precisions, marks are runtimes, and those of ONNX files are hollow: some runtimes read both.
    Bars are one standard error of the accuracy, sqrt(p (1 - p) / n), so that few images look like few.
    """
    figure = Figure(figsize=(11, 5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    by_latency, by_size = figure.subplots(1, 2, sharey=True)
    runtimes = list(dict.fromkeys(row.engine.runtime for row in report.rows))
    for row in report.rows:
        colour = _COLOURS.get(row.precision, "#57606a")
        style = {
            "marker": _MARKERS[runtimes.index(row.engine.runtime) % len(_MARKERS)],
            "color": colour,
            "markersize": 8,
            # Marks on one spot stay visible, and bars, which are many and alike, stay behind them.
            "markerfacecolor": "none" if row.format == "onnx" else to_rgba(colour, 0.6),
            "linestyle": "",
            "ecolor": to_rgba(colour, 0.3),
            "elinewidth": 0.8,
        }
        accuracy = 100 * row.accuracy.rate
        error = 100 * math.sqrt(row.accuracy.rate * (1 - row.accuracy.rate) / row.accuracy.total)
        label = f"{row.engine.runtime}, {row.precision} {row.format}"
        by_latency.errorbar(1000 * row.latency.median_s, accuracy, error, label=label, **style)
        by_size.errorbar(row.size_bytes / 1000, accuracy, error, **style)
    by_latency.set(xscale="log", xlabel="median of one image, ms", ylabel="top-1, % ± standard error")
    # Few plain numbers, also where all times lie within one power of ten.
    by_latency.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    by_latency.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    by_latency.xaxis.set_minor_formatter(NullFormatter())
    by_size.set(xlabel="file size, kB")
    by_size.set_xlim(left=0)
    for axes in (by_latency, by_size):
        axes.grid(visible=True, color="#d8dee4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.1, y=0.1)
    handles, labels = by_latency.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), fontsize=8, ncols=4, loc="outside lower center", frameon=False
    )
    images = report.rows[0].accuracy.total if report.rows else 0
    figure.suptitle(
        f"{report.title}: {report.cpu}, {count(images)} images of {report.data_source}", fontsize=10
    )
    return figure
