"""What all tests share: markers that skip, no network beyond this machine, and where CIFAR-10 lies."""

import ipaddress
import itertools
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing, Run
from edgecifar.choices import Device, Source
from edgecifar.recipe import (
    AugmentationSpec,
    DataSpec,
    Flip,
    ModelSpec,
    OptimizerSpec,
    Precision,
    Recipe,
    TrainingSpec,
)
from edgecifar.runtimes import web

# No deadline: a busy machine is no failure. The same examples each time: a failure repeats.
hypothesis.settings.register_profile("edgecifar", deadline=None, derandomize=True)
hypothesis.settings.load_profile("edgecifar")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--network", action="store_true", help="run the tests that reach beyond this machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--network"):
        _skip(items, "network", "reaches beyond this machine: run with --network")
    if any(item.get_closest_marker("gpu") for item in items) and not _gpu_is_there():
        _skip(items, "gpu", "TensorFlow sees no GPU here")


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


def _gpu_is_there() -> bool:
    import tensorflow as tf

    import edgecifar  # noqa: F401  it chooses Keras 2

    return bool(tf.config.list_physical_devices("GPU"))


@pytest.fixture(autouse=True)
def _stay_on_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that connects elsewhere without the marker `network`."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            pytest.fail(f"The test connects to {address[0]}; tests reach no further than this machine.")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps predictions of the command line in a folder of this session: earlier ones would hide a change."""
    kept, cache = web.built_folder().parent, tmp_path_factory.mktemp("cache")
    if kept.is_dir():
        # The pages of the browser engines hide nothing: each lies under the hash of its sources.
        (cache / "edgecifar").mkdir()
        (cache / "edgecifar" / "web").symlink_to(kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """The folder with all of CIFAR-10, from EDGECIFAR_DATA_DIR; tests that need it are skipped without."""
    folder = os.environ.get("EDGECIFAR_DATA_DIR")
    if not folder:
        pytest.skip("EDGECIFAR_DATA_DIR does not name the folder of CIFAR-10")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def few_images() -> tuple[Dataset, Dataset]:
    """Images of the sample at half size: 160 to learn from, 40 to measure on."""
    from edgecifar.data import load_training_data

    parts = load_training_data(DataSpec(source=Source.SAMPLE))
    small = [
        replace(part.select(slice(count)), images=np.ascontiguousarray(part.images[:count, ::2, ::2]))
        for part, count in zip(parts, (160, 40), strict=True)
    ]
    return small[0], small[1]


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """Three epochs of `shallow3` with all that a training has: dropout, averaging, augmentation, decay."""
    return Recipe(
        name="small",
        seed=5,
        model=ModelSpec(name="shallow3", dropout=[0.1, 0.0, 0.2]),
        augmentation=AugmentationSpec(flip=Flip.ALTERNATING, crop=2, cutout=4),
        training=TrainingSpec(
            epochs=3,
            # Four batches, the last of 16.
            batch_size=48,
            precision=Precision.FLOAT32,
            label_smoothing=0.1,
            ema=0.9,
            optimizer=OptimizerSpec(learning_rate=0.005, weight_decay=5e-3),
        ),
    )


@pytest.fixture(scope="session")
def small_run(
    small_recipe: Recipe, few_images: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """`small_recipe` trained on `few_images` in one go."""
    from edgecifar.training import train

    preprocessing = Preprocessing(mean=121, std=64, height=16, width=16)
    folder = tmp_path_factory.mktemp("runs") / "small"
    return train(
        small_recipe, *few_images, preprocessing, folder, name="small", command="pytest", device=Device.CPU
    )


@dataclass(frozen=True)
class Tiny:
    """A small trained network in every form that exports start from."""

    folder: Path
    """With model.keras, the float model, and qat.h5, the quantization-aware one."""
    float_model: Any
    qat_model: Any
    preprocessing: Preprocessing
    train: Dataset
    test: Dataset

    @property
    def calibration(self) -> NDArray[np.float32]:
        """50 preprocessed training images."""
        return self.preprocessing.apply(self.train.images[:50])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Two convolutions of the edge form, trained for an epoch on the sample, then quantization-aware."""
    import edgecifar  # noqa: F401, I001  it chooses Keras 2
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    from edgecifar.data.sample import read_sample
    from edgecifar.data.splitting import Half

    tf_keras.utils.set_random_seed(0)
    train, test = read_sample(Half.TRAIN), read_sample(Half.TEST)
    preprocessing = Preprocessing(mean=121, std=64, height=32, width=32)
    layers = tf_keras.layers
    image = x = layers.Input((32, 32, 3), name="image")
    for index, width in enumerate((8, 16), start=1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{index}")(x)
        x = layers.BatchNormalization(name=f"bn{index}")(x)
        x = layers.ReLU(name=f"relu{index}")(x)
        x = layers.MaxPooling2D(2 * index, name=f"pool{index}")(x)
    x = layers.Dense(10, name="logits")(layers.Flatten(name="flatten")(x))
    model = tf_keras.Model(image, layers.Softmax(name="softmax")(x), name="tiny")

    def fit(network: Any, rate: float) -> None:
        optimizer = tf_keras.optimizers.SGD(rate, momentum=0.9)
        network.compile(optimizer, "sparse_categorical_crossentropy")
        network.fit(preprocessing.apply(train.images), train.labels, batch_size=50, epochs=2, verbose=0)

    fit(model, 0.02)
    qat_model = tfmot.quantization.keras.quantize_model(model)
    for variable in qat_model.variables:
        # tfmot starts each range at -6 and moves it by a thousandth a step: too slow for this.
        if "relu" in variable.name and variable.name.endswith("output_min:0"):
            variable.assign(tf.zeros_like(variable))
    fit(qat_model, 0.002)
    folder = tmp_path_factory.mktemp("tiny")
    model.save(folder / "model.keras")
    with warnings.catch_warnings():
        # HDF5 is the one form in which tfmot's models come back whole.
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
        qat_model.save(folder / "qat.h5")
    return Tiny(folder, model, qat_model, preprocessing, train, test)


SHORT = (
    "model.name=shallow3",
    "training.epochs=2",
    "training.ema=0.9",
    "training.optimizer.learning_rate=0.01",
    "compression.pruning.epochs=2",
    "compression.quantization.epochs=2",
)
"""Changes that bring the recipe `demo` down to seconds."""


class CommandLine(Protocol):
    """Runs edgecifar in a process of its own."""

    def __call__(self, *arguments: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Returns what it printed; fails the test if it ends with another status."""
        ...


@pytest.fixture(scope="session")
def process_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of processes that find no CIFAR-10, whatever this machine has."""
    environment = {key: value for key, value in os.environ.items() if key != "EDGECIFAR_DATA_DIR"}
    return environment | {"KERAS_HOME": str(tmp_path_factory.mktemp("keras-home"))}


@pytest.fixture(scope="session")
def command_line(process_environment: dict[str, str]) -> CommandLine:
    """`python -m edgecifar`, without a terminal."""
    seeds = itertools.count(1)

    def run(*arguments: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        # Another order of sets in each process: nothing that is written may depend on it.
        environment = process_environment | {"PYTHONHASHSEED": str(next(seeds))}
        command = [sys.executable, "-m", "edgecifar", *arguments]
        done = subprocess.run(
            command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@dataclass(frozen=True)
class Made:
    """What the command line made: a run that was pruned and trained quantization-aware, and its bundle.

    For reading only: tests that alter something copy it first.
    """

    home: Path
    """The folder in which the commands ran."""
    trained: subprocess.CompletedProcess[str]
    exported: subprocess.CompletedProcess[str]

    @property
    def run(self) -> Path:
        return self.home / "runs" / "demo-shallow3-0001"

    @property
    def bundle(self) -> Path:
        return self.home / "exported" / "demo-shallow3"


@pytest.fixture(scope="session")
def made(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A short run of the recipe `demo` and its bundle of every format and precision, by real processes."""
    home = tmp_path_factory.mktemp("made")
    changes = [word for change in SHORT for word in ("--set", change)]
    trained = command_line("train", "--recipe", "demo", *changes, "--device", "cpu", cwd=home)
    exported = command_line("export", "--float32", "--fp16", "--dynamic", "--int8", cwd=home)
    return Made(home, trained, exported)
