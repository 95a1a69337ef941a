"""The target mcu: built by each of the build systems that it is for, and run."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts.files import sha256
from edgecifar.choices import Target
from edgecifar.errors import ExportError
from edgecifar.exporting.targets import write_targets
from edgecifar.exporting.targets.material import Material
from edgecifar.pipeline.c_sources import make_c_for_bundle
from edgecifar.runtimes import boards

FEEDS = ("pixels", "table", "float")
PICTURES = """
#include "model_pixels.h"
#include <stdio.h>
int main(void)
{
    static uint8_t pixels[MODEL_INPUT_SIZE];
    int8_t output[MODEL_OUTPUT_SIZE];
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        if (model_run_pixels(ARGUMENTS, output) != MODEL_OK) {
            return 1;
        }
        fwrite(output, 1, sizeof output, stdout);
    }
    return model_best(output) < 0 || model_best(output) >= MODEL_OUTPUT_SIZE;
}
"""
ARDUINO = """
struct Stream {
    explicit operator bool() const { return true; }
    void begin(long) {}
    template <class T> void print(T) {}
    template <class T> void println(T) {}
} Serial;
static unsigned long micros() { return 0; }
static void delay(unsigned long) {}
"""
ZEPHYR = """
cmake_minimum_required(VERSION 3.16)
project(app C)
set(CONFIG_EDGECIFAR_TINY_NAME y)
function(zephyr_library_named name)
  add_library(${name} STATIC)
  set(ZEPHYR_CURRENT_LIBRARY ${name} PARENT_SCOPE)
endfunction()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endfunction()
function(zephyr_include_directories)
  include_directories(${ARGV})
