from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data.folder import read_folder, read_image
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from tests.data.conftest import Recorder


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def flat(root: Path, images: int = 10) -> None:
    """Writes classes "cat" and "dog"; the red of an image is its number, the blue its class."""
    for label, name in enumerate(("cat", "dog")):
        for number in range(images):
            save(root / name / f"{number:02}.png", (number, 0, label))


def reds(data: Dataset, label: int) -> list[int]:
    return [int(image[0, 0, 0]) for image in data.images[data.labels == label]]


def test_own_test_folder(tmp_path: Path, recorder: Recorder) -> None:
    for half, images in (("train", 3), ("test", 2)):
        flat(tmp_path / half, images)
    train = read_folder(tmp_path, 8, Half.TRAIN, recorder)
    test = read_folder(tmp_path, 8, Half.TEST)
    assert train.class_names == test.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert train.images[:, 0, 0, 2].tolist() == train.labels.tolist()
    assert reds(train, 0) == [0, 1, 2]
    assert (train.source, train.split, test.split) == (str(tmp_path), "train", "test")
    assert train.images.flags.c_contiguous
    assert train.labels.dtype == np.int64
    assert recorder.tasks == [(f"Reading {tmp_path}", 6, "images")]
    assert recorder.advanced == 6
    assert recorder.said == []


@pytest.mark.parametrize("below", ["", "train"])
def test_without_test_folder_a_tenth_is_held_out(below: str, tmp_path: Path) -> None:
    flat(tmp_path / below, images=20)
    train, test = read_folder(tmp_path, 8, Half.TRAIN), read_folder(tmp_path, 8, Half.TEST)
    for label in (0, 1):
        assert len(reds(test, label)) == 2
        assert sorted(reds(train, label) + reds(test, label)) == list(range(20))
    assert read_folder(tmp_path, 8, Half.TEST).fingerprint == test.fingerprint


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "tram"):
        for number in range(10):
            save(tmp_path / name / f"{number}.png", (number, 0, 0))
    assert read_folder(tmp_path, 8, Half.TRAIN).class_names == ("train", "tram")


def test_what_is_not_used_is_said(tmp_path: Path, recorder: Recorder) -> None:
    for half in ("train", "test", "extra"):
        flat(tmp_path / half, 2)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    assert len(read_folder(tmp_path, 8, Half.TRAIN, recorder)) == 4
    assert any("not used: extra" in message for message in recorder.said)
    assert any("notes.txt" in message for message in recorder.said)


def test_hidden_files_and_folders_are_left_out(tmp_path: Path, recorder: Recorder) -> None:
    flat(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "._00.png").write_bytes(b"not an image")
    assert len(read_folder(tmp_path, 8, Half.TRAIN, recorder)) == 18
    assert recorder.said == []


def test_empty_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class folders") as caught:
        read_folder(tmp_path, 8, Half.TRAIN)
    assert "ROOT/CLASS/" in caught.value.mend


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such folder\."):
        read_folder(tmp_path / "nowhere", 8, Half.TRAIN)


def test_a_root_that_may_not_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", forbid)
    with pytest.raises(DataError, match=r"cannot be searched for images \(Permission denied\)"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_images_without_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(DataError, match="no class folders"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_one_class(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png", (0, 0, 0))
    with pytest.raises(DataError, match="only one class folder, cat"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_a_class_without_images(tmp_path: Path) -> None:
    flat(tmp_path)
    (tmp_path / "emu").mkdir()
    with pytest.raises(DataError, match=r"emu: there are no images in this class folder"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_a_class_too_small_for_a_test_image(tmp_path: Path) -> None:
    flat(tmp_path, images=4)
    with pytest.raises(DataError, match="class cat has 4 images"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_test_classes_must_be_the_training_classes(tmp_path: Path) -> None:
    flat(tmp_path / "train")
    flat(tmp_path / "test")
    save(tmp_path / "test" / "emu" / "a.png", (0, 0, 0))
    with pytest.raises(DataError, match="train and test have different classes; only one has: emu"):
        read_folder(tmp_path, 8, Half.TRAIN)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    for half in Half:
        flat(tmp_path / half)
    (tmp_path / "train" / "cat" / "03.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"03\.png: cannot be read as an image \(of no known format\)"):
        read_folder(tmp_path, 8, Half.TRAIN)


# One image


def write_gradient(path: Path, mode: str, **options: object) -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    Image.fromarray(ramp).convert("RGB").convert(mode).save(path, **options)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "1"),
        ("a.png", "L"),
        ("a.png", "LA"),
        ("a.png", "P"),
        ("a.png", "RGB"),
        ("a.png", "RGBA"),
        ("a.tif", "CMYK"),
        ("a.tif", "YCbCr"),
        ("a.jpg", "RGB"),
        ("a.jpg", "L"),
        ("a.jpg", "CMYK"),
        ("a.bmp", "RGB"),
        ("a.gif", "P"),
        ("a.webp", "RGB"),
    ],
)
def test_every_mode_becomes_rgb(name: str, mode: str, tmp_path: Path) -> None:
    write_gradient(tmp_path / name, mode)
    pixels = read_image(tmp_path / name, 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    ramp = np.linspace(0, 255, 16)
    # Dithering, compression and a palette move single pixels; the ramp as a whole stays.
    assert np.abs(pixels.mean(axis=(0, 2)) - ramp).max() < 30


def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 16), pixels)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 8).min() == 255
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 1)
    palette.save(tmp_path / "p.png", transparency=b"\x00\xff")
    pixels = read_image(tmp_path / "p.png", 8)
    assert pixels[0, 0].tolist() == [40, 50, 60]
    assert pixels[0, 1].tolist() == [255, 255, 255]


def test_sixteen_bit_greys_keep_their_range(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 0x8000, 0xFFFF]] * 5, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 5)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: .*mode F"):
        read_image(tmp_path / "a.tif", 4)


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 8, 4))  # White above, stored lying on its side.
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_image(tmp_path / "a.png", 8)
    assert pixels[:, 4:].min() == 255
    assert pixels[:, :4].max() == 0


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.tif"])
def test_a_truncated_image_is_named(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name}: cannot be read as an image"):
        read_image(tmp_path / name, 8)


@pytest.mark.parametrize("limit", [2_000, 4_000])
def test_a_decompression_bomb_is_refused(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns above its limit and refuses above twice its limit: both are refused here."""
    save(tmp_path / "a.png", (0, 0, 0), size=(80, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"a\.png: cannot be read as an image \(.*decompression bomb"):
        read_image(tmp_path / "a.png", 8)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: cannot be read as an image \(No such file or directory\)"):
        read_image(tmp_path / "a.png", 8)
