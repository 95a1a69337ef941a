"""Named choices that the command line offers and stages share. Imports nothing, so that help is quick."""

from enum import StrEnum


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    """All local GPUs where there are any, else the CPU."""
    GPU = "gpu"
    CPU = "cpu"


class Source(StrEnum):
    """Where the images come from."""

    CIFAR10 = "cifar10"
    SAMPLE = "sample"
    FOLDER = "folder"


class RuntimeName(StrEnum):
    """An inference engine with its kernels, by the name of its adapter in `edgecifar.runtimes`."""

    KERAS = "keras"
    LITERT = "litert"
    LITERT_BUILTIN = "litert-builtin"
    LITERT_REFERENCE = "litert-reference"
    ORT_CPU = "ort-cpu"
    ORT_CUDA = "ort-cuda"


class Split(StrEnum):
    """Which images of a source."""

    TRAIN = "train"
    """The training images without those held out for validation."""
    VALIDATION = "validation"
    """Held out of the training images: everything that is chosen is chosen on these."""
    TEST = "test"
    """For the final figure alone."""


class Picture(StrEnum):
    """What `show` can draw."""

    DATA = "data"
    AUGMENTED = "augmented"
    PREDICTIONS = "predictions"
    MISTAKES = "mistakes"
