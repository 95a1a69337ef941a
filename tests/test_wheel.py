"""The wheel is the product: it holds all that it needs, and works far from any checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import edgecifar

pytestmark = pytest.mark.slow

DIST_INFO = f"edgecifar-{edgecifar.__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(checkout),
    ]
    subprocess.run(command, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that holds the wheel and sees the dependencies, but not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    # A folder named in a .pth file is searched, but its own .pth files are not read: not that of an editable
    # edgecifar, and not that of setuptools, repeated here for tfmot's distutils from Python 3.12 on.
    dependencies = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    shim = "import _distutils_hack; _distutils_hack.add_shim()"
    (site / "dependencies.pth").write_text("\n".join([*dependencies, shim, ""]), encoding="utf-8")
    scripts = Path(sysconfig.get_path("scripts", "venv", scheme))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(scripts / "python"),
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return scripts


def run(scripts: Path, folder: Path, name: str, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    command = [str(scripts / name), *arguments]
    result = subprocess.run(
        command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_the_wheel_holds_the_whole_package(contents: set[str], checkout: Path) -> None:
    package = {
        path.relative_to(checkout).as_posix()
        for path in (checkout / "edgecifar").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    recipes = {f"edgecifar/recipes/{path.name}" for path in (checkout / "recipes").glob("*.toml")}
    assert recipes
    assert {name for name in contents if name.startswith("edgecifar/")} == package | recipes
    assert "edgecifar/py.typed" in package
    assert any(name.startswith("edgecifar/data/sample/") for name in package)


def test_the_wheel_holds_nothing_else(contents: set[str]) -> None:
    about = {f"{DIST_INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    licences = {f"{DIST_INFO}/licenses/{name}" for name in ("LICENSE", "NOTICE")}
    assert {name for name in contents if not name.startswith("edgecifar/")} == about | licences


def test_an_installed_edgecifar_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "python", "-c", "import edgecifar; print(edgecifar.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_an_installed_edgecifar_lists_the_shipped_recipes(
    installed: Path, tmp_path: Path, checkout: Path
) -> None:
    listing = run(installed, tmp_path, "edgecifar", "recipes")
    assert all(path.stem in listing for path in (checkout / "recipes").glob("*.toml"))


def test_an_installed_edgecifar_does_the_whole_job(installed: Path, tmp_path: Path) -> None:
    short = ["--set", "training.epochs=1", "--no-compress"]
    run(
        installed,
        tmp_path,
        "python",
        "-P",
        "-m",
        "edgecifar",
        "train",
        "--recipe",
        "demo",
        *short,
        "--out",
        "runs/a",
    )
    assert (tmp_path / "runs/a/run.json").is_file()
    run(installed, tmp_path, "edgecifar", "export", "runs/a", "--format", "tflite", "--out", "bundle")
    assert (tmp_path / "bundle/manifest.json").is_file()
    run(installed, tmp_path, "edgecifar", "verify", "bundle", "--max-drop", "100pp")
    assert list(tmp_path.rglob("report.json"))
