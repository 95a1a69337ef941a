"""Models whose outputs are written down by hand, and data to run them on."""

from collections.abc import Callable

import numpy as np
import pytest

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.verification import Circumstances, Feeding

HEIGHT, WIDTH = 2, 3
FLOAT_INPUT = TensorInfo("image", (None, HEIGHT, WIDTH, 3), "float32")
FLOAT_OUTPUT = TensorInfo("probabilities", (None, 3), "float32")


class TableModel:
    """Looks the output up: the first byte of an image is its row in `table`."""

    def __init__(
        self,
        table: Array,
        feeding: Feeding,
        runtime: str,
        image_input: TensorInfo,
        output: TensorInfo,
    ) -> None:
        self.table = table
        self.feeding = feeding
        self.input = image_input
        self.output = output
        self.info = EngineInfo(runtime, "Table", "1.0", "CPU", 1)
        self.batches: list[Array] = []

    def predict(self, batch: Array) -> Array:
        self.batches.append(batch)
        first = batch[:, 0, 0, 0]
        real = first if self.feeding.raw_pixels else self.input.dequantize(first)
        preprocessing = self.feeding.preprocessing
        pixels = real if self.feeding.raw_pixels else np.rint(real * preprocessing.std + preprocessing.mean)
        rows = self.table[pixels.astype(np.int64)]
        assert isinstance(rows, np.ndarray)
        return rows


@pytest.fixture
def feeding() -> Feeding:
    return Feeding(Preprocessing(mean=120, std=60, height=HEIGHT, width=WIDTH))


@pytest.fixture
def make_model(feeding: Feeding) -> Callable[..., TableModel]:
    def make(
        table: Array,
        runtime: str = "litert",
        feeding: Feeding = feeding,
        image_input: TensorInfo = FLOAT_INPUT,
        output: TensorInfo = FLOAT_OUTPUT,
    ) -> TableModel:
        return TableModel(table, feeding, runtime, image_input, output)

    return make


@pytest.fixture
def make_data() -> Callable[..., Dataset]:
    def make(labels: list[int], height: int = HEIGHT, width: int = WIDTH) -> Dataset:
        images = np.zeros((len(labels), height, width, 3), np.uint8)
        images += np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
        return Dataset(images, np.array(labels, np.int64), ("ant", "bee", "cat"), "made by hand", "test")

    return make


@pytest.fixture
def circumstances() -> Circumstances:
    return Circumstances(
        title="hand-made",
        cpu="a CPU",
        cpu_flags=("avx2",),
        tool_versions={"edgecifar": "0.1.0"},
        created="2026-01-02T03:04:05Z",
        command="edgecifar verify hand-made",
    )
