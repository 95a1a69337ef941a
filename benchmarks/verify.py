"""How long `edgecifar verify` takes, and how much of that is more than the engines' own inference.

    python benchmarks/verify.py BUNDLE [--data-dir DIR] [--repeats N] [--runs N] [--limit N] [--json]

The command: whole processes that verify all artifacts in LiteRT (XNNPACK) and ONNX Runtime (CPU) and write
the report, with the start of Python and the reading of the images.

The int8 pair: the same inside one process for the bundle's int8 TFLite and int8 ONNX, report included,
against loops that do nothing but feed the two engines the same images, preprocessed before, with as many
threads and in the same batches. Once with the reference's outputs kept from an earlier verify, as they are
for each but the first export of a model, and once with nothing kept, so that the reference runs too.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    find_command,
    interleave,
    make_parser,
    positive,
    ratios,
    run,
    tell,
)

from edgecifar.artifacts import Dataset
from edgecifar.chatter import diverted
from edgecifar.choices import Source, Split
from edgecifar.data import load_dataset
from edgecifar.errors import ModelError
from edgecifar.host import TOOLS, core_count
from edgecifar.learning.devices import list_gpus
from edgecifar.pipeline import verify
from edgecifar.pipeline.subjects import Subject, open_reference, open_subjects
from edgecifar.protocol import Array
from edgecifar.recipe import DataSpec
from edgecifar.reporting import write_report
from edgecifar.runtimes import get_runtime, litert, onnxruntime
from edgecifar.verification.running import MAX_BATCH, balanced_order

RUNTIMES = ("litert", "ort-cpu")
ALL_IMAGES = 10_000
"""CIFAR-10's test images, for which the goals hold."""
COMMAND_GOAL = Goal(Bound.AT_MOST, 90)
PAIR_GOAL = Goal(Bound.AT_MOST, 1.5)

KEPT = "verify the int8 pair, reference kept"
FRESH = "verify the int8 pair, nothing kept"

Loop = Callable[[], Array]


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the times and ratios."""
    machine = Machine.here(TOOLS)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # The first look for GPUs makes CUDA complain where there is none; this one keeps that off the terminal.
    list_gpus()
    bundle: Path = arguments.bundle
    source = Source.CIFAR10 if arguments.data_dir else Source.SAMPLE
    data = load_dataset(DataSpec(source=source), Split.TEST, data_dir=arguments.data_dir)
    if arguments.limit:
        # The images that verify takes.
        data = data.select(np.sort(balanced_order(data.labels)[: arguments.limit]))
    artifacts = open_subjects(bundle)
    pair = find_pair(artifacts, bundle)
    reference = open_reference(arguments.against or bundle)
    is_whole = len(data) == ALL_IMAGES
    settings = {
        "bundle": bundle.name,
        "images": f"{len(data):,} of {data.source}",
        "threads": core_count(),
        "repeats": arguments.repeats,
        "runs": arguments.runs,
    }
    figures = time_pair(pair, reference, data, source, arguments, PAIR_GOAL if is_whole else None)
    first, again = time_command(bundle, source, arguments)
    name = f"edgecifar verify, {len(artifacts)} artifacts"
    figures = [
        Figure(name, "s", Spread.of(first), COMMAND_GOAL if is_whole else None),
        Figure(f"{name}, again with another gate", "s", Spread.of(again)),
        *figures,
    ]
    notes = () if is_whole else (f"The goals are for {ALL_IMAGES:,} images.",)
    return Outcome("verify", machine, settings, tuple(figures), notes)


def find_pair(artifacts: Sequence[Subject], bundle: Path) -> tuple[Subject, Subject]:
    """Returns the int8 TFLite and the int8 ONNX of a bundle.

    Raises:
        ModelError: It lacks one of them.
    """
    found = {subject.format: subject for subject in artifacts if subject.precision == "int8"}
    if not {"tflite", "onnx"} <= set(found):
        raise ModelError(
            f"{bundle} has no pair of int8 TFLite and int8 ONNX.", "Export with --format all --int8."
        )
    return found["tflite"], found["onnx"]


def time_command(
    bundle: Path, source: Source, arguments: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Returns the seconds of each process that finds nothing kept, and of one with another gate after it."""
    options = [f"--data={source}", *(f"--runtime={name}" for name in RUNTIMES)]
    if arguments.data_dir:
        options.append(f"--data-dir={arguments.data_dir}")
    if arguments.limit:
        options.append(f"--limit={arguments.limit}")
    if arguments.against:
        options.append(f"--against={arguments.against}")
    tell(f"edgecifar verify {bundle.name}, as a process")
    first, again = [], []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            command = [find_command(), "--quiet", "verify", str(bundle), *options, f"--out={folder}/report"]
            environment = os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"}
            # The engines' libraries are in the disk's cache: this process has loaded them.
            first.append(_time(command, environment))
            again.append(_time([*command, "--max-drop=100pp"], environment))
    return first, again


