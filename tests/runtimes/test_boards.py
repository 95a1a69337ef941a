"""Emulated Cortex-M boards: what they compute, what they count, and how they fail."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecifar.choices import Numerics
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.microcontroller.translating import translate
from edgecifar.runtimes import EMULATED_BOARDS, boards, get_runtime
from edgecifar.runtimes.boards import BOARDS, LEVELS, build, execute

HEADER = """
#include <stdint.h>
#define MODEL_ARENA_BYTES 1
#define MODEL_INPUT_SIZE 4
#define MODEL_INPUT_HEIGHT 2
#define MODEL_INPUT_WIDTH 2
#define MODEL_INPUT_CHANNELS 1
#define MODEL_INPUT_SCALE 1.0f
#define MODEL_INPUT_ZERO_POINT (0)
#define MODEL_OUTPUT_SIZE 4
#define MODEL_OUTPUT_SCALE 1.0f
#define MODEL_OUTPUT_ZERO_POINT (0)
#define MODEL_OK 0
int model_run(const int8_t *input, int8_t *output);
"""
BODY = """
#include "model.h"
#include <string.h>
%s
int model_run(const int8_t *input, int8_t *output)
{
    memcpy(output, input, 4);
    %s
}
"""
LOOP = """
    uint32_t n = 1000000u;
    __asm__ volatile("1: subs %0, %0, #1; bne 1b" : "+r"(n) : : "cc");
    return MODEL_OK;
"""
STACK = (
    "volatile int8_t block[4096]; for (int k = 0; k < 4096; ++k) block[k] = input[0]; return block[7] & 0;"
)
IMAGES = np.arange(8, dtype=np.int8).reshape(2, 2, 2, 1)


def model(folder: Path, statements: str, *, before: str = "") -> Path:
    """Writes a model that copies its input, and does something beside."""
    (folder / "model.h").write_text(HEADER)
    (folder / "model.c").write_text(BODY.replace("%s", before, 1).replace("%s", statements, 1))
    return folder / "model.c"


@pytest.fixture
def here() -> None:
    reason = boards.missing()
    if reason:
        pytest.skip(reason)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: Callable[[str], str | None] = lambda tool: None if "qemu" in tool else tool  # noqa: E731
    monkeypatch.setattr(boards.shutil, "which", found)
    reason = "qemu-system-arm is not installed. Install with: apt-get install gcc-arm-none-eabi"
    assert (get_runtime("c-m4").missing() or "").startswith(reason)
    with pytest.raises(EngineMissingError, match="qemu-system-arm is not installed"):
        get_runtime("c-m4").load(tmp_path / "model.c", 1)


def test_each_board_has_a_runtime() -> None:
    assert tuple(f"c-{name}" for name in BOARDS) == EMULATED_BOARDS
    assert all(get_runtime(name).suffixes == (".c",) for name in EMULATED_BOARDS)


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_instructions_are_counted(board: boards.Board, tmp_path: Path) -> None:
    program = build(model(tmp_path, LOOP), board, "-O2", tmp_path)
    done = execute(program, IMAGES, tmp_path)
    np.testing.assert_array_equal(done.outputs, IMAGES.reshape(2, 4))
    # A million turns of two instructions, and a few around them.
    assert done.instructions == pytest.approx([2_000_000] * 2, rel=0.001)


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
def test_more_instructions_than_the_counter_holds_are_counted(tmp_path: Path) -> None:
    long = LOOP.replace("1000000u", "400000000u")
    program = build(model(tmp_path, long), BOARDS["m4"], "-O2", tmp_path)
    # 24 bits, 40 instructions a tick: 671 million.
    assert execute(program, IMAGES[:1], tmp_path).instructions == pytest.approx([800_000_000], rel=0.001)


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_memory_is_measured(board: boards.Board, tmp_path: Path) -> None:
    plain = build(model(tmp_path, "return MODEL_OK;"), board, "-O2", tmp_path)
    before = "static int32_t counter[250]; static const int8_t table[3000] = {1};"
    statements = f"++counter[table[(uint8_t)input[0]]]; {STACK}"
    grown = build(model(tmp_path, statements, before=before), board, "-O2", tmp_path)
    assert grown.static_bytes - plain.static_bytes == pytest.approx(1000, abs=8)
    assert 3000 <= grown.flash_bytes - plain.flash_bytes < 3200
    deeper = execute(grown, IMAGES, tmp_path).stack_bytes
    plain = build(model(tmp_path, "return MODEL_OK;"), board, "-O2", tmp_path)
    assert deeper - execute(plain, IMAGES, tmp_path).stack_bytes == pytest.approx(4096, abs=64)


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_generated_c_gives_the_engine_s_bits_at_each_level(
    board: boards.Board, level: str, checkout: Path, tmp_path: Path
) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    files = translate((bundle / "model.int8.tflite").read_bytes(), Numerics.XNNPACK, name="m").files
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    program = build(tmp_path / "model.c", board, level, tmp_path)
    images = signed(np.load(bundle / "golden" / "images.npy")[:4])
    wanted = signed(np.load(bundle / "golden" / "model.int8.tflite.outputs.npy")[:4])
    done = execute(program, images, tmp_path)
    np.testing.assert_array_equal(done.outputs, wanted)
    assert program.static_bytes < 25_000
    assert 80_000 < program.flash_bytes < 100_000


def signed(values: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (values ^ np.uint8(0x80)).view(np.int8)


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
def test_the_runtime_tells_what_it_ran_on(tmp_path: Path) -> None:
    loaded = get_runtime("c-m55").load(model(tmp_path, LOOP), threads=4)
    np.testing.assert_array_equal(loaded.predict(IMAGES), IMAGES.reshape(2, 4))
    assert loaded.predict(IMAGES[:0]).shape == (0, 4)
    assert loaded.info.threads == 1
    assert "mps3-an547" in loaded.info.emulator
    assert loaded.info.device == "cortex-m55, arm-none-eabi-gcc -O2"
    flash, ram, instructions = loaded.info.facts
    assert flash.endswith("bytes of flash")
    assert "of them stack" in ram
    assert instructions.startswith("2,000,")
    with pytest.raises(ModelError, match="takes input of shape 2×2×1"):
        loaded.predict(IMAGES[:, :1])


@pytest.mark.mcu
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("statements", "before", "problem"),
    [
        ("return 1;", "", "ends with the status 2"),
        ('__asm__ volatile("udf #0"); return MODEL_OK;', "", "ends with the status 120"),
        ("return missing_function();", "int missing_function(void);", "cannot compile it for cortex-m4"),
        ("large[input[0]] = 1; return MODEL_OK;", "static volatile char large[600000];", "cannot compile it"),
    ],
)
def test_failures_are_told(statements: str, before: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=problem):
        get_runtime("c-m4").load(model(tmp_path, statements, before=before), threads=1)
