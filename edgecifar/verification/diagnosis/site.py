"""Site: where an app meets a model, which is where mistakes of embedding are made."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Preprocessing
from edgecifar.choices import Layout
from edgecifar.protocol import Array, LoadedModel
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.inputs import InputSpec


@dataclass(frozen=True, slots=True)
class Site:
    """A model, and how it is said to be fed and read."""

    model: LoadedModel
    feeding: Feeding
    class_names: tuple[str, ...]
    takes_pixels: bool = field(init=False)
    """Whether the input's bytes are the pixels (int8: less 128), so that an app need compute nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes_pixels", self._find_out())

    def _find_out(self) -> bool:
        info = self.model.input
        if info.dtype not in {"uint8", "int8"}:
            return False
        ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
        if isinstance(self.feeding.preprocessing, InputSpec):
            # Whatever size the model takes: each pixel stands for itself.
            encoded = info.quantize(self.feeding.preprocessing.apply(ramp)) if info.scale else ramp
        else:
            encoded = self.feeding.encode(ramp, info)
        moved = encoded.astype(np.int16) + (128 if info.dtype == "int8" else 0)
        return bool(np.array_equal(moved, ramp))

    @property
    def layout(self) -> Layout:
        """Order of the input's dimensions."""
        return self.feeding.layout("The model", self.model.input)

    @property
    def normalization(self) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
        """Scale, mean and std of (pixel × scale - mean) / std."""
        preprocessing = self.feeding.preprocessing
        if isinstance(preprocessing, Preprocessing):
            return 1.0, np.array([preprocessing.mean], np.float32), np.array([preprocessing.std], np.float32)
        return (
            preprocessing.scale,
            np.array(preprocessing.mean, np.float32),
            np.array(preprocessing.std, np.float32),
        )

    @property
    def is_normalized(self) -> bool:
        """Whether pixels are to be changed at all before the network computes with them."""
        scale, mean, std = self.normalization
        return not (scale == 1 and not mean.any() and (std == 1).all())

    def normalize(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (value × scale - mean) / std."""
        scale, mean, std = self.normalization
        normalized: NDArray[np.float32] = ((values * np.float32(scale) - mean) / std).astype(np.float32)
        return normalized

    def reorder(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns images in the size and order of colours that the model takes."""
        preprocessing = self.feeding.preprocessing
        return preprocessing.reorder(images) if isinstance(preprocessing, InputSpec) else images

    def tensor_of(self, values: NDArray[np.float32]) -> Array:
        """Returns the input tensor of an app that computed these values and converted them as the input asks.

        Bytes that stand for pixels are cut to whole numbers, as a cast does, within 0 to 255.

        Args:
            values: float32 (N, height, width, 3), in the model's order of colours.
        """
        info = self.model.input
        if self.takes_pixels:
            bytes_ = np.clip(np.trunc(values), 0, 255).astype(np.int16)
            tensor: Array = (bytes_ - (128 if info.dtype == "int8" else 0)).astype(info.dtype)
        else:
            tensor = info.quantize(values)
        return np.moveaxis(tensor, 3, 1) if self.layout is Layout.NCHW else tensor

    def right(self, images: NDArray[np.uint8]) -> Array:
        """Returns the input tensor that is said to be right."""
        return self.feeding.encode(images, self.model.input)

    def run(self, tensor: Array) -> Array:
        """Returns the model's raw outputs, (N, classes)."""
        return self.model.predict(np.ascontiguousarray(tensor))

    def read(self, raw: Array) -> NDArray[np.float32]:
        """Returns probabilities, as they are said to be read from the raw outputs."""
        return self.feeding.decode(raw, self.model.output)
