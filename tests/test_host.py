from pathlib import Path

import pytest

from edgecifar import host

X86 = """processor\t: 0
model name\t: Some CPU @ 2.50GHz
flags\t\t: fpu sse4_2 avx512f fma avx2 avx512_vnni

processor\t: 1
model name\t: Another CPU
flags\t\t: amx_int8
"""
ARM64 = """processor\t: 0
Features\t: fp asimd asimddp i8mm
CPU implementer\t: 0x41
"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /proc/cpuinfo; it is not there yet."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(host, "Path", lambda _: path)
    monkeypatch.setattr(host, "core_count", lambda: 4)
    return path


def test_x86(cpuinfo: Path) -> None:
    cpuinfo.write_text(X86)
    assert host.cpu_name() == "Some CPU @ 2.50GHz, 4 cores"
    # Of the first core, in our order, without those that change nothing.
    assert host.cpu_flags() == ("sse4_2", "avx2", "fma", "avx512f", "avx512_vnni")


def test_arm64_has_features_and_no_model_name(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo.write_text(ARM64)
    monkeypatch.setattr(host.platform, "processor", lambda: "")
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    assert host.cpu_name() == "aarch64, 4 cores"
    assert host.cpu_flags() == ("asimddp", "i8mm")


def test_a_system_that_does_not_tell(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cpuinfo.exists()
    monkeypatch.setattr(host.platform, "processor", lambda: "arm")
    assert host.cpu_name() == "arm, 4 cores"
    assert host.cpu_flags() == ()


def test_this_machine_has_a_core() -> None:
    assert host.core_count() >= 1


def test_without_a_home_folder_the_cache_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(host.Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(FileNotFoundError, match="set HOME or XDG_CACHE_HOME"):
        host.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert host.cache_folder() == Path("/somewhere/edgecifar")
