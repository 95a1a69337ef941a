"""Whatever is wrong with the input: one clear message, status 2, and nothing half-written."""

import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_format
import pytest
import tf_keras
from PIL import Image

from edgecifar.artifacts import Preprocessing
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision

AGAIN = "copy or export it again."
MEMBER_BYTES = 10_000 * 3073


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 40, 3), 120, np.uint8)).save(path)
    return path


# CIFAR-10


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode="w:gz", compresslevel=1) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10/{name}")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def empty(folder: Path) -> Path:
    return folder


def truncated(folder: Path) -> Path:
    noise = np.random.default_rng(0).bytes(200_000) + bytes(MEMBER_BYTES - 200_000)
    path = archive(folder / "cifar-10-binary.tar.gz", {"data_batch_1.bin": noise})
    path.write_bytes(path.read_bytes()[:100_000])
    return folder


def altered(folder: Path) -> Path:
    return archive(folder / "cifar-10-binary.tar.gz", {"data_batch_1.bin": bytes(MEMBER_BYTES)})


def too_short(folder: Path) -> Path:
    (folder / "data_batch_1.bin").write_bytes(bytes(MEMBER_BYTES - 1))
    return folder


def incomplete(folder: Path) -> Path:
    return archive(folder / "cifar-10-binary.tar.gz", {"test_batch.bin": b""})


def another_archive(folder: Path) -> Path:
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(b"hello"))
    return path


def label_out_of_range(folder: Path) -> Path:
    batch = {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [0] * 9_999 + [10]}
    return archive(folder / "cifar-10-python.tar.gz", {"data_batch_1": pickle.dumps(batch, protocol=2)})


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (missing, "nowhere, given as the data folder, does not exist."),
        (empty, "given as the data folder, holds no CIFAR-10."),
        (truncated, "damaged or cut short"),
        (altered, "data_batch_1.bin"),
        (too_short, "data_batch_1.bin has 30,729,999 bytes, not 30,730,000."),
        (incomplete, "data_batch_1.bin is missing."),
        (another_archive, "damaged or cut short"),
        (label_out_of_range, "10"),
    ],
)
def test_a_bad_cifar10_is_told_with_the_way_to_a_good_one(
    place: Callable[[Path], Path], told: str, refused: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    message = refused("train", "--data-dir", place(folder))
    assert told in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in message
    assert not (tmp_path / "runs").exists()


def test_a_pickle_that_would_run_code_is_refused(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(print))
    message = refused("train", "--data-dir", tmp_path)
    assert "data_batch_1: refused to load builtins.print" in message


# A folder of images


def two_classes(root: Path, images: int = 20) -> Path:
    for name, value in (("ant", 20), ("bee", 200)):
        (root / name).mkdir(parents=True)
        for index in range(images):
            Image.fromarray(np.full((8, 8, 3), value + index, np.uint8)).save(root / name / f"{index}.png")
    return root


def no_classes(root: Path) -> None:
    shutil.rmtree(root / "ant")
    shutil.rmtree(root / "bee")


def no_images(root: Path) -> None:
    for path in (root / "bee").iterdir():
        path.rename(path.with_suffix(".txt"))


def corrupt_image(root: Path) -> None:
    path = root / "ant" / "3.png"
    path.write_bytes(path.read_bytes()[:50])


def text_as_image(root: Path) -> None:
    (root / "ant" / "3.png").write_text("hello")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_classes, "there are no class folders."),
        (no_images, "bee: there are no images in this class folder."),
        (corrupt_image, "3.png: cannot be read as an image"),
        (text_as_image, "3.png: cannot be read as an image (of no known format)."),
    ],
)
def test_a_bad_folder_of_images_is_told(
    spoil: Callable[[Path], None], told: str, refused: Any, tmp_path: Path
) -> None:
    root = two_classes(tmp_path / "photos")
    spoil(root)
    assert told in refused("train", "--data", "folder", "--data-dir", root)
    assert not (tmp_path / "runs").exists()


def test_the_folder_source_needs_a_folder(refused: Any) -> None:
    assert "Pass --data-dir FOLDER." in refused("train", "--data", "folder")


