"""The C of every shipped bundle on many images: on this machine in each mode, and on the emulated boards.

EDGECIFAR_MCU_IMAGES says on how many here, 1,000 by default.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from compiled import SANITIZERS, compile_c, run
from numpy.typing import NDArray

from edgecifar.choices import Numerics, Source, Split
from edgecifar.data import load_dataset
from edgecifar.errors import ModelError
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.recipe import DataSpec
from edgecifar.runtimes import EMULATED_BOARDS, get_runtime

pytestmark = pytest.mark.mcu

ENGINES = {Numerics.REFERENCE: "litert-reference", Numerics.XNNPACK: "litert", Numerics.TFLM: "tflm"}
BUNDLES = ("edge-vgg6", "edge-vgg6-sparse", "seed-vgg6", "tiny-resnet8")
HOST_IMAGES = int(os.environ.get("EDGECIFAR_MCU_IMAGES", "1000"))
BOARD_IMAGES, SANITIZED_IMAGES = 100, 4
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """Test images: the official ones where EDGECIFAR_DATA_DIR names them, else those in the package."""
    source = Source.CIFAR10 if "EDGECIFAR_DATA_DIR" in os.environ else Source.SAMPLE
    data = load_dataset(DataSpec(source=source), Split.TEST, seed=0)
    if len(data) < HOST_IMAGES:
        pytest.skip(f"EDGECIFAR_DATA_DIR does not name CIFAR-10: {len(data)} images, not {HOST_IMAGES}")
    return data.images[:HOST_IMAGES]


def signed(values: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (values ^ np.uint8(0x80)).view(np.int8)


@cache
def translated(model: Path, numerics: Numerics) -> Translation:
    return translate(model.read_bytes(), numerics, name=model.parent.name)


def answers(model: Path, numerics: Numerics, images: Pixels) -> NDArray[np.int8]:
    """What the engine gives, as int8."""
    runtime = get_runtime(ENGINES[numerics])
    if runtime.missing():
        pytest.skip(runtime.missing() or "")
    try:
        loaded = runtime.load(model, threads=1)
    except ModelError as error:
        if numerics is Numerics.REFERENCE and "ELU" in error.problem:
            pytest.skip("LiteRT's reference kernels have no ELU: no engine computes the whole network so")
        raise
    return signed(loaded.predict(images))


def test_all_bundles_are_tested(checkout: Path) -> None:
    shipped = (path.parent.name for path in (checkout / "exported").glob("*/model.int8.tflite"))
    assert sorted(shipped) == list(BUNDLES)


@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("bundle", BUNDLES)
def test_many_images_give_the_engine_s_bits(
    bundle: str, numerics: Numerics, shipped: Callable[[str], Path], pixels: Pixels, tmp_path: Path
) -> None:
    model = shipped(bundle) / "model.int8.tflite"
    wanted = answers(model, numerics, pixels)
    program = compile_c(tmp_path, translated(model, numerics).files, "gcc", ("-O2", "-march=native"))
    np.testing.assert_array_equal(run(program, signed(pixels), wanted.shape[1]), wanted)


# The sanitizers of clang are a package of their own.
@pytest.mark.parametrize(
    ("compiler", "flags"), [("gcc", SANITIZERS), ("clang", ("-O2",))], ids=["gcc", "clang"]
)
@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("bundle", BUNDLES)
def test_neither_compilers_nor_sanitizers_object(
    bundle: str,
    numerics: Numerics,
    compiler: str,
    flags: tuple[str, ...],
    shipped: Callable[[str], Path],
    pixels: Pixels,
    tmp_path: Path,
) -> None:
    model = shipped(bundle) / "model.int8.tflite"
    images = pixels[:SANITIZED_IMAGES]
    wanted = answers(model, numerics, images)
    program = compile_c(tmp_path, translated(model, numerics).files, compiler, flags)
    np.testing.assert_array_equal(run(program, signed(images), wanted.shape[1]), wanted)


@pytest.mark.parametrize("board", EMULATED_BOARDS)
@pytest.mark.parametrize("bundle", BUNDLES)
def test_boards_give_xnnpack_s_bits(
    bundle: str, board: str, shipped: Callable[[str], Path], pixels: Pixels, tmp_path: Path
) -> None:
    runtime = get_runtime(board)
    if runtime.missing():
        pytest.skip(runtime.missing() or "")
    model = shipped(bundle) / "model.int8.tflite"
    for name, text in translated(model, Numerics.XNNPACK).files.items():
        (tmp_path / name).write_text(text)
    images = pixels[:BOARD_IMAGES]
    found = runtime.load(tmp_path / "model.c", threads=1).predict(signed(images))
    np.testing.assert_array_equal(found, answers(model, Numerics.XNNPACK, images))
