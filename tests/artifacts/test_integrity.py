import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecifar.artifacts import integrity
from edgecifar.artifacts.integrity import check_bundle
from edgecifar.errors import ModelError


def pack_zip(folder: Path, out: Path, top: str = "") -> Path:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, top + path.relative_to(folder).as_posix())
    return out


def pack_tar(folder: Path, out: Path, top: str = "./") -> Path:
    with tarfile.open(out, "w:gz") as archive:
        archive.add(folder, top)
    return out


def as_folder(folder: Path, _out: Path) -> Path:
    return folder


def as_zip(folder: Path, out: Path) -> Path:
    return pack_zip(folder, out / "bundle.zip")


def as_tar(folder: Path, out: Path) -> Path:
    return pack_tar(folder, out / "bundle.tar.gz")


@pytest.fixture(params=[as_folder, as_zip, as_tar], ids=["folder", "zip", "tar.gz"])
def checked(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], integrity.CheckedBundle]:
    """Checks the bundle as it is when this is called, in each of its forms."""
    out = tmp_path_factory.mktemp("packed")
    return lambda: check_bundle(request.param(bundle, out))


def test_a_whole_bundle_passes(checked: Callable[[], integrity.CheckedBundle], bundle: Path) -> None:
    result = checked()
    assert result.manifest.name == "garden"
    assert result.uncovered == ()
    names = ("reference.keras", "model.int8.tflite", "labels.txt")
    assert result.size_bytes == sum((bundle / name).stat().st_size for name in names)


@pytest.mark.parametrize("name", ["reference.keras", "labels.txt"])
def test_one_bit_is_found(name: str, checked: Callable[[], object], bundle: Path) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} was altered"):
        checked()


def test_a_missing_file_is_found(checked: Callable[[], object], bundle: Path) -> None:
    (bundle / "labels.txt").unlink()
    with pytest.raises(ModelError, match=r"labels\.txt is missing"):
        checked()


@pytest.mark.parametrize("name", ["run.sh", "sub/run.sh", "reports/x", "manifest.json~"])
def test_an_unlisted_file_is_found(name: str, checked: Callable[[], object], bundle: Path) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"")
    with pytest.raises(ModelError, match=f"{name} is not in the manifest"):
        checked()


def test_all_problems_are_counted(checked: Callable[[], object], bundle: Path) -> None:
    for index in range(8):
        (bundle / f"extra{index}").touch()
    with pytest.raises(ModelError, match=r"extra4 is not in the manifest; and 3 more"):
        checked()


def test_the_report_is_told_apart(checked: Callable[[], integrity.CheckedBundle], bundle: Path) -> None:
    (bundle / "report").mkdir()
    (bundle / "report" / "report.md").write_text("later")
    assert checked().uncovered == ("report/report.md",)


def test_a_newer_schema_is_refused(checked: Callable[[], object], bundle: Path) -> None:
    table = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(table | {"schema_version": 3}))
    with pytest.raises(ModelError, match="3 is newer than 2"):
        checked()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"name":', '"name": "other", "name":', "has the key 'name' twice"),
        ('"sha256":', '"sha256": "00", "sha256":', "has the key 'sha256' twice"),
        ('"schema_version": 2,', "", "does not say which schema"),
    ],
)
def test_a_manifest_that_others_could_read_otherwise_is_refused(
    old: str, new: str, told: str, checked: Callable[[], object], bundle: Path
) -> None:
    text = (bundle / "manifest.json").read_text()
    assert old in text
    (bundle / "manifest.json").write_text(text.replace(old, new, 1))
    with pytest.raises(ModelError, match=told):
        checked()


def test_a_manifest_that_names_a_path_outside_is_refused(checked: Callable[[], object], bundle: Path) -> None:
    table = json.loads((bundle / "manifest.json").read_text())
    table["files"][0]["file"] = "../labels.txt"
    (bundle / "manifest.json").write_text(json.dumps(table))
    with pytest.raises(ModelError, match="leads out of the bundle"):
        checked()