def test_images_of_other_classes_are_told(refused: Any, made: Any, tmp_path: Path) -> None:
    data = ["--data", "folder", "--data-dir", two_classes(tmp_path / "photos")]
    for command in (
        ["verify", made.bundle],
        ["predict", made.run, "--first", 3],
        ["show", "mistakes", "--model", made.run, "-o", "x.png"],
    ):
        message = refused(*command, *data)
        assert "knows the classes airplane, automobile" in message
        assert "the images have ant, bee." in message
    assert not list(tmp_path.glob("x.png"))


# Recipes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[augmentation]\nrotaton = 3\n", "[augmentation] rotaton is not a key. Did you mean rotation?"),
        (b"[training]\nepochs = '3'\n", "[training] epochs = '3': input should be a valid integer"),
        (b"[training]\nepochs = 0\n", "[training] epochs = 0: input should be greater than or equal to 1"),
        (b"training = 3\n", "training = 3: a section was expected"),
        (b"epochs: 3\n", "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
        (None, "there is no such recipe file."),
    ],
)
def test_a_bad_recipe_is_told(content: bytes | None, told: str, refused: Any, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_bytes(content)
    for command in ("train", "summary"):
        message = refused(command, "--recipe", path)
        assert f"{path}: " in message
        assert told in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("training.epochs", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("training.epoch=3", "epoch is not a key. Did you mean epochs?"),
        ("training.epochs=many", "epochs = 'many': input should be a valid integer"),
        ("seed.x=3", "seed"),
    ],
)
def test_a_bad_change_is_told(change: str, told: str, refused: Any) -> None:
    assert told in refused("train", "-r", "demo", "--set", change)


def test_an_unknown_recipe_is_told_with_those_there_are(refused: Any) -> None:
    message = refused("train", "-r", "demmo")
    assert "There is no recipe named demmo. Did you mean demo?" in message
    assert "Shipped recipes: demo, edge" in message


