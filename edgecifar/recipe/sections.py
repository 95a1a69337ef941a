"""Recipe: every choice of a training and its compression."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from edgecifar.choices import Source

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
BY_VALUE = Strict(strict=False)
"""Takes what TOML has: a choice by its value, a tuple as an array."""


def _added(default: object) -> Any:
    """Returns the field of a key that came later.

    JSON forms leave it out at its default, so that recipes without it keep the form that older checkpoints
    and older versions know.
    """
    return Field(exclude_if=lambda value: value == default)


class Part(BaseModel):
    """A section of a recipe: immutable, closed to keys that it does not know, and to "10" or true for 10."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class DataSpec(Part):
    """Which images, and how many of the training images are held out for validation."""

    source: Annotated[Source, BY_VALUE] = Source.CIFAR10
    validation_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Held out of the training images, stratified by class, chosen by the recipe's seed."""
    image_size: Annotated[int, Field(ge=8, le=512)] = 32
    """Height and width in pixels; `folder` images are resized to it, CIFAR-10 has 32."""


class PreprocessingSpec(Part):
    """(pixel - mean) / std, with pixels of 0-255 and one scalar each for all channels.

    An integer mean with std as the inverse input scale costs nothing on a device: the camera's bytes are
    then the int8 model's input tensor.
    """

    mean: Annotated[float, Field(ge=0, le=255)] | Literal["train"] = "train"
    """A number, or "train": the mean over all training pixels."""
    std: Annotated[float, Field(gt=0, le=255)] | Literal["train"] = "train"


class Form(StrEnum):
    """The order of the layers after a convolution."""

    SEED = "seed"
    """conv -> ELU -> batch norm, as the published network; its batch norm cannot fold."""
    EDGE = "edge"
    """conv -> batch norm -> ReLU, which folds into one int8 convolution."""


