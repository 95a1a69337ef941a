"""train, compress and export: from a recipe to a bundle."""

from collections.abc import Sequence
from pathlib import Path

from edgecifar.artifacts import Bundle, Dataset, Run
from edgecifar.artifacts.files import write_text
from edgecifar.choices import Device
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.stage import compress as compress_run
from edgecifar.data import fit_preprocessing, load_training_data
from edgecifar.errors import ModelError, TrainingError
from edgecifar.exporting.bundle import export_bundle
from edgecifar.exporting.options import DEFAULT_OPSET, Format, Io, Precision
from edgecifar.models import load_model
from edgecifar.pipeline.places import EXPORTED, RECIPE_FILE, RUNS, TRAINED, make_room, next_run_folder
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import CompressionSpec, Recipe, read_recipe_json
from edgecifar.training import train as train_run

RUN_MARKS = ("run.json", RECIPE_FILE)
GOLDEN_IMAGES = 16


def train(
    recipe: Recipe | None = None,
    *,
    data_dir: Path | None = None,
    out: Path | None = None,
    device: Device = Device.AUTO,
    resume: bool = False,
    compress: bool = True,
    force: bool = False,
    command: str | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Trains a recipe and, where the recipe says so, compresses the result.

    Args:
        recipe: What to train; None only with `resume`: what the run was started with.
        data_dir: Where the images lie; None: the environment variable, the Keras cache, or a download.
        out: Folder of the run; None: the next free `runs/RECIPE-MODEL-NNNN`.
        device: Where to train.
        resume: Whether to go on with the unfinished run in `out`.
        compress: Whether to do the recipe's compression.
        force: Whether a run that is already in `out` is replaced.
        command: What repeats this, for the record; None: the plain command.
        progress: Told of each step.

    Returns:
        The compressed run, or the trained one where nothing is compressed.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    if resume:
        if out is None:
            raise TrainingError("Resuming needs to know which run.", "Name it with --out RUN.")
        recipe = _started_recipe(out, recipe)
    elif recipe is None:
        raise TrainingError("There is nothing to train.", "Name a recipe.")
    else:
        out = out or next_run_folder(recipe.name, recipe.model.name)
        make_room(out, marks=RUN_MARKS, force=force)
    command = command or f"edgecifar train --recipe {recipe.name} --seed {recipe.seed}"
    train_data, validation = load_training_data(
        recipe.data, seed=recipe.seed, data_dir=data_dir, progress=progress
    )
    preprocessing = fit_preprocessing(recipe.preprocessing, train_data)
    compresses = compress and not recipe.compression.is_empty
    write_text(out / RECIPE_FILE, recipe.model_dump_json(indent=2) + "\n")
    folder = out / TRAINED if compresses else out
    if resume and (folder / "run.json").is_file():
        run = Run.open(folder)
        progress.say(f"{folder} is trained already.")
    else:
        name = f"{out.name}-{TRAINED}" if compresses else out.name
        run = train_run(
            recipe, train_data, validation, preprocessing, folder, name=name, command=command, device=device,
            progress=progress,
        )  # fmt: skip
    if not compresses:
        return run
    return compress_run(
        run, recipe.compression, train_data, validation, out, name=out.name, command=command, device=device,
        progress=progress,
    )  # fmt: skip


def _started_recipe(folder: Path, wanted: Recipe | None) -> Recipe:
    """Returns the recipe with which the run in `folder` was started."""
    if (folder / "run.json").is_file():
        raise TrainingError(f"{folder} is finished: there is nothing to resume.")
    if not (folder / RECIPE_FILE).is_file():
        raise TrainingError(f"{folder}: there is no run to resume (no {RECIPE_FILE}).")
    started = read_recipe_json(folder / RECIPE_FILE)
    if wanted is not None and wanted != started:
        raise TrainingError(
            f"{folder} was started with other choices than those given now.",
            "Resume it without --recipe, --set and --seed, or start afresh with --force.",
        )
    return started


def compress(
    run: Run,
    spec: CompressionSpec | None = None,
    *,
    data_dir: Path | None = None,
    out: Path | None = None,
    device: Device = Device.AUTO,
    resume: bool = False,
    force: bool = False,
    command: str | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Prunes a run, trains it quantization-aware, or both.

    Args:
        run: What to compress; its float model is the start.
        spec: What to do; None: what the run's recipe says.
        data_dir: Where the images lie, as for `train`.
        out: Folder of the new run; None: `runs/NAME-compressed`.
        device: Where to train.
        resume: Whether to go on from the checkpoints in `out`.
        force: Whether a run that is already in `out` is replaced.
        command: What repeats this, for the record; None: the plain command.
        progress: Told of each step.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    spec = spec or run.record.recipe.compression
    out = out or RUNS / f"{run.record.name}-compressed"
    if not resume:
        make_room(out, marks=(*RUN_MARKS, "checkpoint"), force=force)
    train_data, validation = _data_of(run, data_dir, progress)
    return compress_run(
        run,
        spec,
        train_data,
        validation,
        out,
        name=out.name,
        command=command or f"edgecifar compress {run.folder.name}",
        device=device,
        progress=progress,
    )


def _data_of(run: Run, data_dir: Path | None, progress: Progress) -> tuple[Dataset, Dataset]:
    """Returns the training and validation images of a run's recipe; says so if they are other images now."""
    recipe = run.record.recipe
    train_data, validation = load_training_data(
        recipe.data, seed=recipe.seed, data_dir=data_dir, progress=progress
    )
    if train_data.class_names != run.record.class_names:
        raise ModelError(
            f"{run.folder} knows the classes {', '.join(run.record.class_names)}; "
            f"these images have {', '.join(train_data.class_names)}."
        )
    if train_data.fingerprint != run.record.train_fingerprint:
        progress.say(f"Note: these are not the images that {run.record.name} learned from.")
    return train_data, validation


def export(
    run: Run,
    *,
    formats: Sequence[Format] = tuple(Format),
    precisions: Sequence[Precision] = (Precision.FLOAT32, Precision.INT8),
    io: Io = Io.FLOAT32,
    out: Path | None = None,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    data_dir: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Writes a run as a bundle of models that apps embed.

    Int8 models come from the quantization-aware model where the run has one, else from calibration on
    training images; the manifest says which.

    Args:
        run: What to export.
        formats: File formats.
        precisions: Of each format.
        io: Data type at the boundaries.
        out: Folder of the bundle; None: `exported/RECIPE-MODEL`.
        opset: Of the ONNX files.
        batch: Fixed batch size of the ONNX files; None: any.
        data_dir: Where the images lie, as for `train`: calibration and golden images come from them.
        force: Whether a bundle that is already in `out` is replaced.
        progress: Told of each step.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    recipe = run.record.recipe
    out = out or EXPORTED / f"{recipe.name}-{recipe.model.name}"
    if out.exists() and not force:
        make_room(out, marks=("manifest.json",), force=False)
    train_data, validation = _data_of(run, data_dir, progress)
    return export_bundle(
        run=run,
        float_model=load_model(run.model_path),
        qat_model=load_quantization_aware(run.qat_path) if run.qat_path else None,
        formats=tuple(formats),
        precisions=tuple(precisions),
        io=io,
        opset=opset,
        batch=batch,
        calibration=train_data,
        golden=validation,
        out=out,
        progress=progress,
    )
