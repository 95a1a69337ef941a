"""The Swift example: its syntax alone, since no package registry here has a Swift compiler."""

import pytest

from edgecifar.exporting.targets import ios


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


def test_the_readme_says_that_it_was_not_compiled(materials, tmp_path):
    ios.write(materials["pixels"], tmp_path / "ios")
    assert "not compiled" in (tmp_path / "ios" / "README.md").read_text()