# Model files


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network for images of 64 x 64, in each format."""
    folder = tmp_path_factory.mktemp("large")
    image = tf_keras.Input((64, 64, 3), name="image")
    pooled = tf_keras.layers.AveragePooling2D(16)(image)
    scores = tf_keras.layers.Dense(10, "softmax")(tf_keras.layers.Flatten()(pooled))
    model = tf_keras.Model(image, scores)
    preprocessing = Preprocessing(mean=121, std=64, height=64, width=64)
    model.save(folder / "m.keras")
    (folder / "m.tflite").write_bytes(tflite.convert(model, Precision.FLOAT32, Io.FLOAT32, preprocessing))
    (folder / "m.onnx").write_bytes(
        onnx.convert(model, Precision.FLOAT32, Io.FLOAT32, preprocessing, 17, None)
    )
    return folder


SCALING = ["--mean", "121", "--std", "64"]
SUFFIXES = ["tflite", "onnx", "keras", "h5"]


def good_model(made: Any, suffix: str) -> bytes:
    names = {"keras": "reference.keras", "tflite": "model.int8.tflite", "onnx": "model.int8.onnx"}
    path = made.run / "qat.h5" if suffix == "h5" else made.bundle / names[suffix]
    content: bytes = path.read_bytes()
    return content


def check_refused(model: Path, told: str, refused: Any, made: Any, photo: Path) -> None:
    for command in (
        ["predict", model, photo, *SCALING],
        ["verify", model, "--against", made.bundle / "model.float32.onnx", "--limit", 10, *SCALING],
        ["verify", made.bundle / "model.float32.onnx", "--against", model, "--limit", 10, *SCALING],
    ):
        message = refused(*command, *(["--data", "sample"] if command[0] == "verify" else []))
        assert f"error: {model}: " in message
        assert told in message
    assert not Path("report").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_model_file_is_told(
    suffix: str, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"m.{suffix}"
    model.touch()
    check_refused(model, "the file is empty.", refused, made, photo)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_file_that_was_cut_short_is_told(
    suffix: str, share: float, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    content = good_model(made, suffix)
    model = tmp_path / f"m.{suffix}"
    model.write_bytes(content[: int(share * len(content))])
    told = {"h5": "truncated file", "keras": "cut short"}.get(suffix, AGAIN)
    check_refused(model, told, refused, made, photo)


@pytest.mark.parametrize("content", ["text", "other"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_file_of_another_kind_is_told(
    suffix: str, content: str, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"m.{suffix}"
    other = "onnx" if suffix == "tflite" else "tflite"
    model.write_bytes(b"Dear model,\n" * 100 if content == "text" else good_model(made, other))
    kinds = {"tflite": "not a TFLite model", "onnx": "not an ONNX model"}
    check_refused(model, kinds.get(suffix, "not a Keras model"), refused, made, photo)


@pytest.mark.parametrize("suffix", ["tflite", "onnx", "keras"])
def test_a_model_for_images_of_another_size_is_told(
    suffix: str, refused: Any, made: Any, photo: Path, large: Path
) -> None:
    model = large / f"m.{suffix}"
    against = ["--against", made.bundle / "model.float32.onnx"]
    message = refused("verify", model, *against, "--data", "sample", "--limit", 10, *SCALING)
    assert f"error: {model.name} in " in message
    assert "takes images of 64×64 pixels, but those of sample are 32×32." in message
    assert "--resize 64 stretches them." in message
    assert "--resize makes them 48×48" in refused("predict", model, photo, *SCALING, "--resize", 48)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.onnx", "there is no such file or folder."),
        ("photo.png", "no model that is known here."),
        (".", "there is no finished run (no run.json)."),
    ],
)
def test_what_is_no_model_is_told(name: str, told: str, refused: Any, photo: Path) -> None:
    assert told in refused("predict", name, photo, *SCALING)
    assert told in refused("verify", name, *SCALING)


def test_a_lone_model_needs_its_scaling(refused: Any, made: Any, photo: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    content = onnx_format.load(made.bundle / "model.float32.onnx")
    # What the file says itself would do.
    del content.metadata_props[:]
    onnx_format.save(content, model)
    assert "Give --scale, or --mean and --std" in refused("predict", model, photo)
    assert "with --against." in refused("verify", model, *SCALING)


@pytest.mark.parametrize("content", [None, b"", b"hello"])
def test_an_image_that_is_none_is_told(
    content: bytes | None, refused: Any, made: Any, tmp_path: Path
) -> None:
    image = tmp_path / "image.jpg"
    if content is not None:
        image.write_bytes(content)
    message = refused("predict", made.bundle / "model.int8.tflite", image)
    assert f"{image}: cannot be read as an image" in message


def test_images_or_the_first_ones_but_not_both(refused: Any, made: Any, photo: Path) -> None:
    assert "not both" in refused("predict", made.run)
    assert "not both" in refused("predict", made.run, photo, "--first", 3)


def test_a_picture_needs_a_model_and_a_png(refused: Any) -> None:
    assert "Name it with --model." in refused("show", "mistakes", "-o", "x.png")
    assert "x.jpg: pictures are PNG files." in refused("show", "data", "-o", "x.jpg")


# Engines


@pytest.mark.parametrize("command", ["verify", "predict"])
def test_an_engine_that_is_not_here_is_status_3(
    command: str, refused: Any, made: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    arguments = (
        ["predict", made.bundle / "model.int8.onnx", photo]
        if command == "predict"
        else [command, made.bundle]
    )
    message = refused(*arguments, "--runtime", "ort-cuda", status=3)
    assert "pip install 'edgecifar[gpu]'" in message


def test_a_gpu_that_is_not_here_is_status_3(
    refused: Any, made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edgecifar.learning.devices.list_gpus", list)
    assert "use --device cpu" in refused("train", "-r", "demo", "--device", "gpu", status=3)
    assert "use --device cpu" in refused("compress", made.run, "--device", "gpu", status=3)
    assert not (tmp_path / "runs").exists()


def test_an_engine_that_reads_none_of_the_models_is_told(refused: Any, made: Any) -> None:
    told = refused("verify", made.bundle / "model.int8.onnx", "--runtime", "litert")
    assert "The runtime litert reads none of these models." in told


# Runs and bundles


@pytest.mark.parametrize("content", ["cut", "{}", "", "another"])
def test_a_damaged_run_is_told(content: str, refused: Any, made: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    text = (run / "run.json").read_text(encoding="utf-8")
    changed = {"cut": text[:500], "another": text.replace('"schema_version": 1', '"schema_version": 2')}
    (run / "run.json").write_text(changed.get(content, content), encoding="utf-8")
    for command in (["export", run], ["compress", run], ["predict", run, "--first", 1], ["verify", run]):
        message = refused(*command)
        assert f"{run / 'run.json'}: not a valid RunRecord: " in message
        assert ": : " not in message
        assert "make it again." in message
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("name", ["model.keras", "qat.h5"])
def test_a_run_whose_model_is_damaged_is_told(name: str, refused: Any, made: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    (run / name).write_bytes((run / name).read_bytes()[:10_000])
    assert f"error: {run / name}: not a readable" in refused("export", run)
    assert not list(tmp_path.glob("exported/*"))


def test_a_bundle_with_an_altered_artifact_is_told(
    refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    model = bundle / "model.int8.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    for command in (["verify", bundle], ["predict", model, photo], ["verify", made.run, "--against", bundle]):
        message = refused(*command)
        assert f"{model}: altered since it was exported.\n       Export the bundle again." in message


def test_a_bundle_is_no_run(refused: Any, made: Any) -> None:
    assert "a bundle, not a run." in refused("compress", made.bundle)


def test_a_bundle_beside_the_runs_is_not_taken_for_the_newest(
    refused: Any, made: Any, tmp_path: Path
) -> None:
    shutil.copytree(made.bundle, tmp_path / "runs" / "bundle")
    assert "There is no finished run in runs/." in refused("export")
    assert "There is no bundle in exported/." in refused("verify")


# Places that cannot be written


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets no file of this process grow past so many bytes: the next write fails, in C++ as in Python."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".partial") or ".partial." in path.name]


def test_a_checkpoint_that_cannot_be_written_ends_the_training(refused: Any, tmp_path: Path) -> None:
    quick = ["--set", "model.name=shallow3", "--set", "training.epochs=1", "--device", "cpu"]
    with files_of_at_most(300_000):
        message = refused("train", "-r", "demo", *quick, "--out", "full")
    assert message.startswith("error: full/trained/checkpoint/train: ")
    assert "File too large" in message
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "full" / "run.json").exists()


def test_a_bundle_that_cannot_be_written_leaves_the_old_one(refused: Any, made: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with files_of_at_most(200_000):
        message = refused("export", made.run, "--out", bundle, "--force")
    assert message.startswith(f"error: {bundle / 'reference.keras'}: File too large.")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name != "bundle"] == []


def test_a_report_that_cannot_be_written_leaves_the_old_one_and_shows_the_result(
    invoke: Any, made: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_bytes(b"old")
    arguments = ["verify", made.bundle, "--limit", 10, "--runtime", "ort-cpu", "--out", report, "--json"]
    # The page with its charts is larger, and what ONNX Runtime writes while it loads a model is not.
    with files_of_at_most(800_000):
        outcome = invoke(*arguments)
    assert outcome.status == 2
    assert json.loads(outcome.out)["comparisons"]
    assert outcome.err.splitlines()[-1] == f"error: {report / 'index.html'}: File too large."
    assert [(path.name, path.read_bytes()) for path in report.iterdir()] == [("index.html", b"old")]


def test_a_full_disk_is_told_with_the_file(
    refused: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    message = refused("export", made.run, "--float32", "-f", "tflite", "--out", "full")
    assert message.startswith("error: full: No space left on device.\n       Make room and try again")
    assert not (tmp_path / "full").exists()
    message = refused("train", "-r", "demo", "--out", "full")
    assert message.startswith("error: full/started.json: No space left on device.")


@pytest.mark.parametrize("command", ["train", "export", "show", "verify"])
def test_a_file_where_a_folder_is_needed_is_told(
    command: str, invoke: Any, made: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    arguments = {
        "train": ["-r", "demo"],
        "export": [made.run, "--float32", "-f", "tflite"],
        "show": ["data", "--data", "sample"],
        "verify": [made.bundle / "model.int8.onnx", "--limit", 10, "--runtime", "ort-cpu"],
    }[command]
    outcome = invoke(command, *arguments, "--out", "file/x.png")
    assert outcome.status == 2
    assert "error: file" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("       A folder is needed in the place of")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(refused: Any, made: Any, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for command in (["train", "-r", "demo"], ["export", made.run]):
        message = refused(*command, "--out", locked / "x")
        assert "Permission denied.\n       Change its permissions, or choose another place." in message
