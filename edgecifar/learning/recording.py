"""Writes a finished training as a Run."""

import csv
import io
import platform
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import edgecifar
from edgecifar.artifacts import Environment, Run, RunRecord
from edgecifar.artifacts.files import replacing, write_text
from edgecifar.chatter import diverted
from edgecifar.errors import ModelError
from edgecifar.host import cpu_flags, cpu_name
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.devices import Placement
from edgecifar.recipe import Precision


def write_run(
    folder: Path,
    record: RunRecord,
    model: tf_keras.Model,
    rows: tuple[EpochRow, ...],
    reference: Path | None = None,
    qat_model: tf_keras.Model | None = None,
) -> Run:
    """Writes models, history, curves and last of all `run.json`, and removes the checkpoints.

    Args:
        folder: The run's.
        record: What `run.json` shall say.
        model: The float model.
        rows: The whole history.
        reference: The model file before compression, copied into a compressed run.
        qat_model: After quantization-aware training.
    """
    save_model(model, folder / "model.keras")
    if reference is not None:
        with replacing(folder / "reference.keras") as temporary:
            shutil.copyfile(reference, temporary)
    if qat_model is not None:
        save_model(qat_model, folder / "qat.h5")
    write_text(folder / "history.csv", history_csv(rows))
    with replacing(folder / "curves.png") as temporary:
        draw_curves(rows, record.name, temporary)
    record.write(folder / "run.json")
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return Run(folder, record)


def save_model(model: tf_keras.Model, path: Path) -> None:
    """Writes a Keras file, `.keras` or `.h5`, whole or not at all.

    Quantization-aware models need `.h5`: tfmot's layers make some of their variables too late for `.keras`.
    """
    # Keras calls .h5 old, and complains of a model that was not compiled.
    with replacing(path) as temporary, diverted():
        model.save(temporary)


def history_csv(rows: tuple[EpochRow, ...]) -> str:
    """Returns the history as CSV, one row an epoch under a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(EpochRow.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    return text.getvalue()


def read_history(path: Path) -> tuple[EpochRow, ...]:
    """Returns the rows of a `history.csv`.

    Raises:
        ModelError: The file is missing, or no such history.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(EpochRow.model_validate(row) for row in csv.DictReader(file))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, csv.Error) as error:
        raise ModelError(f"{path}: not the history of a run.") from error


def draw_curves(rows: tuple[EpochRow, ...], title: str, path: Path) -> None:
    """Draws loss, accuracy and learning rate over the epochs of all phases, as PNG."""
    figure = Figure(figsize=(9, 3.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, accuracy_axes, rate_axes = figure.subplots(1, 3)
    epochs = np.arange(1, len(rows) + 1)
    for axes, name, factor in ((loss_axes, "loss", 1), (accuracy_axes, "accuracy", 100)):
        axes.plot(
            epochs,
            [factor * getattr(row, name) for row in rows],
            label="training (augmented)",
            color="#8a8f98",
        )
        axes.plot(
            epochs,
            [factor * getattr(row, f"val_{name}") for row in rows],
            label="validation",
            color="#1f5fbf",
        )
    accuracy_axes.legend(frameon=False, fontsize=8, loc="lower right")
    rate_axes.plot(epochs, [row.learning_rate for row in rows], color="#1f5fbf")
    rate_axes.set_yscale("log" if all(row.learning_rate > 0 for row in rows) else "linear")
    names = ("loss", "top-1 accuracy, %", "learning rate")
    for axes, name in zip((loss_axes, accuracy_axes, rate_axes), names, strict=True):
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        for start, row in enumerate(rows[1:], start=1):
            if row.phase != rows[start - 1].phase:
                axes.axvline(start + 0.5, color="#c0504d", linewidth=0.8, linestyle=":")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def environment(placement: Placement, precision: Precision) -> Environment:
    """Returns where and with what this process trains."""
    return Environment(
        edgecifar=edgecifar.__version__,
        python=platform.python_version(),
        tensorflow=tf.__version__,
        platform=platform.platform(),
        cpu=cpu_name(),
        cpu_flags=cpu_flags(),
        devices=placement.names,
        precision=precision,
    )


def sparsity(model: tf_keras.Model) -> float:
    """Returns the share of zeros in the kernels of convolution and dense layers, 0 to 1."""
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels)
    return zeros / sum(int(kernel.size) for kernel in kernels)
