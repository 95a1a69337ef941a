import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgecifar.cli.app import app

EXPORTED = Path(__file__).parents[2] / "exported"


def invoke(*words, status=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def bundle(tmp_path) -> Path:
    shutil.copytree(EXPORTED / "tiny-resnet8", tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXPORTED.glob("*/manifest.json")))
def test_the_shipped_bundles_are_whole(name):
    result = invoke("unpack-check", EXPORTED / name)
    assert "each as its manifest says." in result.stdout
    assert "Next: edgecifar verify" in result.stderr


def test_the_result_as_json(bundle):
    shutil.make_archive(str(bundle), "gztar", bundle)
    table = json.loads(invoke("unpack-check", bundle.with_suffix(".tar.gz"), "--json").stdout)
    assert table["name"] == "tiny-resnet8"
    assert table["files"] > 10
    assert all(name.startswith("report/") for name in table["uncovered"])


def test_the_next_command_can_be_pasted(bundle):
    folder = bundle.rename(bundle.with_name("mein Modell"))
    shutil.rmtree(folder / "report", ignore_errors=True)
    (folder / "report").mkdir()
    (folder / "report" / "one.md").touch()
    told = invoke("unpack-check", folder).stderr
    assert f"Next: edgecifar verify '{folder}'\n" in told
    assert "1 file in report/" in told


def test_an_altered_bundle_has_status_2(bundle):
    (bundle / "labels.txt").write_text("dog\ncat\n")
    (bundle / "extra").touch()
    told = invoke("unpack-check", bundle, status=2).stderr
    assert "labels.txt was altered; extra is not in the manifest." in told
    assert "Do not use it" in told


def test_what_is_no_bundle_has_status_2(tmp_path):
    assert "not a bundle" in invoke("unpack-check", tmp_path, status=2).stderr
    assert "no such file" in invoke("unpack-check", tmp_path / "nothing", status=2).stderr
