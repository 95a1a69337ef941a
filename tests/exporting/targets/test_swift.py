"""The Swift example: its syntax and, with a compiler, its types against declarations of what it uses."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edgecifar.exporting.targets import ios

STUBS = Path(__file__).parent / "stubs"
WORDS = ("swiftc", "-warnings-as-errors", "-parse-as-library", "-emit-module")


def faults(node):
    found = [node] if node.type == "ERROR" or node.is_missing else []
    return found + [fault for child in node.children for fault in faults(child)]


@pytest.fixture(scope="module")
def parse():
    reason = "needs the packages tree-sitter and tree-sitter-swift"
    tree_sitter = pytest.importorskip("tree_sitter", reason=reason)
    swift = pytest.importorskip("tree_sitter_swift", reason=reason)
    parser = tree_sitter.Parser(tree_sitter.Language(swift.language()))
    return lambda text: faults(parser.parse(text).root_node)


def test_the_syntax_is_swifts(material, parse, tmp_path):
    ios.write(material, tmp_path / "ios")
    sources = sorted((tmp_path / "ios").glob("*.swift"))
    assert [path.stem for path in sources] == ["Classifying", "LiteRTClassifier", "OnnxClassifier"]
    for path in sources:
        assert parse(path.read_bytes()) == []
    assert parse(b"func broken( {") != []


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A folder with the modules that the example imports and that only Apple's systems and CocoaPods have."""
    if not shutil.which("swiftc"):
        pytest.skip("there is no swiftc here (Debian 13: apt install swiftlang)")
    folder = tmp_path_factory.mktemp("modules")
    for stub in sorted(STUBS.glob("*.swift")):
        compile_swift(stub.stem, folder, [stub])
    return folder


def compile_swift(name, folder, sources):
    words = (*WORDS, "-I", folder, "-module-name", name, "-emit-module-path", folder / f"{name}.swiftmodule")
    done = subprocess.run(
        [*map(str, (*words, *sources))], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.embed
def test_the_example_compiles(material, modules, tmp_path):
    ios.write(material, tmp_path / "ios")
    compile_swift("App", modules, sorted((tmp_path / "ios").glob("*.swift")))
    broken = tmp_path / "broken.swift"
    broken.write_text("let wrong: Int = Data()\n")
    with pytest.raises(AssertionError, match="cannot find 'Data'"):
        compile_swift("Broken", modules, [broken])


def test_the_readme_says_that_it_was_not_run(materials, tmp_path):
    ios.write(materials["pixels"], tmp_path / "ios")
    assert "not run" in (tmp_path / "ios" / "README.md").read_text()