def _time(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    process = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603  edgecifar itself
    duration_s = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}.\n{process.stderr}")
    return duration_s


def time_pair(
    pair: tuple[Subject, Subject],
    reference: Subject,
    data: Dataset,
    source: Source,
    arguments: argparse.Namespace,
    goal: Goal | None,
) -> list[Figure]:
    """Returns the times of verifying two models and of what that consists of, and the ratios."""
    tell("the int8 pair, in this process")
    threads = core_count()
    tflite, onnx = pair
    loops = {
        "loop: LiteRT": loop_litert(tflite, data, threads),
        "loop: ONNX Runtime": loop_onnxruntime(onnx, data, threads),
        f"loop: reference {reference.path.name}": loop_adapter(reference, data, threads),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = folder / "kept"
        keep_reference(reference, source, arguments, kept)
        variants: dict[str, Callable[[], object]] = {
            KEPT: lambda: verify_pair(pair, source, arguments, folder, kept),
            FRESH: lambda: verify_pair(pair, source, arguments, folder, None),
            "read the images": lambda: load_dataset(
                DataSpec(source=source), Split.TEST, data_dir=arguments.data_dir
            ),
            **loops,
        }
        seconds = interleave(variants, arguments.repeats)
    known, whole, reading, *looped = (seconds[name] for name in variants)
    engines = [sum(one) for one in zip(*looped[:2], strict=True)]
    everything = [sum(one) for one in zip(reading, *looped, strict=True)]
    return [
        *(Figure(name, "s", Spread.of(seconds[name])) for name in variants),
        Figure(f"{KEPT} / the two engines' loops", TIMES, Spread.of(ratios(known, engines)), goal),
        Figure(f"{FRESH} / the two engines' loops", TIMES, Spread.of(ratios(whole, engines))),
        Figure(f"{FRESH} / all loops and reading", TIMES, Spread.of(ratios(whole, everything))),
    ]


def keep_reference(reference: Subject, source: Source, arguments: argparse.Namespace, kept: Path) -> None:
    """Verifies the reference against itself, so that its outputs are kept."""
    verify(
        reference.path,
        against=arguments.against or arguments.bundle,
        runtimes=reference.runtimes[:1],
        source=source,
        data_dir=arguments.data_dir,
        limit=arguments.limit,
        cache_dir=kept,
        jobs=1,
    )


def verify_pair(
    pair: tuple[Subject, Subject],
    source: Source,
    arguments: argparse.Namespace,
    folder: Path,
    kept: Path | None,
) -> None:
    """Does what `edgecifar verify` does for two files, up to the report in `folder`.

    Args:
        pair: The two files.
        source: Of the images.
        arguments: Of this script.
        folder: Gets the report.
        kept: Where outputs are kept of the reference alone; None: nowhere.
    """
    cache = None
    if kept is not None:
        # What the pair gave in the round before shall not be found.
        cache = folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(kept, cache)
    report = verify(
        [subject.path for subject in pair],
        against=arguments.against or arguments.bundle,
        runtimes=RUNTIMES,
        source=source,
        data_dir=arguments.data_dir,
        limit=arguments.limit,
        cache_dir=cache,
        # One after the other on all cores, as the loops run.
        jobs=1,
    )
    write_report(report, folder / "report")


def loop_litert(subject: Subject, data: Dataset, threads: int) -> Loop:
    """Returns a loop that runs all images in LiteRT and returns the raw outputs."""
    from ai_edge_litert.interpreter import Interpreter

    model = get_runtime("litert").load(subject.path, threads)
    tensor = subject.feeding.encode(data.images, model.input)
    batch = litert.CHUNK
    with diverted():
        interpreter = Interpreter(model_path=str(subject.path), num_threads=threads)
        entry = interpreter.get_input_details()[0]["index"]
        exit_ = interpreter.get_output_details()[0]["index"]
        interpreter.resize_tensor_input(entry, (batch, *tensor.shape[1:]))
        interpreter.allocate_tensors()

    def loop() -> Array:
        outputs = []
        for start in range(0, len(tensor), batch):
            interpreter.set_tensor(entry, tensor[start : start + batch])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(exit_))
        return np.concatenate(outputs)

    check_same(subject, loop(), model.predict(tensor[:batch]))
    return loop


