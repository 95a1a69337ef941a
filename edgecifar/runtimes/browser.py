"""ONNX Runtime Web and LiteRT.js: WebAssembly engines, in a headless Chromium."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes import web
from edgecifar.runtimes.browser_host import BROWSERS, Browser, Job, find_browser
from edgecifar.runtimes.litert import BUILTIN
from edgecifar.runtimes.onnxruntime import CHUNK, CPU

BATCH = 256
"""Images that go to the page at a time, where its calls have a size of their own."""
_LOAD_S = 120.0
_RUN_S = 600.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What distinguishes one browser engine from the other."""

    name: str
    title: str
    page: str
    """Name of its page, without ".html"."""
    package: str
    """On npm."""
    wasm: str
    """Folder of its WebAssembly inside the package."""
    suffix: str
    dtypes: frozenset[str]
    """What tensors it takes and gives."""
    describe: Callable[[Path], tuple[TensorInfo, TensorInfo]]
    """Returns input and output as the engine's native sister tells them, after it has checked the file."""


class BrowserRuntime:
    """A browser's engine on the CPU, through WebAssembly with SIMD."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.suffixes = (engine.suffix,)
        self._engine = engine

    def missing(self) -> str | None:
        """Returns why the engine cannot run here, or None where it can."""
        if find_browser() is None:
            names = ", ".join(BROWSERS)
            return f"There is no Chromium here ({names}). Install it (Debian): apt install chromium"
        if not web.is_built():
            return (
                f"The pages of the browser engines are not built. Build them (needs npm) with: "
                f"{web.BUILD_COMMAND}"
            )
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns None: only a model that is loaded tells which browser runs it."""
        return None

    def load(self, path: Path, threads: int) -> "BrowserModel":
        """Returns the model in a page of a new Chromium.

        Raises:
            EngineMissingError: Chromium or the built pages are not here.
            ModelError: The file is missing, damaged, or has inputs or outputs that the engine does not take.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return BrowserModel(path, self._engine, threads)


class BrowserModel:
    """A model in a page."""

    def __init__(self, path: Path, engine: Engine, threads: int) -> None:
        self._path = path
        self._engine = engine
        self.input, self.output = engine.describe(path)
        for info in (self.input, self.output):
            if info.dtype not in engine.dtypes:
                raise ModelError(
                    f"{path}: {engine.title} takes no {info.dtype} tensors, and {info.name} is one.",
                    f"Export it with one of: {', '.join(sorted(engine.dtypes))}.",
                )
        content = path.read_bytes()
        self._each = self._images_of_a_call(content)
        self.last_call_s = 0.0
        """Seconds of the last `predict` inside the engine, without the way to the page and back."""
        folder = web.built_folder()
        modules = folder / "node_modules" / engine.package
        self._browser = Browser(
            f"{engine.page}.html", {"": (folder / "dist", folder), "wasm": (modules / engine.wasm,)}
        )
        told = json.loads(self._ask(Job.LOAD, content, self._settings(threads), _LOAD_S))
        version = json.loads((modules / "package.json").read_text(encoding="utf-8"))["version"]
        agent = re.search(r"Chrome/(\d+)", told["browser"])
        device = f"CPU, WebAssembly in {f'Chromium {agent[1]}' if agent else told['browser']}"
        self.info = EngineInfo(engine.name, engine.title, version, device, int(told["threads"]))

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        self.last_call_s = 0.0
        step = BATCH if self._each else CHUNK
        pieces = [self._run(batch[at : at + step]) for at in range(0, len(batch), step)]
        return np.concatenate(pieces) if pieces else self.output.empty()

    def _run(self, batch: Array) -> Array:
        count = len(batch)
        images = self._each or count
        # A job's calls are all of one size: the last image again where there are too few.
        padding = -count % images
        whole = np.concatenate([batch, np.repeat(batch[-1:], padding, axis=0)]) if padding else batch
        body = self._ask(Job.RUN, np.ascontiguousarray(whole).tobytes(), {"images": images}, _RUN_S)
        return np.frombuffer(body, self.output.dtype).reshape(len(whole), -1)[:count]

    def _ask(self, job: Job, body: bytes, settings: dict[str, object], timeout_s: float) -> bytes:
        answer = self._browser.ask(job, body, settings, timeout_s)
        if answer.failure is not None:
            reason = answer.failure.strip().splitlines()[0] if answer.failure.strip() else "no reason given"
            raise ModelError(f"{self._path}: {self._engine.title} fails on it: {reason.rstrip('.')}.")
        self.last_call_s += (answer.milliseconds or 0.0) / 1000
        return answer.body

    def _images_of_a_call(self, content: bytes) -> int | None:
        """Returns how many images each call takes; None: as many as there are."""
        if self.input.shape[0] is not None:
            return self.input.shape[0]
        # LiteRT.js has no batches, and dynamic quantization takes its scale from the whole batch.
        return 1 if self._engine.suffix == ".tflite" or b"DynamicQuantizeLinear" in content else None

    def _settings(self, threads: int) -> dict[str, object]:
        shape = [size or 1 for size in self.input.shape[1:]]
        return {
            "input": {"name": self.input.name, "dtype": self.input.dtype, "shape": shape},
            "output": {"name": self.output.name, "dtype": self.output.dtype},
            "threads": threads,
        }


def _describe_onnx(path: Path) -> tuple[TensorInfo, TensorInfo]:
    model = CPU.load(path, threads=1)
    return model.input, model.output


def _describe_tflite(path: Path) -> tuple[TensorInfo, TensorInfo]:
    model = BUILTIN.load(path, threads=1)
    entry = model.input
    return TensorInfo(
        entry.name, (1, *entry.shape[1:]), entry.dtype, entry.scale, entry.zero_point
    ), model.output


ORT_WEB = BrowserRuntime(
    Engine(
        name="ort-web",
        title="ONNX Runtime Web",
        page="ort",
        package="onnxruntime-web",
        wasm="dist",
        suffix=".onnx",
        dtypes=frozenset({"float32", "float16", "int8", "uint8"}),
        describe=_describe_onnx,
    )
)
LITERT_WEB = BrowserRuntime(
    Engine(
        name="litert-web",
        title="LiteRT.js",
        page="litert",
        package="@litertjs/core",
        wasm="wasm",
        suffix=".tflite",
        dtypes=frozenset({"float32", "uint8"}),
        describe=_describe_tflite,
    )
)
