import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgecifar.artifacts import Bundle
from edgecifar.choices import Numerics
from edgecifar.cli import app
from edgecifar.errors import ExportError, ModelError
from edgecifar.pipeline import export_c
from edgecifar.runtimes import get_runtime


def test_a_bundle_becomes_c_with_a_self_test(checkout: Path, tmp_path: Path) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    made = export_c(bundle, numerics=Numerics.REFERENCE, out=tmp_path / "c")
    assert (made.numerics, made.selftest_images) == ("reference", 4)
    assert set(made.files) == {path.name for path in made.folder.iterdir()}
    assert '"airplane"' in (made.folder / "model.h").read_text()
    images = np.load(bundle / "golden" / "images.npy")
    wanted = get_runtime("litert-reference").load(bundle / "model.int8.tflite", 1).predict(images)
    found = get_runtime("c").load(made.folder / "model.c", 1)
    signed = (images ^ np.uint8(0x80)).view(np.int8)
    np.testing.assert_array_equal(found.predict(signed), (wanted ^ np.uint8(0x80)).view(np.int8))


def test_an_existing_folder_is_kept(checkout: Path, tmp_path: Path) -> None:
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    export_c(model, out=tmp_path / "c")
    with pytest.raises(ModelError, match="exists"):
        export_c(model, out=tmp_path / "c")
    export_c(model, out=tmp_path / "c", force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("mine")
    with pytest.raises(ModelError, match="holds something else"):
        export_c(model, out=tmp_path / "other", force=True)


def test_the_current_folder_is_left_alone(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"\. holds the current folder"):
        export_c(checkout / "exported" / "tiny-resnet8" / "model.int8.tflite", out=".")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_told_before_the_run_is_read(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("edgecifar.pipeline.translating.export", refuse)
    (tmp_path / "mine").touch()
    run = Bundle.open(checkout / "exported" / "tiny-resnet8").run
    with pytest.raises(ModelError, match="holds something else"):
        export_c(run, out=tmp_path)


def test_errors_name_the_file(checkout: Path, tmp_path: Path) -> None:
    model = checkout / "exported" / "tiny-resnet8" / "model.float32.tflite"
    with pytest.raises(ExportError, match=r"model\.float32\.tflite: .* computes in float32"):
        export_c(model, out=tmp_path / "c")
    with pytest.raises(ModelError, match="cannot be read"):
        export_c(tmp_path / "none.tflite", out=tmp_path / "c")


def test_the_command_line(checkout: Path, tmp_path: Path) -> None:
    model = str(checkout / "exported" / "tiny-resnet8" / "model.int8.tflite")
    command = ["export", model, "--format", "c", "--out", str(tmp_path / "c"), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["arena_bytes"] < told["unstreamed_bytes"]
    refused = CliRunner().invoke(app, ["export", model, "--format", "c", "--opset", "13"])
    assert refused.exit_code == 2
    assert CliRunner().invoke(app, ["export", model, "--numerics", "tflm"]).exit_code == 2


def test_a_run_becomes_c_by_way_of_its_bundle(made, command_line, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "c"
    command_line("export", str(made.run), "--format", "c", "--out", str(out), cwd=made.home)
    command_line(
        "export", str(made.run), "--format", "tflite", "--int8", "--io", "int8", "--target", "mcu",
        "--out", str(tmp_path / "bundle"), cwd=made.home,
    )  # fmt: skip
    target = tmp_path / "bundle" / "embed" / "mcu"
    # The self-tests are of other images: there as pixels, here as the preprocessing leaves them.
    for name in ("model.h", "model.c", "model_weights.h"):
        assert (out / name).read_bytes() == (target / "src" / name).read_bytes(), name
    inputs = np.fromfile(target / "golden" / "inputs.int8.bin", np.int8).reshape(16, 32, 32, 3)
    wanted = np.fromfile(target / "golden" / "outputs.int8.bin", np.int8).reshape(16, -1)
    found = get_runtime("c").load(out / "model.c", 1).predict(inputs)
    np.testing.assert_array_equal(found, wanted)