class ModelSpec(Part):
    """Which network."""

    name: Literal["vgg6", "shallow3", "resnet8", "airbench"] = "vgg6"
    form: Annotated[Form, BY_VALUE] = Form.EDGE
    dropout: Annotated[list[Fraction], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    """Rates after the three blocks. `resnet8` and `airbench` have none."""
    l2: NonNegative = 0.0
    """L2 penalty on convolution kernels, in the loss (the seed: 1e-4)."""
    width: Annotated[int, Field(ge=1, le=16), _added(1)] = 1
    """Multiplies the channels of every convolution: 2 has about four times the weights and multiply-adds."""


class Flip(StrEnum):
    """Horizontal mirroring."""

    NONE = "none"
    RANDOM = "random"
    ALTERNATING = "alternating"
    """A random half of the images in even epochs and the other half in odd ones (Jordan 2024, airbench)."""


class Fill(StrEnum):
    """What stands where a moved image leaves a gap."""

    NEAREST = "nearest"
    REFLECT = "reflect"
    WRAP = "wrap"
    CONSTANT = "constant"


class AugmentationSpec(Part):
    """Random changes of the training images; zero or "none" switches one off."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees, uniform in [-rotation, rotation]."""
    shift: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of height and of width, uniform in [-shift, shift]."""
    shear: Annotated[float, Field(ge=0, le=80)] = 0.0
    """Degrees, uniform in [-shear, shear]."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Factor, uniform in [1 - zoom, 1 + zoom], for height and width apart."""
    flip: Annotated[Flip, BY_VALUE] = Flip.NONE
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels: pad by so many on each side, then cut a random window of the original size."""
    fill: Annotated[Fill, BY_VALUE] = Fill.REFLECT
    cutout: Annotated[int, Field(ge=0, le=512)] = 0
    """Side in pixels of one square set to the data set's mean (DeVries & Taylor 2017)."""
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of brightness, contrast and saturation changes, each uniform in [1 - c, 1 + c]."""
    mixup: NonNegative = 0.0
    """Alpha of the Beta distribution from which pairs of images are blended (Zhang et al. 2018)."""


class OptimizerSpec(Part):
    """How a gradient becomes a step."""

    name: Literal["sgd", "rmsprop", "adam"] = "sgd"
    learning_rate: Positive = 0.1
    """The peak, for schedules that have one."""
    momentum: Fraction = 0.9
    """Nesterov momentum; `sgd` only."""
    weight_decay: NonNegative = 0.0
    """Convolution and dense kernels shrink by rate x decay in each step, apart from the gradient (Loshchilov
    & Hutter 2019). PyTorch's SGD adds its decay to the gradient: divide that one by 1 - momentum."""
    decay: NonNegative = 0.0
    """Keras's legacy time decay: rate / (1 + decay x step). The seed: 1e-6."""


class ScheduleSpec(Part):
    """How the learning rate moves over the training."""

    name: Literal["constant", "steps", "cosine", "triangular"] = "cosine"
    warmup: Fraction = 0.1
    """Share of the training in which the rate rises linearly from `start` (cosine, triangular)."""
    start: Annotated[float, Field(ge=0, le=1)] = 0.1
    """First rate as a share of the peak (cosine, triangular)."""
    end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Last rate as a share of the peak (cosine, triangular)."""
    steps: list[Annotated[tuple[Count, Positive], BY_VALUE]] = []
    """For "steps": [first epoch after which it holds, learning rate], in order."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> Self:
        epochs = [epoch for epoch, _ in self.steps]
        if epochs != sorted(set(epochs)):
            raise ValueError("steps must be in order of their epochs, each once")
        if (self.name == "steps") != bool(self.steps):
            raise ValueError('steps belongs to the schedule named "steps", and that schedule needs it')
        return self


class Precision(StrEnum):
    """Data type of the training's arithmetic; weights stay float32."""

    AUTO = "auto"
    """bfloat16 where the CPU computes it in hardware, float16 on a GPU, else float32."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


TEMPERATURE = 4.0
"""Of distillation, where nothing else is said: in the range that Hinton et al. (2015) tried, 1 to 20."""


class DistillationSpec(Part):
    """Learning from the probabilities of a trained network (Hinton et al. 2015).

    The loss is weight x temperature^2 x KL(teacher, student) + (1 - weight) x the loss of the labels; the
    temperature softens the probabilities of both networks.
    """

    teacher: Annotated[str, Field(min_length=1)]
    """Folder of a finished run, or of its bundle, with the same classes, image size, [data] and seed."""
    temperature: Positive = TEMPERATURE
    weight: Annotated[float, Field(gt=0, le=1)] = 0.9


class Initialization(StrEnum):
    """What a network weighs before its first step."""

    RANDOM = "random"
    """He et al. (2015) in the edge form, Glorot & Bengio (2010) in the seed's."""
    WHITENED = "whitened"
    """The first convolution whitens its patches, the others pass on what they get (Jordan 2024, airbench)."""


class TrainingSpec(Part):
    """Start, length, batch, loss and optimiser of a training."""

    initialization: Annotated[Initialization, BY_VALUE, _added(Initialization.RANDOM)] = Initialization.RANDOM

    epochs: Count = 60
    batch_size: Count = 128
    precision: Annotated[Precision, BY_VALUE] = Precision.AUTO
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    """Decay per step of the exponential moving average of the weights that is evaluated and kept; 0: none."""
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    distillation: Annotated[DistillationSpec | None, _added(None)] = None


class FineTuneSpec(Part):
    """A short training from trained weights: SGD with momentum on a cosine from `learning_rate` to zero."""

    epochs: Count = 4
    batch_size: Count = 128
    learning_rate: Positive = 0.005
    distillation: Annotated[float, Field(ge=0, le=1), _added(0.0)] = 0.0
    """Weight of distillation from the run's own float model before any compression; 0: none."""
    temperature: Annotated[Positive, _added(TEMPERATURE)] = TEMPERATURE
    """Of that distillation."""


class PruningSpec(FineTuneSpec):
    """Magnitude pruning by a polynomial schedule (Zhu & Gupta 2017)."""

    sparsity: Fraction = 0.0
    """Share of zero weights in every convolution and dense kernel at the end; 0: no pruning."""
    epochs: Count = 10
    learning_rate: Positive = 0.02
    ramp: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the epochs over which sparsity rises; after it the mask is fixed."""


class QuantizationSpec(FineTuneSpec):
    """Int8 weights per channel and int8 activations per tensor."""

    qat: bool = False
    """Quantization-aware training; without it the export calibrates after training."""
    freeze_batch_norm: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the epochs, at the end, in which batch-norm statistics stay fixed."""
    ema: Annotated[Fraction, _added(0.0)] = 0.0
    """Decay per step of the moving average of weights and ranges that is evaluated and kept; 0: none."""
    saturation_safe: Annotated[bool, _added(default=False)] = False
    """Trains with weights that no activations can make saturate on x86 CPUs without VNNI.

    The export makes weights so in any case; where that costs accuracy, training wins it back.
    """


class CompressionSpec(Part):
    """What happens to a trained model before it is exported."""

    pruning: PruningSpec = PruningSpec()
    quantization: QuantizationSpec = QuantizationSpec()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return self.pruning.sparsity == 0 and not self.quantization.qat


class CalibrationSpec(Part):
    """Training images from which post-training quantization takes its ranges."""

    images: Annotated[int, Field(ge=1, le=50_000)] = 500


class Recipe(Part):
    """Every choice of a training and compression."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataSpec = DataSpec()
    preprocessing: PreprocessingSpec = PreprocessingSpec()
    model: ModelSpec = ModelSpec()
    augmentation: AugmentationSpec = AugmentationSpec()
    training: TrainingSpec = TrainingSpec()
    compression: CompressionSpec = CompressionSpec()
    calibration: CalibrationSpec = CalibrationSpec()