def test_a_link_is_refused(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Its content is the right one: it is refused all the same.
    outside = tmp_path_factory.mktemp("outside") / "labels.txt"
    shutil.move(bundle / "labels.txt", outside)
    (bundle / "labels.txt").symlink_to(outside)
    with pytest.raises(ModelError, match="is a link or device"):
        check_bundle(bundle)
    with pytest.raises(ModelError, match="is a link or device"):
        check_bundle(pack_tar(bundle, outside.with_name("b.tar.gz")))


@pytest.mark.parametrize("top", ["garden/", "a b/"])
def test_one_folder_around_the_bundle_is_looked_through(
    top: str, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("packed")
    assert check_bundle(pack_zip(bundle, out / "b.zip", top)).manifest.name == "garden"
    assert check_bundle(pack_tar(bundle, out / "b.tar.gz", top)).manifest.name == "garden"


HOSTILE = ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:evil"]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_that_leads_outside_is_refused(
    name: str, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("packed")
    packed = pack_zip(bundle, out / "b.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "evil")
    with pytest.raises(ModelError, match="leads out of the bundle"):
        check_bundle(packed)
    with tarfile.open(out / "b.tar", "w") as archive:
        archive.add(bundle, ".")
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(ModelError, match="leads out of the bundle"):
        check_bundle(out / "b.tar")


def test_the_same_name_twice_in_an_archive_is_refused(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = pack_zip(bundle, tmp_path_factory.mktemp("packed") / "b.zip")
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(packed, "a") as archive,
    ):
        archive.write(bundle / "labels.txt", "labels.txt")
    with pytest.raises(ModelError, match=r"labels\.txt is there twice"):
        check_bundle(packed)


def test_a_damaged_archive_is_told(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    packed = pack_tar(bundle, tmp_path_factory.mktemp("packed") / "b.tar.gz")
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(ModelError, match="the archive is damaged"):
        check_bundle(packed)


@pytest.mark.parametrize("kind", ["stored", "deflate", "bzip2", "lzma", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_no_damage_is_a_traceback(kind: str, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    methods = {
        "stored": zipfile.ZIP_STORED,
        "deflate": zipfile.ZIP_DEFLATED,
        "bzip2": zipfile.ZIP_BZIP2,
        "lzma": zipfile.ZIP_LZMA,
    }
    packed = tmp_path_factory.mktemp("packed") / f"b.{kind}"
    if kind in methods:
        with zipfile.ZipFile(packed, "w", methods[kind]) as archive:
            for path in bundle.iterdir():
                archive.write(path, path.name)
    else:
        with tarfile.open(packed, f"w:{kind.removeprefix('tar').removeprefix('.')}") as archive:
            archive.add(bundle, "garden")
    whole = packed.read_bytes()
    assert check_bundle(packed).manifest.name == "garden"
    told = 0
    for place in range(0, len(whole), max(1, len(whole) // 100)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            packed.write_bytes(damaged)
            try:
                check_bundle(packed)
            except ModelError as error:
                told += error.problem.startswith(f"{packed}: ")
    assert told > 60


def test_a_file_that_may_not_be_read_is_no_damage(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        check_bundle(bundle)


def test_what_unpacks_to_too_much_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = pack_zip(bundle, tmp_path_factory.mktemp("packed") / "b.zip")
    monkeypatch.setattr(integrity, "LARGEST_BUNDLE", 20)
    with pytest.raises(ModelError, match="unpacks to more than 20 bytes"):
        check_bundle(packed)
    monkeypatch.setattr(integrity, "LARGEST_MANIFEST", 20)
    with pytest.raises(ModelError, match="no manifest is"):
        check_bundle(packed)


@pytest.mark.parametrize("name", ["nothing", "text"])
def test_what_is_no_bundle_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match=r"(no such file|neither a folder nor)"):
        check_bundle(tmp_path / name)
    with pytest.raises(ModelError, match="not a bundle"):
        check_bundle(tmp_path)
