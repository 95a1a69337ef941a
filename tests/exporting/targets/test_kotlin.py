"""The Kotlin example, compiled against declarations of the classes that it uses."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edgecifar.exporting.targets import android

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that start Kotlin's compiler."""
    for tool in ("npm", "java"):
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} here")
    folder = tmp_path_factory.mktemp("kotlin")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / "npm" / name, folder / name)
    words = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
    done = subprocess.run(words, check=False, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    library = folder / "node_modules" / "kotlin-compiler" / "lib"
    return [
        "java",
        "-cp",
        f"{library}/*",
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        "-no-reflect",
        "-Werror",
    ]


@pytest.mark.embed
def test_the_kotlin_example_compiles(material, compiler, tmp_path):
    android.write(material, tmp_path / "android")
    sources = [*sorted((HERE / "stubs").glob("*.kt")), tmp_path / "android" / "Classifier.kt"]
    done = subprocess.run(
        [*compiler, "-d", str(tmp_path / "classes"), *map(str, sources)],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "classes" / "classifier" / "Classifier.class").is_file()
