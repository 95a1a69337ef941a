"""Which devices train, and in what arithmetic."""

from dataclasses import dataclass

import tensorflow as tf

from edgecifar.chatter import diverted
from edgecifar.choices import Device
from edgecifar.errors import EngineMissingError
from edgecifar.host import cpu_flags
from edgecifar.recipe import Precision


@dataclass(frozen=True, slots=True)
class Placement:
    """The devices that were chosen."""

    strategy: tf.distribute.Strategy
    names: tuple[str, ...]
    """("CPU",), or the GPUs' names."""
    on_gpu: bool

    def precision(self, wanted: Precision) -> Precision:
        """Returns the arithmetic to train in; what AUTO means depends on the device."""
        if wanted is not Precision.AUTO:
            return wanted
        if self.on_gpu:
            return Precision.FLOAT16
        # Elsewhere bfloat16 is emulated, and slower than float32.
        in_hardware = {"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_flags())
        return Precision.BFLOAT16 if in_hardware else Precision.FLOAT32


def place(device: Device) -> Placement:
    """Returns where to train.

    Raises:
        EngineMissingError: A GPU was asked for and TensorFlow sees none.
    """
    gpus = list_gpus()
    if device is Device.GPU and not gpus:
        raise EngineMissingError(
            "TensorFlow sees no GPU.",
            "Install the CUDA libraries with: pip install 'edgecifar[gpu]', or use --device cpu.",
        )
    if device is Device.CPU or not gpus:
        return Placement(tf.distribute.OneDeviceStrategy("/cpu:0"), ("CPU",), on_gpu=False)
    names = tuple(_gpu_name(gpu) for gpu in gpus)
    strategy = (
        tf.distribute.OneDeviceStrategy("/gpu:0") if len(gpus) == 1 else tf.distribute.MirroredStrategy()
    )
    return Placement(strategy, names, on_gpu=True)


def list_gpus() -> list[tf.config.PhysicalDevice]:
    """Returns the GPUs that TensorFlow sees; where there are none, CUDA's complaints go to the log."""
    with diverted():
        gpus: list[tf.config.PhysicalDevice] = tf.config.list_physical_devices("GPU")
    return gpus


def _gpu_name(gpu: tf.config.PhysicalDevice) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def keras_policy(precision: Precision) -> str:
    """Returns Keras's name of the dtype policy: weights are float32 in each of them."""
    return {
        Precision.FLOAT32: "float32",
        Precision.BFLOAT16: "mixed_bfloat16",
        Precision.FLOAT16: "mixed_float16",
    }[precision]
