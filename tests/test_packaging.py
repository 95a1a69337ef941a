"""The pinned versions, and the files that a release needs, belong together."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edgecifar

PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)", re.MULTILINE)
LOCKS = ["constraints.txt", "constraints-gpu.txt"]


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))


def pins(path: Path) -> dict[str, set[str]]:
    """The versions of each package in a lock file: one, or one for each marker."""
    found: dict[str, set[str]] = {}
    for match in PIN.finditer(path.read_text(encoding="utf-8")):
        found.setdefault(match["name"], set()).add(match["version"])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_address(checkout: Path, lock: str) -> None:
    text = (checkout / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), (
        "an option in a lock file binds it to one machine's set-up"
    )
    entries = text.replace("\\\n", " ").splitlines()
    pinned = [entry for entry in entries if not entry.startswith("#")]
    assert pinned
    for entry in pinned:
        assert PIN.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_within_its_range(
    project: dict[str, Any], checkout: Path, lock: str
) -> None:
    pinned = pins(checkout / lock)
    for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]:
        requirement = Requirement(text)
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), text


def test_the_gpu_lock_is_the_other_one_with_cuda_libraries(project: dict[str, Any], checkout: Path) -> None:
    plain, gpu = (pins(checkout / lock) for lock in LOCKS)
    # ONNX Runtime is older there, to share TensorFlow's CUDA; pyproject.toml says why.
    changed = {name for name in plain if gpu.get(name) != plain[name]}
    assert changed == {"onnxruntime-gpu"}
    added = set(gpu) - set(plain)
    assert added
    assert all(name.startswith("nvidia-") for name in added)
    assert not [name for name in added if name.endswith("-cu13")], (
        "CUDA 12 and 13 libraries overwrite each other"
    )
    for text in project["project"]["optional-dependencies"]["gpu"]:
        requirement = Requirement(text)
        versions = gpu[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), text


def test_release_files_are_there(project: dict[str, Any], checkout: Path) -> None:
    named = [project["project"]["readme"], *project["project"]["license-files"], "CHANGELOG.md"]
    for name in named:
        assert (checkout / name).read_text(encoding="utf-8").strip(), name
    assert "END OF TERMS AND CONDITIONS" in (checkout / "LICENSE").read_text(encoding="utf-8")


def test_the_changelog_knows_this_version(checkout: Path) -> None:
    headings = re.findall(
        r"^## \[(.+?)\]", (checkout / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] in {"Unreleased", edgecifar.__version__}
