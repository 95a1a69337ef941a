"""The classic mistakes of embedding a classifier, one small object each."""

import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecifar.choices import Layout
from edgecifar.protocol import Array
from edgecifar.verification.diagnosis.site import Site

Images = NDArray[np.uint8]
Scores = NDArray[np.float32]

NEAR_BLACK = "cast to bytes, small numbers make the same near-black image whatever they were: see 0 to 1"


class Mistake(ABC):
    """What an app does wrong."""

    name: ClassVar[str]
    finding: ClassVar[str]
    """What an app does whose logged outputs it explains."""
    wanted: ClassVar[str]
    """What the model wants where the mistake restores its accuracy: what is said of it is then wrong."""
    mend: ClassVar[str]

    def excluded(self, site: Site) -> str | None:
        """Returns why this model cannot show the mistake, or None where it can."""
        return None


class InputMistake(Mistake):
    """One on the way from the image to the input tensor."""

    @abstractmethod
    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """Yields each form of the mistake: what it is, and the input tensor.

        Args:
            site: The model.
            images: uint8 (N, height, width, 3), RGB.
        """


class OutputMistake(Mistake):
    """One on the way from the output tensor to the class's name."""

    @abstractmethod
    def scores(self, site: Site, raw: Array, target: Scores) -> Iterator[tuple[str, Scores]]:
        """Yields each form of the mistake: what it is, and the scores that the app sees.

        Args:
            site: The model.
            raw: Its outputs for the right input, (N, classes).
            target: What is to be explained, (N, classes).
        """


class NoNormalization(InputMistake):
    """Pixels of 0-255 where normalized values are due."""

    name = "no normalization"
    finding = "The app feeds pixels of 0 to 255 as they are."
    wanted = "The model wants pixels of 0 to 255 as they are: try --scale 1."
    mend = "Scale the pixels as the preprocessing says."

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        if site.takes_pixels:
            return "its input takes the pixels as they are"
        return None if site.is_normalized else "pixels as they are is what is said to be right"

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        yield "", site.tensor_of(site.reorder(images).astype(np.float32))


class ZeroToOne(InputMistake):
    """Pixels divided by 255 where something else is due."""

    name = "0 to 1"
    finding = "The app divides the pixels by 255, which this model does not expect."
    wanted = "The model wants pixels of 0 to 1: try --scale 1/255."
    mend = "Feed the pixels in the range that the preprocessing says."

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        ramp = np.arange(256, dtype=np.float32).reshape(-1, 1)
        if not site.takes_pixels and np.allclose(site.normalize(ramp), ramp / 255, atol=1e-3):
            return "0 to 1 is what is said to be right"
        return None

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        yield "", site.tensor_of(site.reorder(images).astype(np.float32) / np.float32(255))


class MinusOneToOne(InputMistake):
    """Pixels scaled to -1 to 1 where something else is due."""

    name = "−1 to 1"
    finding = "The app scales the pixels to −1 to 1, which this model does not expect."
    wanted = "The model wants pixels of −1 to 1: try --scale 1/127.5 --mean 1 --std 1."
    mend = ZeroToOne.mend

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        if site.takes_pixels:
            return NEAR_BLACK
        ramp = np.arange(256, dtype=np.float32).reshape(-1, 1)
        if np.allclose(site.normalize(ramp), ramp / 127.5 - 1, atol=0.02):
            return "−1 to 1 is what is said to be right, within a fiftieth"
        return None

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        yield "", site.tensor_of(site.reorder(images).astype(np.float32) / np.float32(127.5) - 1)


class NormalizedTwice(InputMistake):
    """Mean and std applied to what has been normalized already."""

    name = "normalized twice"
    finding = "Mean and std are applied twice: by two steps of the app, or by the app and the model's file."
    wanted = "The model wants values that have been normalized twice."
    mend = "Leave one of them out."

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        if site.takes_pixels:
            return NEAR_BLACK
        return None if site.is_normalized else "there is no normalization to apply twice"

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        once = site.normalize(site.reorder(images).astype(np.float32))
        yield "", site.tensor_of(site.normalize(once))


class SwappedColours(InputMistake):
    """BGR for RGB, or back."""

    name = "red and blue swapped"
    finding = "The app feeds the colours in the other order: BGR for RGB, as OpenCV reads images, or back."
    wanted = "The model wants the colours in the other order: try --channels bgr."
    mend = "Swap the first and the third channel."

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        yield "", site.right(images[..., ::-1])


class WrongLayout(InputMistake):
    """The memory of one order of dimensions read in the other."""

    name = "channels first for last"
    finding = (
        "The tensor's memory is in the other layout: channels first where the model reads them last, or back."
    )
    wanted = "The model wants its memory in the other layout."
    mend = "Transpose the image before it is copied into the input tensor; a reshape does not."

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        tensor = site.right(images)
        source, goal = (1, 3) if site.layout is Layout.NCHW else (3, 1)
        yield "", np.ascontiguousarray(np.moveaxis(tensor, source, goal)).reshape(tensor.shape)


