"""Time and answers of the files that `onnx_int8.py` compares, on one CPU: a process of its own for each.

    python benchmarks/onnx_measuring.py FOLDER

reads the folder's job and images, runs all files in turn in ONNX Runtime and their TFLite twins in XNNPACK,
and writes what it found beside them. So each CPU, this one and those that `masked.py` makes of it, is
measured by the same code, and TensorFlow's threads are not beside it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import onnxruntime
from masked import Level, mask
from numpy.typing import NDArray
from timing import interleave, tell

from edgecifar.artifacts import Preprocessing
from edgecifar.errors import EdgecifarError, ModelError
from edgecifar.protocol import LoadedModel
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnx_optimized import open_session

CALLS = 50
"""Of one image, in each round."""
CHUNK = 500
"""Images given at a time where time is not measured."""
_JOB, _IMAGES, _SECONDS, _OUTPUTS = "job.json", "images.npy", "seconds.json", "outputs.npz"
_FILE, _TWIN = "file", "twin"


class Variant(StrEnum):
    """A way of making the file."""

    FLOAT = "float32"
    STOCK = "stock tf2onnx"
    """Of the int8 TFLite file that TensorFlow's converter makes."""
    STATIC = "quantize_static"
    """ONNX Runtime's own quantizer with its defaults: QDQ form, one scale for each tensor of weights."""
    STATIC_CHANNELS = "quantize_static, per_channel"
    STATIC_REDUCED = "quantize_static, reduce_range"
    STOCK_TWIN = "stock tf2onnx of edgecifar's TFLite file"
    UNSAFE = "edgecifar without safe weights"
    OURS = "edgecifar"


@dataclass(frozen=True, slots=True)
class Made:
    """An ONNX file, and the int8 TFLite file that it was made of."""

    path: Path
    twin: Path | None
    """None: it was made of the float file."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """All files on one CPU."""

    seconds: dict[str, list[float]]
    """By variant: of `CALLS` calls with one image, round by round."""
    outputs: dict[Variant, NDArray[np.floating]]
    """Probabilities: (N, classes)."""
    twins: dict[Variant, NDArray[np.floating]]
    """The same of the TFLite file in XNNPACK; the variants that were made of one."""


def measure(
    files: Mapping[Variant, Made],
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    repeats: int,
    level: Level | None,
) -> Measurement:
    """Returns what a process of its own measures.

    Args:
        files: What to run.
        images: uint8 (N, height, width, 3).
        preprocessing: What the files were made for.
        repeats: Rounds that count.
        level: What the engines see of this processor; None: all of it.

    Raises:
        EngineMissingError: Instruction sets cannot be hidden here.
        ModelError: The process ended before it was done; it has said why.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = {
            "repeats": repeats,
            "preprocessing": preprocessing.model_dump(),
            "files": {
                variant.value: [str(made.path), str(made.twin) if made.twin else ""]
                for variant, made in files.items()
            },
        }
        (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
        np.save(folder / _IMAGES, images)
        environment = dict(os.environ) if level is None else mask(level, folder)
        command = [sys.executable, __file__, str(folder)]
        status = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603
        if status:
            raise ModelError(f"The measurement of {level or 'this CPU'} ended with exit status {status}.")
        return _read(folder, files)


def _read(folder: Path, files: Mapping[Variant, Made]) -> Measurement:
    with np.load(folder / _OUTPUTS) as found:
        outputs = {variant: found[f"{_FILE} {variant.value}"] for variant in files}
        twins = {variant: found[f"{_TWIN} {variant.value}"] for variant, made in files.items() if made.twin}
    return Measurement(json.loads((folder / _SECONDS).read_text(encoding="utf-8")), outputs, twins)


def _work(folder: Path) -> None:
    """Does the folder's job."""
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    images, preprocessing = np.load(folder / _IMAGES), Preprocessing(**job["preprocessing"])
    onnx, litert = get_runtime("ort-cpu"), get_runtime("litert")
    models = {name: onnx.load(Path(path), 1) for name, (path, _) in job["files"].items()}
    calls = {
        name: _calls(Path(path), models[name].input.quantize(preprocessing.apply(images[:1])))
        for name, (path, _) in job["files"].items()
    }
    seconds = interleave(calls, job["repeats"])
    outputs, of_twins = {}, dict[str, NDArray[np.floating]]()
    for name, (_, twin) in job["files"].items():
        outputs[f"{_FILE} {name}"] = classify(models[name], preprocessing, images)
        if not twin:
            continue
        if twin not in of_twins:
            of_twins[twin] = classify(litert.load(Path(twin), 1), preprocessing, images)
        outputs[f"{_TWIN} {name}"] = of_twins[twin]
    np.savez(folder / _OUTPUTS, **outputs)  # type: ignore[arg-type]  # the stub takes every keyword for its flag
    (folder / _SECONDS).write_text(json.dumps(seconds), encoding="utf-8")


def _calls(path: Path, encoded: NDArray[np.generic]) -> Callable[[], None]:
    """Returns calls of ONNX Runtime alone, without what edgecifar's adapter checks in each batch."""
    session = open_session(path, str(path), onnxruntime.SessionOptions(), 1)
    feed = {session.get_inputs()[0].name: encoded}

    def run() -> None:
        for _ in range(CALLS):
            session.run(None, feed)

    return run


def classify(
    model: LoadedModel, preprocessing: Preprocessing, images: NDArray[np.uint8]
) -> NDArray[np.floating]:
    """Returns probabilities: float32 (N, classes)."""
    parts = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    return np.concatenate(
        [
            model.output.dequantize(model.predict(model.input.quantize(preprocessing.apply(part))))
            for part in parts
        ]
    )


def main() -> None:
    """Does a folder's job; ends as edgecifar does where it refuses."""
    try:
        _work(Path(sys.argv[1]))
    except EdgecifarError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