endfunction()
add_subdirectory(MODULE/zephyr zephyr)
"""


def write(material: Material, folder: Path) -> Path:
    """Returns the target's folder in a copy of the bundle."""
    for path in material.folder.glob("model.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (entry,) = write_targets(replace(material, folder=folder, make_c=make_c_for_bundle), [Target.MCU])
    return folder / entry.folder


@pytest.fixture(scope="module")
def folders(materials, tmp_path_factory) -> dict[str, Path]:
    return {feed: write(materials[feed], tmp_path_factory.mktemp(feed)) for feed in FEEDS}


def call(*command: object, folder: Path, given: bytes = b"") -> bytes:
    """Returns what a command that has to succeed prints, to both of its streams."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout


@pytest.mark.parametrize("feed", FEEDS)
def test_golden_vectors_are_the_engine_s(feed, folders, materials):
    folder = folders[feed]
    assert b"the same bytes" in call("make", "test", folder=folder)
    outputs = np.fromfile(folder / "golden" / "outputs.int8.bin", np.int8).reshape(16, -1)
    expected = np.fromfile(folder / "golden" / "expected.tflite.bin", "<f4").reshape(16, -1)
    output = materials["table"].artifacts[-1].output
    np.testing.assert_array_equal(
        (outputs - np.float32(output.zero_point)) * np.float32(output.scale), expected
    )
    assert sha256(folder / "model.int8.tflite") == sha256(materials[feed].folder / "model.int8.tflite")


def test_an_altered_weight_fails(folders, tmp_path):
    folder = tmp_path / "altered"
    shutil.copytree(folders["pixels"], folder)
    vectors = folder / "golden" / "outputs.int8.bin"
    vectors.write_bytes(bytes([vectors.read_bytes()[0] ^ 1]) + vectors.read_bytes()[1:])
    done = subprocess.run(["make", "test"], cwd=folder, capture_output=True, check=False)  # noqa: S607
    assert done.returncode != 0
    assert b"differ" in done.stdout + done.stderr


@pytest.mark.parametrize("feed", FEEDS)
def test_pictures_give_the_golden_outputs(feed, folders, tmp_path):
    folder = folders[feed]
    # With a mean of 121 and a std of 64, all three inputs are the pixel less 128: no table is needed.
    (tmp_path / "pictures.c").write_text(PICTURES.replace("ARGUMENTS", "pixels"))
    flags = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O1")
    call(
        "gcc",
        *flags,
        f"-I{folder}/src",
        "-o",
        "pictures",
        "pictures.c",
        f"{folder}/src/model.c",
        folder=tmp_path,
    )
    found = call("./pictures", folder=tmp_path, given=(folder / "golden" / "images.bin").read_bytes())
    assert found == (folder / "golden" / "outputs.int8.bin").read_bytes()


def test_other_preprocessing_becomes_a_table(materials, tmp_path):
    material = materials["table"]
    other = material.preprocessing.model_copy(update={"mean": 100.0, "std": 80.0})
    folder = write(replace(material, preprocessing=other), tmp_path)
    table = (folder / "src" / "model_pixels.h").read_text()
    assert "model_pixel_table[256]" in table
    call("make", "test", folder=folder)
    source = PICTURES.replace("ARGUMENTS", "pixels, (int8_t *)pixels")
    (tmp_path / "pictures.c").write_text(source)
    call(
        "gcc",
        "-std=c99",
        f"-I{folder}/src",
        "-o",
        "pictures",
        "pictures.c",
        f"{folder}/src/model.c",
        folder=tmp_path,
    )
    found = call("./pictures", folder=tmp_path, given=(folder / "golden" / "images.bin").read_bytes())
    assert found == (folder / "golden" / "outputs.int8.bin").read_bytes()


def test_the_same_bundle_gives_the_same_bytes_and_names_no_machine(materials, folders, tmp_path):
    folder = write(materials["pixels"], tmp_path)
    for path in folder.rglob("*"):
        if path.is_file():
            twin = folders["pixels"] / path.relative_to(folder)
            assert path.read_bytes() == twin.read_bytes()
            assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_and_checks_it(folders, tmp_path):
    call("cmake", "-S", folders["pixels"], "-B", tmp_path, folder=tmp_path)
    call("cmake", "--build", tmp_path, folder=tmp_path)
    assert b"100% tests passed" in call("ctest", "--test-dir", tmp_path, folder=tmp_path)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_the_zephyr_module_builds_where_zephyr_s_functions_are(folders, tmp_path):
    folder = folders["pixels"]
    assert "kconfig: zephyr/Kconfig" in (folder / "zephyr" / "module.yml").read_text()
    assert "config EDGECIFAR_TINY_NAME\n" in (folder / "zephyr" / "Kconfig").read_text()
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR.replace("MODULE", str(folder)))
    call("cmake", "-S", tmp_path, "-B", tmp_path / "build", folder=tmp_path)
    call("cmake", "--build", tmp_path / "build", folder=tmp_path)
    assert (tmp_path / "build" / "zephyr" / "libtiny_name.a").is_file()


def test_the_arduino_library_compiles_as_c_plus_plus(folders, tmp_path):
    folder = folders["pixels"]
    properties = dict(line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines())
    assert properties["name"] == "tiny_name"
    assert {"version", "author", "maintainer", "sentence", "category", "architectures"} <= set(properties)
    sketch = folder / "examples" / "classify" / "classify.ino"
    program = f"{ARDUINO}{sketch.read_text()}\nint main() {{ setup(); loop(); }}\n"
    (tmp_path / "sketch.cpp").write_text(program)
    for source in ("model", "model_selftest"):
        call("gcc", "-c", folder / "src" / f"{source}.c", folder=tmp_path)
    warnings = ("-Wall", "-Wextra", "-Werror")
    call(
        "g++",
        *warnings,
        f"-I{folder}/src",
        "-o",
        "sketch",
        "sketch.cpp",
        "model.o",
        "model_selftest.o",
        folder=tmp_path,
    )
    call("./sketch", folder=tmp_path)


@pytest.mark.mcu
@pytest.mark.skipif(boards.missing() is not None, reason=boards.missing() or "")
@pytest.mark.parametrize("board", boards.BOARDS)
def test_make_run_predicts_on_a_board(board, folders):
    folder = folders["pixels"]
    said = call("make", "run", f"BOARD={board}", folder=folder).decode()
    assert "self-test: 0 of 4 images differ" in said
    assert "instructions an inference" in said
    labels = (folder / "labels.txt").read_text().splitlines()
    outputs = np.fromfile(folder / "golden" / "outputs.int8.bin", np.int8).reshape(16, -1)
    for image in range(4):
        assert f"image {image}: {labels[outputs[image].argmax()]}\n" in said


def test_it_needs_int8_and_the_generator(materials):
    with pytest.raises(ExportError, match="The target mcu needs an int8 model"):
        write_targets(replace(materials["float32"], make_c=make_c_for_bundle), [Target.MCU])
    with pytest.raises(ExportError, match="The target mcu needs the generator of C"):
        write_targets(materials["pixels"], [Target.MCU])