def loop_onnxruntime(subject: Subject, data: Dataset, threads: int) -> Loop:
    """Returns a loop that runs all images in ONNX Runtime and returns the raw outputs.

    Raises:
        ModelError: The file's batch size is fixed to one that does not divide the images.
    """
    from onnxruntime import InferenceSession, SessionOptions

    model = get_runtime("ort-cpu").load(subject.path, threads)
    tensor = subject.feeding.encode(data.images, model.input)
    batch = model.input.shape[0] or onnxruntime.CHUNK
    if len(tensor) % batch:
        raise ModelError(
            f"{subject.path} runs {batch} images at a time, which {len(tensor)} are no multiple of."
        )
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = InferenceSession(str(subject.path), options, providers=["CPUExecutionProvider"])
    entry, exit_ = session.get_inputs()[0].name, session.get_outputs()[0].name

    def loop() -> Array:
        outputs = []
        for start in range(0, len(tensor), batch):
            outputs += session.run([exit_], {entry: tensor[start : start + batch]})
        return np.concatenate(outputs)

    check_same(subject, loop(), model.predict(tensor[:batch]))
    return loop


def loop_adapter(subject: Subject, data: Dataset, threads: int) -> Loop:
    """Returns a loop that runs all images in the runtime that is usual for a model, in `verify`'s batches."""
    model = get_runtime(subject.runtimes[0]).load(subject.path, threads)
    tensor = subject.feeding.encode(data.images, model.input)

    def loop() -> Array:
        return np.concatenate(
            [model.predict(tensor[start : start + MAX_BATCH]) for start in range(0, len(tensor), MAX_BATCH)]
        )

    return loop


def check_same(subject: Subject, found: Array, expected: Array) -> None:
    """Returns if a loop computes what edgecifar's adapter does, within a step: both do the same work.

    Raises:
        ModelError: It does not.
    """
    is_quantized = np.issubdtype(expected.dtype, np.integer)
    step = 1 if is_quantized else subject.output_step or 1 / 256
    if not np.allclose(found[: len(expected)], expected, rtol=0, atol=step):
        raise ModelError(f"{subject.path}: the bare loop and edgecifar's adapter give different outputs.")


def hundreds(text: str) -> int:
    """Returns a number of images that leaves no smaller last batch in the loops, for argparse."""
    number = positive(text)
    if number % 100:
        raise argparse.ArgumentTypeError(f"{text} is no multiple of 100")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("Time verify as a command, and against bare inference loops.", repeats=3)
    add = parser.add_argument
    add("bundle", type=Path, help="folder of a bundle with int8 TFLite and int8 ONNX")
    add("--against", type=Path, help="reference, as for edgecifar verify (default: the bundle's own)")
    add("--data-dir", type=Path, help="CIFAR-10's archive or folder (default: the sample's test images)")
    add("--limit", type=hundreds, help="most images, a multiple of 100 (default: all)")
    add("--runs", type=positive, default=1, help="whole processes of the command (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(measure, _parser())
