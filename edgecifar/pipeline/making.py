"""train, compress and export: from a recipe to a bundle."""

from collections.abc import Sequence
from pathlib import Path

from edgecifar.artifacts import Bundle, Dataset, Run, Started
from edgecifar.choices import Device, Target
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.safe_weights import widen_ranges
from edgecifar.compression.stage import compress as compress_run
from edgecifar.data import fit_preprocessing, load_training_data
from edgecifar.errors import ModelError, RecipeError, TrainingError
from edgecifar.exporting.bundle import export_bundle
from edgecifar.exporting.options import DEFAULT_OPSET, Activations, Format, Io, Precision, WeightRange
from edgecifar.learning.devices import place
from edgecifar.learning.distillation import open_teacher
from edgecifar.models import load_model
from edgecifar.pipeline.c_sources import make_c_for_bundle
from edgecifar.pipeline.places import (
    COMPRESSING,
    EXPORTED,
    STARTED,
    TRAINED,
    check_place,
    check_room,
    clear,
    compressed_folder,
    is_bundle,
    is_run,
    name_of,
    next_run_folder,
)
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import CompressionSpec, Recipe
from edgecifar.training import train as train_run


def train(
    recipe: Recipe | None = None,
    *,
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
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
        out = Path(out)
        started = _read_started(out / STARTED, recipe)
        if started.compress and not compress:
            raise TrainingError(f"{out} was started with compression.", "Resume it without --no-compress.")
    elif recipe is None:
        raise TrainingError("There is nothing to train.", "Name a recipe.")
    else:
        out = next_run_folder(recipe.name, recipe.model.name) if out is None else Path(out)
        check_room(out, is_run, force=force)
        plain = f"edgecifar train --recipe {recipe.name} --seed {recipe.seed}"
        compresses = compress and not recipe.compression.is_empty
        started = Started(recipe=recipe, compress=compresses, command=command or plain)
    recipe, command = started.recipe, started.command
    train_data, validation = _load(recipe, data_dir, progress)
    preprocessing = fit_preprocessing(recipe.preprocessing, train_data)
    # A device or a teacher that is missing is told before an older run is removed.
    place(device)
    if recipe.training.distillation:
        _keep_apart(open_teacher(recipe.training.distillation, train_data, preprocessing), out)
    if not resume:
        clear(out)
    started.write(out / STARTED)
    folder = out / TRAINED if started.compress else out
    if resume and (folder / "run.json").is_file():
        run = Run.open(folder)
        progress.say(f"{folder} is trained already.")
    else:
        name = f"{name_of(out)}-{TRAINED}" if started.compress else name_of(out)
        run = train_run(
            recipe, train_data, validation, preprocessing, folder, name=name, command=command, device=device,
            progress=progress,
        )  # fmt: skip
    if not started.compress:
        return run
    return compress_run(
        run, recipe.compression, train_data, validation, out, name=name_of(out), command=command,
        device=device, progress=progress,
    )  # fmt: skip


def _read_started(path: Path, wanted: Recipe | None) -> Started:
    """Returns with what the run beside `path` was started; another recipe than that is refused."""
    if (path.parent / "run.json").is_file():
        raise TrainingError(f"{path.parent} is finished: there is nothing to resume.")
    if not path.is_file():
        raise TrainingError(f"{path.parent}: there is nothing to resume (no {path.name}).")
    started = Started.read(path)
    if wanted is not None and wanted != started.recipe:
        raise TrainingError(
            f"{path.parent} was started with other choices than those given now.",
            "Resume it without them, or start afresh with --force.",
        )
    return started


def compress(
    run: Run,
    spec: CompressionSpec | None = None,
    *,
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    device: Device = Device.AUTO,
    resume: bool = False,
    force: bool = False,
    command: str | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Prunes a run, trains it quantization-aware, or both.

    Args:
        run: What to compress; its float model is the start (of a bundle's, that before any compression).
        spec: What to do; None: what the run's recipe says, or what was started where it is resumed.
        data_dir: Where the images lie, as for `train`.
        out: Folder of the new run; None: `runs/NAME-compressed`.
        device: Where to train.
        resume: Whether to go on with the unfinished compression in `out`.
        force: Whether a run that is already in `out` is replaced.
        command: What repeats this, for the record; None: the plain command.
        progress: Told of each step.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    out = compressed_folder(run) if out is None else Path(out)
    _keep_apart(run, out)
    recipe = run.record.recipe
    wanted = recipe.model_copy(update={"compression": spec}) if spec else None
    if resume:
        started = _read_started(out / COMPRESSING, wanted)
    else:
        check_room(out, is_run, force=force)
        plain = f"edgecifar compress {run.folder.name}"
        started = Started(recipe=wanted or recipe, command=command or plain)
    if started.recipe.compression.is_empty:
        raise RecipeError("There is nothing to compress.", "Ask for --prune SPARSITY, --qat or both.")
    train_data, validation = _data_of(run, data_dir, progress)
    place(device)
    if not resume:
        clear(out)
    started.write(out / COMPRESSING)
    return compress_run(
        run, started.recipe.compression, train_data, validation, out, name=name_of(out),
        command=started.command, device=device, progress=progress,
    )  # fmt: skip


def _keep_apart(run: Run, out: Path) -> None:
    """Refuses to write over the run that is read."""
    if run.folder.resolve().is_relative_to(out.resolve()):
        raise ModelError(f"{out} holds the run {run.folder}: it is left alone.", "Choose another --out.")


def _load(recipe: Recipe, data_dir: Path | str | None, progress: Progress) -> tuple[Dataset, Dataset]:
    """Returns a recipe's training and validation images."""
    folder = None if data_dir is None else Path(data_dir)
    return load_training_data(recipe.data, seed=recipe.seed, data_dir=folder, progress=progress)


def _data_of(run: Run, data_dir: Path | str | None, progress: Progress) -> tuple[Dataset, Dataset]:
    """Returns the training and validation images of a run's recipe; says so if they are other images now."""
    train_data, validation = _load(run.record.recipe, data_dir, progress)
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
    out: Path | str | None = None,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    activations: Activations = Activations.UINT8,
    weights: WeightRange = WeightRange.SAFE,
    targets: Sequence[Target] = (),
    data_dir: Path | str | None = None,
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
        activations: Of the int8 ONNX file.
        weights: Of the int8 files: safe on every CPU, or as the quantizer left them.
        targets: Platforms for which the bundle gets a folder with all that an app embeds.
        data_dir: Where the images lie, as for `train`: calibration and golden images come from them.
        force: Whether a bundle that is already in `out` is replaced.
        progress: Told of each step.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    recipe = run.record.recipe
    out = EXPORTED / f"{recipe.name}-{recipe.model.name}" if out is None else Path(out)
    _keep_apart(run, out)
    check_place(out, is_bundle, force=force)
    train_data, validation = _data_of(run, data_dir, progress)
    qat_model = load_quantization_aware(run.qat_path) if run.qat_path else None
    if qat_model is not None and weights is WeightRange.SAFE:
        # The converter then rounds the float weights themselves, not what an unsafe scale left of them.
        widen_ranges(qat_model)
    return export_bundle(
        run=run,
        float_model=load_model(run.model_path),
        qat_model=qat_model,
        formats=tuple(Format(format_) for format_ in formats),
        precisions=tuple(Precision(precision) for precision in precisions),
        io=io,
        opset=opset,
        batch=batch,
        activations=activations,
        weights=weights,
        calibration=train_data,
        golden=validation,
        targets=tuple(Target(target) for target in targets),
        make_c=make_c_for_bundle,
        out=out,
        progress=progress,
    )
