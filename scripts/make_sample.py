"""Writes the sample's sheets from the official CIFAR-10 archive.

    python scripts/make_sample.py --data-dir FOLDER [--out edgecifar/data/sample]

Takes about a minute, and writes the same bytes for the same Pillow and libwebp. The sheets in the package
were made with Pillow 13.0.0 and libwebp 1.6.0.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from edgecifar.artifacts.files import write_bytes
from edgecifar.data.cifar10 import CLASS_NAMES, IMAGE_SIZE, obtain_cifar10, read_cifar10
from edgecifar.data.sample import SAMPLE_FOLDER, choose_sample, sheet_path
from edgecifar.data.splitting import Half


def main() -> None:
    """Writes twenty sheets and prints their size."""
    parser = argparse.ArgumentParser(description="Write the sample from the official CIFAR-10 archive.")
    parser.add_argument("--data-dir", type=Path, help="archive, or folder that holds it")
    parser.add_argument("--out", type=Path, default=SAMPLE_FOLDER)
    arguments = parser.parse_args()

    location = obtain_cifar10(arguments.data_dir)
    size_bytes = 0
    for half in Half:
        official = read_cifar10(location, half)
        sample = official.select(choose_sample(official.labels, half))
        for label, name in enumerate(CLASS_NAMES):
            column = sample.images[sample.labels == label].reshape(-1, IMAGE_SIZE, 3)
            content = io.BytesIO()
            # Lossless: quality and method say only how long to search for a smaller file.
            Image.fromarray(np.ascontiguousarray(column)).save(
                content, "WEBP", lossless=True, quality=100, method=6
            )
            write_bytes(sheet_path(arguments.out, half, name), content.getvalue())
            size_bytes += len(content.getvalue())
    print(f"{arguments.out}: {size_bytes:,} bytes")


if __name__ == "__main__":
    main()
