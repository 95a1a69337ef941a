import base64
import io

import numpy as np
from PIL import Image

from edgecifar.artifacts import Dataset
from edgecifar.verification.gallery import LARGEST, encode_images


def _data(size: int) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (6, size, size, 3)).astype(np.uint8)
    return Dataset(images, np.zeros(6, np.int64), ("ant",), "made by hand", "test")


def test_images_go_by_their_place_in_the_split_and_keep_every_pixel() -> None:
    data = _data(8)
    found = encode_images(data.select(np.array([1, 4])), [4, 4])
    assert list(found) == [4]
    with Image.open(io.BytesIO(base64.b64decode(found[4]))) as image:
        assert np.array_equal(np.asarray(image), data.images[4])


def test_large_images_are_shrunk() -> None:
    found = encode_images(_data(200), [0])
    with Image.open(io.BytesIO(base64.b64decode(found[0]))) as image:
        assert image.size == (LARGEST, LARGEST)
