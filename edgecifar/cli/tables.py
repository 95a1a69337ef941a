"""Tables of runs, bundles, recipes, layers and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from edgecifar.reporting.tables import count, percent

if TYPE_CHECKING:
    # Only types: `edgecifar recipes` shall not wait for TensorFlow.
    from edgecifar.artifacts import Bundle, Run
    from edgecifar.models import LayerCost
    from edgecifar.pipeline import Prediction
    from edgecifar.pipeline.doctor import Check
    from edgecifar.recipe import Recipe
    from edgecifar.runtimes.onnx_findings import Inspection
    from edgecifar.runtimes.vela import NpuEstimate


def _table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def run_table(run: Run) -> Table:
    """Returns what a run is and what it reached."""
    record = run.record
    table = _table(f"Run {run.folder}", "what", "value")
    table.add_row(
        "validation top-1, float", f"{percent(record.validation.rate)} of {count(record.validation.total)}"
    )
    if record.validation_quantized:
        quantized = record.validation_quantized
        table.add_row(
            "validation top-1, quantization-aware", f"{percent(quantized.rate)} of {count(quantized.total)}"
        )
    table.add_row("parameters", count(record.parameters))
    table.add_row("weights at zero", percent(record.sparsity))
    table.add_row("trained on", f"{', '.join(record.environment.devices)}, {record.environment.precision}")
    table.add_row("time", f"{record.duration_s / 60:.1f} min")
    return table


def artifacts_table(bundle: Bundle) -> Table:
    """Returns the files of a bundle."""
    table = _table(
        f"{bundle.manifest.run} -> {bundle.folder}",
        "artifact",
        "bytes",
        "input",
        "weights",
        numbers=("bytes",),
    )
    for entry in bundle.manifest.artifacts:
        pixels = "raw pixels" if entry.raw_pixels else "preprocessed"
        table.add_row(
            entry.file, count(entry.size_bytes), f"{entry.input.dtype} NHWC, {pixels}", entry.weights
        )
    return table


def recipes_table(recipes: Sequence[Recipe]) -> Table:
    """Returns the shipped recipes."""
    table = _table("Recipes", "name", "network", "epochs", "what for", numbers=("epochs",))
    for recipe in recipes:
        table.add_row(recipe.name, recipe.model.name, count(recipe.training.epochs), recipe.description)
    return table


def layers_table(recipe: Recipe, costs: Sequence[LayerCost]) -> Table:
    """Returns a network's layers with their costs and the totals."""
    table = _table(
        f"{recipe.model.name} of recipe {recipe.name}, one image", "layer", "kind", "output", "parameters",
        "multiply-adds", numbers=("parameters", "multiply-adds"),
    )  # fmt: skip
    for cost in costs:
        shape = " x ".join(str(size) for size in cost.output_shape)
        table.add_row(cost.name, cost.kind, shape, count(cost.parameters), count(cost.multiply_adds))
    table.add_section()
    totals = (sum(cost.parameters for cost in costs), sum(cost.multiply_adds for cost in costs))
    table.add_row("total", "", "", count(totals[0]), count(totals[1]))
    return table


def predictions_table(predictions: Sequence[Prediction]) -> Table:
    """Returns the likeliest three classes of each image."""
    labelled = any(prediction.label for prediction in predictions)
    table = _table("Predictions", "image", *(["is"] if labelled else []), "first", "second", "third")
    for prediction in predictions:
        guesses = [
            f"{name} {percent(probability)}"
            for name, probability in zip(prediction.classes[:3], prediction.probabilities[:3], strict=True)
        ]
        guesses += [""] * (3 - len(guesses))
        table.add_row(prediction.image, *([prediction.label or ""] if labelled else []), *guesses)
    return table


def inspection_table(name: str, inspection: Inspection) -> Table:
    """Returns the layers of an ONNX file as ONNX Runtime runs them."""
    table = _table(
        f"{name} in ONNX Runtime: {inspection.integer_layers} of {len(inspection.layers)} layers in integers",
        "layer", "operator", "computes in", "pairs", "can saturate", "did",
        numbers=("pairs", "can saturate", "did"),
    )  # fmt: skip
    for layer in inspection.layers:
        did = "–" if layer.saturated is None else count(layer.saturated)
        table.add_row(
            Text(layer.name),
            layer.operator,
            layer.arithmetic.value,
            count(layer.pairs),
            count(layer.unsafe_pairs),
            did,
        )
    return table


def estimates_table(estimates: Sequence[NpuEstimate]) -> Table:
    """Returns what an NPU's compiler estimates, one column an NPU."""
    table = _table("Estimates by Vela, not measurements", "what", *(one.npu for one in estimates))
    rows: list[tuple[str, Callable[[NpuEstimate], str]]] = [
        ("operators on the NPU, as Vela rewrites them", lambda one: count(one.npu_operators)),
        ("operators left to the CPU", lambda one: _some(one.cpu_operators)),
        ("SRAM, bytes", lambda one: count(one.sram_bytes)),
        ("flash, bytes", lambda one: count(one.flash_bytes)),
        ("DRAM, bytes", lambda one: count(one.dram_bytes)),
        ("multiply-adds on the NPU", lambda one: count(one.multiply_adds)),
        ("cycles, estimated", lambda one: count(one.cycles)),
        ("ms an image, estimated", lambda one: f"{1000 * one.inference_s:.3g}"),
        ("clock, MHz", lambda one: count(one.clock_hz / 1e6)),
        ("system", lambda one: one.system),
        ("memory mode", lambda one: one.memory_mode),
        ("Vela", lambda one: one.vela),
    ]
    for name, write in rows:
        table.add_row(name, *(Text(write(one)) for one in estimates))
    return table


def _some(names: Sequence[str], shown: int = 3) -> str:
    """Returns "none", or how many names there are and the first of them."""
    if not names:
        return "none"
    return f"{count(len(names))}: {', '.join(names[:shown])}{', …' if len(names) > shown else ''}"


def checks_table(checks: Sequence[Check]) -> Table:
    """Returns what doctor found, and how to get what is missing."""
    table = _table("This machine", "what", "", "finding")
    for check in checks:
        mark = Text("ok", "green") if check.state == "found" else Text("missing", "yellow")
        # Text, not markup: "edgecifar[gpu]" has brackets.
        table.add_row(check.name, mark, Text("\n".join(filter(None, (check.finding, check.mend)))))
    return table
