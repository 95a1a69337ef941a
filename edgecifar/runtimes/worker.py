"""A model in ONNX Runtime's CPU provider as a process: tensors in on stdin, tensors out on stdout.

    python -m edgecifar.runtimes.worker MODEL.onnx THREADS

The first answer is one line of JSON that says what was loaded and which CPU ran; each tensor then is answered
by one. An answer is a line {"bytes": N} and N bytes in NumPy's format, or {"error": MESSAGE}.
"""

import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgecifar.errors import EdgecifarError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes.cpuid import cpuid_flags
from edgecifar.runtimes.onnxruntime import CPU


def main(arguments: list[str]) -> None:
    """Serves until stdin ends."""
    path, threads = Path(arguments[0]), int(arguments[1])
    source = sys.stdin.buffer
    # Whatever an engine prints shall not come between the answers.
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        try:
            model = CPU.load(path, threads)
        except EdgecifarError as error:
            _say(sink, {"error": error.problem})
            return
        about = {name: asdict(getattr(model, name)) for name in ("input", "output", "info")}
        _say(sink, about | {"cpu_flags": cpuid_flags()})
        while (batch := read_tensor(source)) is not None:
            try:
                write_tensor(sink, model.predict(batch))
            except EdgecifarError as error:
                _say(sink, {"error": error.problem})


def read_about(line: bytes) -> tuple[TensorInfo, TensorInfo, EngineInfo, tuple[str, ...]]:
    """Returns input, output, engine and CPU flags of the worker's first answer."""
    about = json.loads(line)
    tensors = [
        TensorInfo(**(about[name] | {"shape": tuple(about[name]["shape"])})) for name in ("input", "output")
    ]
    info = EngineInfo(**(about["info"] | {"facts": tuple(about["info"]["facts"])}))
    return tensors[0], tensors[1], info, tuple(about["cpu_flags"])


def read_tensor(source: IO[bytes]) -> Array | None:
    """Returns the next tensor; None where the other side has ended.

    Raises:
        ValueError: The other side answers with an error, whose message it is.
    """
    line = source.readline()
    if not line:
        return None
    head = json.loads(line)
    if "error" in head:
        raise ValueError(head["error"])
    tensor: Array = np.load(io.BytesIO(source.read(head["bytes"])), allow_pickle=False)
    return tensor


def write_tensor(sink: IO[bytes], tensor: Array) -> None:
    """Sends a tensor."""
    buffer = io.BytesIO()
    np.save(buffer, tensor, allow_pickle=False)
    content = buffer.getvalue()
    sink.write(json.dumps({"bytes": len(content)}).encode() + b"\n" + content)
    sink.flush()


def _say(sink: IO[bytes], message: dict[str, Any]) -> None:
    sink.write(json.dumps(message).encode() + b"\n")
    sink.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
