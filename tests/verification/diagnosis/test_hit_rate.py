"""The diagnosis's own hit rate: each mistake made in each shipped model, by code that shares nothing with it.

    pytest tests/verification/diagnosis/test_hit_rate.py -s

prints the rate by mistake.
"""

import io
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecifar.artifacts import Bundle, Dataset, Preprocessing
from edgecifar.artifacts.bundle import ArtifactEntry
from edgecifar.artifacts.diagnosis import Conclusion
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.protocol import LoadedModel
from edgecifar.runtimes import get_runtime
from edgecifar.verification.diagnosis import Logged, Site, diagnose, try_mistakes
from edgecifar.verification.feeding import Feeding

IMAGES = 40
DIAGNOSED_IN = {".tflite": "litert", ".onnx": "ort-cpu", ".keras": "keras"}
LOGGED_IN = {".tflite": "litert-builtin", ".onnx": "ort-cpu", ".keras": "keras"}
"""The app's kernels are others where there are others."""

Pixels = NDArray[np.uint8]


class App:
    """An app with a mistake, written out by hand for the three inputs that the bundles have."""

    def __init__(self, model: LoadedModel, preprocessing: Preprocessing, seed: int) -> None:
        self.model = model
        self.mean, self.std = np.float32(preprocessing.mean), np.float32(preprocessing.std)
        self.takes_bytes = model.input.dtype == "uint8"
        self.rng = np.random.default_rng(seed)

    def cast(self, values: NDArray[np.float32]) -> NDArray[np.generic]:
        if self.takes_bytes:
            return np.minimum(np.maximum(values, 0), 255).astype(np.uint8)
        return values.astype(np.float32)

    def tensor(self, pixels: Pixels) -> NDArray[np.generic]:
        return pixels if self.takes_bytes else ((pixels - self.mean) / self.std).astype(np.float32)

    def log(self, tensor: NDArray[np.generic]) -> NDArray[np.float32]:
        raw = self.model.predict(tensor)
        info = self.model.output
        real = raw.astype(np.float32)
        return real if info.scale is None else (real - info.zero_point) * np.float32(info.scale)

    def no_normalization(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.log(pixels.astype(np.float32))

    def zero_to_one(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.log(self.cast(pixels / np.float32(255)))

    def minus_one_to_one(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.log(self.cast((pixels - np.float32(127.5)) / np.float32(127.5)))

    def normalized_twice(self, pixels: Pixels) -> NDArray[np.float32]:
        once = (pixels - self.mean) / self.std
        return self.log(self.cast((once - self.mean) / self.std))

    def bgr(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.log(self.tensor(np.stack([pixels[..., 2], pixels[..., 1], pixels[..., 0]], axis=-1)))

    def channels_first(self, pixels: Pixels) -> NDArray[np.float32]:
        tensor = self.tensor(pixels)
        memory = b"".join(tensor[i, :, :, c].tobytes() for i in range(len(tensor)) for c in range(3))
        return self.log(np.frombuffer(memory, tensor.dtype).reshape(tensor.shape))

    def wrong_sign(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.log(((pixels.astype(np.int16) + 128) % 256).astype(np.uint8))

    def raw_output(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.model.predict(self.tensor(pixels)).astype(np.float32)

    def shifted(self, pixels: Pixels) -> NDArray[np.float32]:
        scores = self.log(self.tensor(pixels))
        return np.concatenate([scores[:, -1:], scores[:, :-1]], axis=1)

    def reordered(self, pixels: Pixels) -> NDArray[np.float32]:
        order = self.rng.permutation(10)
        return self.log(self.tensor(pixels))[:, order]

    def resized(self, pixels: Pixels) -> NDArray[np.float32]:
        filters = [Image.Resampling.BILINEAR, Image.Resampling.NEAREST]
        while True:
            size = int(self.rng.choice([24, 27, 40, 48, 96, 224]))
            there, back = self.rng.choice(filters, 2)
            through = np.stack(
                [
                    np.asarray(
                        Image.fromarray(image).resize((size, size), int(there)).resize((32, 32), int(back))
                    )
                    for image in pixels
                ]
            )
            # Pixels that are repeated and picked again are no mistake.
            if not np.array_equal(through, pixels):
                return self.log(self.tensor(through))

    def jpeg(self, pixels: Pixels) -> NDArray[np.float32]:
        quality = int(self.rng.choice([42, 58, 67, 73, 81, 88, 92]))
        read = []
        for image in pixels:
            file = io.BytesIO()
            Image.fromarray(image).save(file, format="jpeg", quality=quality)
            read.append(np.asarray(Image.open(file)))
        return self.log(self.tensor(np.stack(read)))


MADE: dict[str, Callable[[App, Pixels], NDArray[np.float32]]] = {
    "no normalization": App.no_normalization,
    "0 to 1": App.zero_to_one,
    "−1 to 1": App.minus_one_to_one,
    "normalized twice": App.normalized_twice,
    "red and blue swapped": App.bgr,
    "channels first for last": App.channels_first,
    "uint8 for int8": App.wrong_sign,
    "output not dequantized": App.raw_output,
    "labels shifted by one": App.shifted,
    "labels in another order": App.reordered,
    "resized on the way": App.resized,
    "JPEG": App.jpeg,
}


def feeding_of(bundle: Bundle, entry: ArtifactEntry) -> Feeding:
    raw = entry.raw_pixels and entry.input.scale is None
    return Feeding(bundle.manifest.preprocessing, raw_pixels=raw, output_step=entry.output_step)


@pytest.mark.slow
def test_the_mistake_that_was_made_ranks_first_in_95_of_100(checkout: Path) -> None:
    data = read_sample(Half.TEST)
    data = Dataset(
        data.images[:: len(data) // IMAGES][:IMAGES], data.labels[:: len(data) // IMAGES][:IMAGES],
        data.class_names, data.source, data.split,
    )  # fmt: skip
    hits: dict[str, list[bool]] = defaultdict(list)
    reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sound, lines = [], list[str]()
    folders = sorted(path.parent for path in (checkout / "exported").glob("*/manifest.json"))
    assert folders
    for seed, folder in enumerate(folders):
        bundle = Bundle.open(folder)
        for entry in bundle.manifest.artifacts:
            path = folder / entry.file
            logged_in = get_runtime(LOGGED_IN[path.suffix]).load(path, 2)
            model = get_runtime(DIAGNOSED_IN[path.suffix]).load(path, 2)
            site = Site(model, feeding_of(bundle, entry), data.class_names)
            app = App(logged_in, bundle.manifest.preprocessing, seed)
            trials = try_mistakes(entry.file, site, data)
            right = diagnose(entry.file, trials, Logged(app.log(app.tensor(data.images)), "right"))
            sound.append(right.conclusion is Conclusion.SOUND)
            impossible = dict(right.excluded)
            for name, make in MADE.items():
                if name in impossible:
                    reasons[name][impossible[name]] += 1
                    continue
                found = diagnose(entry.file, trials, Logged(make(app, data.images), name))
                hits[name].append(found.ranking[0].name == name and found.conclusion is Conclusion.MISTAKE)
                if not hits[name][-1]:
                    first = found.ranking[0].name
                    lines.append(f"missed: {folder.name}/{entry.file}: {name}: {first} ({found.conclusion})")
    for name in MADE:
        left_out = "; ".join(f"{count} left out: {reason}" for reason, count in reasons[name].items())
        lines.append(f"{name:26} {sum(hits[name]):3} of {len(hits[name]):3}   {left_out}")
    total = [hit for of_one in hits.values() for hit in of_one]
    lines.append(f"{'all':26} {sum(total):3} of {len(total):3} = {100 * np.mean(total):.1f} %")
    lines.append(f"{'nothing wrong':26} {sum(sound):3} of {len(sound):3} called sound")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert np.mean(total) >= 0.95
    assert all(sound)
    assert all(hits[name] for name in MADE)
