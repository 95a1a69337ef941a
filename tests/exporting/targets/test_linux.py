import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecifar.data import read_image
from edgecifar.exporting.targets import linux

STUBS = Path(__file__).parent / "stubs"
OFFICIAL = Path("/usr/include/onnxruntime")
"""Where Debian's libonnxruntime-dev puts ONNX Runtime's own headers."""
ALONE = """
import runpy, sys
for name in ("edgecifar", "tensorflow", "tf_keras"):
    sys.modules[name] = None  # importing it is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def folder(material, tmp_path) -> Path:
    linux.write(material, tmp_path / "linux")
    return tmp_path / "linux"


@pytest.fixture
def photo(materials, tmp_path) -> Path:
    """A picture that is no multiple of the model's size."""
    image = Image.fromarray(materials["pixels"].golden.images[3]).resize((100, 75), Image.Resampling.BICUBIC)
    image.save(tmp_path / "photo.png")
    image.save(tmp_path / "photo.ppm")
    return tmp_path / "photo.png"


def run(*command, status=0):
    done = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def classes(printed):
    """The class names and shares that an example printed for its pictures."""
    return re.findall(r"\t(\w+)\t([\d.]+) %", printed)


@pytest.mark.parametrize("engine", ["litert", "onnxruntime"])
def test_the_python_examples_reproduce_the_golden_outputs_alone(engine, folder, photo):
    printed = run(sys.executable, "-c", ALONE, folder / f"classify_{engine}.py", photo)
    assert re.match(r"self-check: 16 golden images, largest difference [\d.e-]+ of", printed)
    assert len(classes(printed)) == 3


@pytest.mark.parametrize("engine", ["litert", "onnxruntime"])
@pytest.mark.parametrize("damage", ["expected", "model"])
def test_a_self_check_can_fail(engine, damage, folder):
    kind = {"litert": "tflite", "onnxruntime": "onnx"}[engine]
    if damage == "expected":
        path = folder / "golden" / f"expected.{kind}.bin"
        values = np.fromfile(path, "<f4")
        values[37] += 0.05
        values.tofile(path)
    else:
        images = np.fromfile(folder / "golden" / "images.bin", np.uint8)
        (255 - images).tofile(folder / "golden" / "images.bin")
    told = run(sys.executable, "-c", ALONE, folder / f"classify_{engine}.py", status=1)
    assert "self-check failed: a probability is off by" in told


def compiled(compiler, folder, tmp_path, headers=STUBS):
    """Returns the C++ example's program, linked with the library in the onnxruntime package."""
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler} here")
    package = find_spec("onnxruntime")
    libraries = list(Path(package.origin).parent.glob("capi/libonnxruntime.so*"))
    if not libraries:
        pytest.skip("the onnxruntime package has no libonnxruntime.so here")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(libraries[0])
    program = tmp_path / "classify"
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    link = [f"-L{tmp_path}", "-lonnxruntime", f"-Wl,-rpath,{tmp_path}"]
    run(compiler, *strict, "-O1", "-isystem", headers, folder / "classify.cpp", *link, "-o", program)
    return program


def test_the_cpp_example_reproduces_the_golden_outputs(folder, photo, tmp_path):
    program = compiled("g++", folder, tmp_path)
    printed = run(program, folder, photo.with_suffix(".ppm"))
    assert printed.startswith("self-check: 16 golden images, largest difference ")
    python = run(sys.executable, "-c", ALONE, folder / "classify_onnxruntime.py", photo)
    assert classes(printed) == classes(python)
    told = run(program, folder, photo, status=1)
    assert "no binary PPM" in told
    values = np.fromfile(folder / "golden" / "expected.onnx.bin", "<f4")
    values[-1] = np.nan
    values.tofile(folder / "golden" / "expected.onnx.bin")
    assert "self-check failed" in run(program, folder, status=1)


def test_another_compiler_takes_the_cpp_example(materials, tmp_path):
    linux.write(materials["pixels"], tmp_path / "linux")
    printed = run(compiled("clang++", tmp_path / "linux", tmp_path), tmp_path / "linux")
    assert printed.startswith("self-check: 16 golden images, largest difference ")


def test_the_official_header_takes_the_cpp_example(folder, tmp_path):
    if not (OFFICIAL / "onnxruntime_cxx_api.h").is_file():
        pytest.skip("ONNX Runtime's C++ header is not here (Debian 13: apt install libonnxruntime-dev)")
    printed = run(compiled("g++", folder, tmp_path, OFFICIAL), folder)
    assert printed.startswith("self-check: 16 golden images, largest difference ")


def test_a_picture_of_the_models_size_is_taken_as_it_is(materials, tmp_path):
    material = materials["pixels"]
    linux.write(material, tmp_path / "linux")
    Image.fromarray(material.golden.images[0]).save(tmp_path / "same.png")
    names = {"__file__": str(tmp_path / "linux" / "classify_litert.py"), "__name__": "example"}
    exec((tmp_path / "linux" / "classify_litert.py").read_text(), names)  # noqa: S102  what was just written
    np.testing.assert_array_equal(
        names["shrink"](material.golden.images[0]), read_image(tmp_path / "same.png", 32)
    )


def test_photos_are_turned_upright_and_transparent_parts_are_white(materials, tmp_path):
    """As browsers show them, and as the training saw them."""
    linux.write(materials["pixels"], tmp_path / "linux")
    names = {"__file__": str(tmp_path / "linux" / "classify_litert.py"), "__name__": "example"}
    exec((tmp_path / "linux" / "classify_litert.py").read_text(), names)  # noqa: S102  what was just written
    picture = Image.fromarray(materials["pixels"].golden.images[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.
    picture.rotate(90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(names["read"](tmp_path / "turned.png"), np.asarray(picture))
    clear = picture.copy()
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    assert names["read"](tmp_path / "clear.png").min() == 255
    picture.convert("CMYK").save(tmp_path / "print.jpg")
    assert names["read"](tmp_path / "print.jpg").shape == (32, 32, 3)


def test_what_is_no_picture_is_told_in_a_sentence(folder, tmp_path):
    (tmp_path / "hello.jpg").write_text("hello")
    for name in ("hello.jpg", "nowhere.jpg"):
        told = run(sys.executable, "-c", ALONE, folder / "classify_litert.py", tmp_path / name, status=1)
        assert f"{name}: cannot be read as a picture" in told
        assert "Traceback" not in told


def test_a_picture_is_shrunk_to_the_means_of_its_areas(materials, tmp_path):
    linux.write(materials["pixels"], tmp_path / "linux")
    names = {"__file__": str(tmp_path / "linux" / "classify_litert.py"), "__name__": "example"}
    exec((tmp_path / "linux" / "classify_litert.py").read_text(), names)  # noqa: S102  what was just written
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:2, :3] = 200
    picture[0, 0] = 203
    small = names["shrink"](picture)
    # 6 pixels an area: (5 * 200 + 203) / 6 is 200.5, and half steps round up.
    assert small[0, 0].tolist() == [201, 201, 201]
    assert small[1:].max() == 0
    assert names["shrink"](np.full((1, 1, 3), 7, np.uint8)).min() == 7
