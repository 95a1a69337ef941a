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
    NPZ = "npz"
    """A NumPy archive of images and labels; for verifying, not for training."""


class Layout(StrEnum):
    """The order of an image tensor's dimensions."""

    NHWC = "nhwc"
    """Channels last, as TensorFlow has them."""
    NCHW = "nchw"
    """Channels first, as PyTorch has them."""


class Channels(StrEnum):
    """The order of an image's colours."""

    RGB = "rgb"
    BGR = "bgr"
    """As OpenCV reads images."""


class RuntimeName(StrEnum):
    """An inference engine with its kernels, by the name of its adapter in `edgecifar.runtimes`."""

    KERAS = "keras"
    LITERT = "litert"
    LITERT_BUILTIN = "litert-builtin"
    LITERT_REFERENCE = "litert-reference"
    LITERT_WEB = "litert-web"
    TFLM = "tflm"
    ORT_CPU = "ort-cpu"
    ORT_CPU_HASWELL = "ort-cpu-haswell"
    ORT_CPU_NEHALEM = "ort-cpu-nehalem"
    ORT_CPU_ARM64 = "ort-cpu-arm64"
    ORT_CUDA = "ort-cuda"
    ORT_TENSORRT = "ort-tensorrt"
    ORT_WEB = "ort-web"
    OPENVINO = "openvino"
    C = "c"
    """The C that edgecifar generates, compiled by gcc or clang on this machine."""
    C_M3 = "c-m3"
    """The same on an emulated Cortex-M3; and so on."""
    C_M4 = "c-m4"
    C_M33 = "c-m33"
    C_M55 = "c-m55"


class CpuLevel(StrEnum):
    """A CPU that ONNX Runtime can be run on in an emulator."""

    NEHALEM = "nehalem"
    """SSE4.2."""
    HASWELL = "haswell"
    """AVX2, without VNNI: where products of uint8 and int8 can saturate."""
    ARM64 = "arm64"
    """Cortex-A76: dot products, as phones and single-board computers have them."""


ALL_RUNTIMES = "all"
"""In the place of a runtime's name: each that reads the file and is on this machine."""


class Npu(StrEnum):
    """An Arm Ethos-U configuration, by Vela's name; the number is its multiply-adds in a cycle."""

    U55_32 = "ethos-u55-32"
    U55_64 = "ethos-u55-64"
    U55_128 = "ethos-u55-128"
    U55_256 = "ethos-u55-256"
    U65_256 = "ethos-u65-256"
    U65_512 = "ethos-u65-512"
    U85_128 = "ethos-u85-128"
    U85_256 = "ethos-u85-256"
    U85_512 = "ethos-u85-512"
    U85_1024 = "ethos-u85-1024"
    U85_2048 = "ethos-u85-2048"


class Numerics(StrEnum):
    """The engine whose bits generated C gives."""

    XNNPACK = "xnnpack"
    """LiteRT as it runs by default on phones, desktops and in browsers."""
    REFERENCE = "reference"
    """LiteRT's reference kernels (BUILTIN_REF)."""
    TFLM = "tflm"
    """TensorFlow Lite Micro."""


class Optimize(StrEnum):
    """What generated C spares most."""

    SPEED = "speed"
    """Time: weights in the order of each processor's loops, several positions at once."""
    SIZE = "size"
    """Flash: weights as they are, or without their zeros where that is smaller; the shortest loops."""
    RAM = "ram"
    """Memory: weights as they are, one position at a time."""


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


class Bound(StrEnum):
    """Which figure of a measured drop a gate looks at."""

    POINT = "point"
    """The drop on these very images."""
    UPPER = "upper"
    """The upper end of its 95 % confidence interval, so that the images have to prove the claim."""


class OnSubset(StrEnum):
    """How gates judge a candidate that saw only a part of the images, because its engine is slow."""

    VETO = "veto"
    """It fails what its images contradict with 95 % confidence, and is not asked to prove the rest."""
    JUDGE = "judge"
    """As if they were all images."""


class Target(StrEnum):
    """A platform for which `export` writes all that an app embeds: a module of `exporting.targets`."""

    ANDROID = "android"
    IOS = "ios"
    WEB = "web"
    LINUX = "linux"
    NPU = "npu"
    MCU = "mcu"
    """Microcontrollers: generated C, without an engine."""
    ALL = "all"
    """Each that the exported formats and this machine's tools allow."""