class WrongSign(InputMistake):
    """Bytes of uint8 read as int8, or back."""

    name = "uint8 for int8"
    finding = "The input's bytes are taken with the wrong sign: uint8 written where int8 is read, or back."
    wanted = "The model wants its input's bytes with the other sign."
    mend = "Subtract 128 from pixels for an int8 input, and nothing for a uint8 one."

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        return None if site.model.input.dtype in {"uint8", "int8"} else "its input is not of bytes"

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        tensor = np.ascontiguousarray(site.right(images))
        yield "", (tensor.view(np.uint8) ^ np.uint8(128)).view(tensor.dtype)


class LossyResize(InputMistake):
    """An image that came through another size by a filter of its own."""

    name = "resized on the way"
    finding = "The image came through another size, by another filter than the model was trained with."
    wanted = "The model wants images that came through another size."
    mend = (
        "Resize once, to the model's size, with the filter that training used, antialiased where it shrinks."
    )

    SIZES = (0.75, 1.25, 2, 3, 7)
    """Times the model's size: thumbnails, previews, and the 224 pixels of ImageNet for images of 32."""
    FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        height, width = images.shape[1:3]
        for factor, there, back in itertools.product(self.SIZES, self.FILTERS, self.FILTERS):
            between = round(width * factor), round(height * factor)
            resized = np.stack(
                [
                    np.asarray(Image.fromarray(image).resize(between, there).resize((width, height), back))
                    for image in images
                ]
            )
            # Pixels that were repeated and then picked or averaged again are what they were.
            if not np.array_equal(resized, images):
                size = f"{between[0]}×{between[1]}"
                yield f"to {size} {there.name.lower()}, back {back.name.lower()}", site.right(resized)


class JpegCompressed(InputMistake):
    """An image that came through JPEG."""

    name = "JPEG"
    finding = "The image was compressed as JPEG on the way."
    wanted = "The model wants images that came through JPEG."
    mend = "Hand the model the camera's pixels, or train it with JPEG among its augmentations."

    QUALITIES = range(20, 100, 5)

    def tensors(self, site: Site, images: Images) -> Iterator[tuple[str, Array]]:
        """See `InputMistake.tensors`."""
        for quality in self.QUALITIES:
            yield (
                f"about quality {quality}",
                site.right(np.stack([_through_jpeg(image, quality) for image in images])),
            )


class NotDequantized(OutputMistake):
    """The integers of the output taken for probabilities."""

    name = "output not dequantized"
    finding = "The app takes the output's integers for its values."
    wanted = "The model's integers are its probabilities."
    mend = "probability = (integer − zero point) × scale, with the output's own scale and zero point."

    def excluded(self, site: Site) -> str | None:
        """See `Mistake.excluded`."""
        if np.issubdtype(np.dtype(site.model.output.dtype), np.integer):
            return None
        return "its output is of floats"

    def scores(self, site: Site, raw: Array, target: Scores) -> Iterator[tuple[str, Scores]]:
        """See `OutputMistake.scores`."""
        yield f"as {raw.dtype}", raw.astype(np.float32)
        if raw.dtype.itemsize == 1:
            other = np.ascontiguousarray(raw).view(np.int8 if raw.dtype == np.uint8 else np.uint8)
            yield f"{raw.dtype} read as {other.dtype}", other.astype(np.float32)


class LabelsShifted(OutputMistake):
    """A list of labels with an entry too many or too few at its head."""

    name = "labels shifted by one"
    finding = "The labels are off by one: the list has an entry such as background too many, or lacks one."
    wanted = "The model's outputs are off by one against the labels: its list has an entry more or fewer."
    mend = "Use the labels that came with the model."

    def scores(self, site: Site, raw: Array, target: Scores) -> Iterator[tuple[str, Scores]]:
        """See `OutputMistake.scores`."""
        for step in (1, -1):
            yield f"by {step:+d}", np.roll(site.read(raw), step, axis=1)


class LabelsReordered(OutputMistake):
    """A list of labels in some other order, which is found out."""

    name = "labels in another order"
    finding = "The labels are in another order than the model's outputs."
    wanted = "The model's outputs are in another order than the labels."
    mend = LabelsShifted.mend

    def scores(self, site: Site, raw: Array, target: Scores) -> Iterator[tuple[str, Scores]]:
        """See `OutputMistake.scores`."""
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        scores = site.read(raw)
        # How far column i of the outputs is from column j of what was seen.
        columns, places = linear_sum_assignment(cdist(scores.T, target.T, "cityblock"))
        moved = np.empty_like(scores)
        moved[:, places] = scores[:, columns]
        names = [
            f"{site.class_names[column]} is called {site.class_names[place]}"
            for column, place in zip(columns, places, strict=True)
            if column != place
        ]
        yield ("; ".join(names[:3]) + (" …" if len(names) > 3 else "")), moved


def _through_jpeg(image: Images, quality: int) -> Images:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


MISTAKES: tuple[InputMistake | OutputMistake, ...] = (
    NoNormalization(),
    ZeroToOne(),
    MinusOneToOne(),
    NormalizedTwice(),
    SwappedColours(),
    WrongLayout(),
    WrongSign(),
    NotDequantized(),
    LabelsShifted(),
    LossyResize(),
    JpegCompressed(),
    LabelsReordered(),
)
"""Among those that explain as much, the first is the simplest."""
