"""Gallery: the images that a report shows, as PNG files in base64."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecifar.artifacts import Dataset

LARGEST = 96
"""Pixels of an image's longer side; larger ones are shrunk, to keep the report small."""


def encode_images(data: Dataset, places: Iterable[int]) -> dict[int, str]:
    """Returns PNG files in base64, by place in the split.

    Args:
        data: The images.
        places: Which of them, by place in the split; each once or several times.
    """
    rows = {int(place): row for row, place in enumerate(data.split_places)}
    return {place: _encode(data.images[rows[place]]) for place in sorted(set(places))}


def _encode(image: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, format="png", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
