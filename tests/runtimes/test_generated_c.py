from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecifar.choices import Numerics
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.microcontroller.translating import translate
from edgecifar.runtimes import default_runtimes_for, generated_c, get_runtime


@pytest.fixture(scope="module")
def sources(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model.c` of the shipped residual network, with XNNPACK's bits."""
    folder = tmp_path_factory.mktemp("c")
    content = (checkout / "exported" / "tiny-resnet8" / "model.int8.tflite").read_bytes()
    for name, text in translate(content, Numerics.XNNPACK, name="m").files.items():
        (folder / name).write_text(text)
    return folder / "model.c"


@pytest.fixture
def signed(checkout: Path) -> np.ndarray:  # type: ignore[type-arg]
    images = np.load(checkout / "exported" / "tiny-resnet8" / "golden" / "images.npy")
    return (images ^ np.uint8(0x80)).view(np.int8)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_it_gives_xnnpack_s_bits(
    compiler: str,
    sources: Path,
    signed: np.ndarray,  # type: ignore[type-arg]
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CC", compiler)
    model = get_runtime("c").load(sources, threads=2)
    wanted = np.load(checkout / "exported" / "tiny-resnet8" / "golden" / "model.int8.tflite.outputs.npy")
    np.testing.assert_array_equal(model.predict(signed), (wanted ^ np.uint8(0x80)).view(np.int8))
    assert model.predict(signed[:0]).shape == (0, 10)
    assert model.info.version.startswith(compiler)
    assert "-O3" in model.info.device
    assert model.info.threads == 1
    assert model.info.facts[0].startswith("works in an arena of")


def test_input_and_output_are_the_header_s(sources: Path) -> None:
    model = get_runtime("c").load(sources, threads=1)
    assert (model.input.shape, model.input.dtype) == ((None, 32, 32, 3), "int8")
    assert (model.input.scale, model.input.zero_point) == (1 / 64, -7)
    assert (model.output.scale, model.output.zero_point) == (1 / 256, -128)


def test_another_compiler_than_the_one_named_is_not_taken(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(EngineMissingError, match="CC names no-such-compiler, which is no program here"):
        get_runtime("c").load(sources, threads=1)


def test_a_wrong_batch_is_refused(sources: Path) -> None:
    model = get_runtime("c").load(sources, threads=1)
    with pytest.raises(ModelError, match="takes input of shape 32×32×3"):
        model.predict(np.zeros((1, 16, 16, 3), np.int8))


def test_other_c_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.c").write_text("int main(void) { return 0; }")
    with pytest.raises(ModelError, match="cannot be read"):
        get_runtime("c").load(tmp_path / "model.c", 1)
    (tmp_path / "model.h").write_text("#define SOMETHING 1\n")
    with pytest.raises(ModelError, match="not C that edgecifar generated"):
        get_runtime("c").load(tmp_path / "model.c", 1)


def test_c_that_does_not_compile_is_refused(sources: Path, tmp_path: Path) -> None:
    for path in sources.parent.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "model.c").write_text("#error broken\n")
    with pytest.raises(ModelError, match=r"cannot compile it: .*broken"):
        get_runtime("c").load(tmp_path / "model.c", 1)


def test_without_a_compiler_it_says_so(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Callable[[str], None] = lambda _: None  # noqa: E731
    monkeypatch.setattr(generated_c.shutil, "which", found)
    with pytest.raises(EngineMissingError, match="Install gcc or clang"):
        get_runtime("c").load(sources, 1)


def test_c_files_are_its_own() -> None:
    assert default_runtimes_for(".c") == ("c",)
