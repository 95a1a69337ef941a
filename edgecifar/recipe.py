"""Recipe: every choice of a training and its compression, read from TOML and validated."""

import difflib
import tomllib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from edgecifar.choices import Source
from edgecifar.errors import RecipeError

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

    name: Literal["vgg6", "shallow3", "resnet8"] = "vgg6"
    form: Annotated[Form, BY_VALUE] = Form.EDGE
    dropout: Annotated[list[Fraction], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    """Rates after the three blocks. `resnet8` has none."""
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


class TrainingSpec(Part):
    """Length, batch, loss and optimiser of a training."""

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


NOT_TOML = (ValueError, RecursionError)
"""What tomllib raises: wrong syntax and encoding, integers of more than 4,300 digits, and arrays too deep."""


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of that name or path, with `key=value` overrides applied.

    Args:
        name_or_path: A shipped recipe's name ("edge"), or the path of a TOML file.
        overrides: Dotted assignments such as "training.epochs=10"; a value is read as TOML, and as a
            string where it is not TOML.

    Raises:
        RecipeError: No such recipe, not TOML, or a wrong key, type or value.
    """
    path = find_recipe(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except NOT_TOML as error:
        raise RecipeError(f"{path}: not a TOML file: {error}.") from error
    table.setdefault("name", path.stem)
    for assignment in overrides:
        _assign(table, assignment)
    return parse_recipe(table, where=str(path))


def parse_recipe(table: dict[str, Any], where: str) -> Recipe:
    """Returns the recipe that a decoded TOML table describes.

    Raises:
        RecipeError: Naming `where`, the key, and what is allowed.
    """
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        lines = [explain(where, dict(item), Recipe) for item in error.errors()]
        raise RecipeError("\n".join(lines)) from error


def recipe_folder() -> Path:
    """Returns the folder of the shipped recipes: inside an installed package, or at a checkout's top."""
    installed = Path(__file__).parent / "recipes"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "recipes"


def shipped_recipes() -> list[Path]:
    """Returns the paths of the shipped recipes, by name."""
    return sorted(recipe_folder().glob("*.toml"))


def find_recipe(name_or_path: str | Path) -> Path:
    """Returns the path of a shipped recipe or of a file.

    Raises:
        RecipeError: There is none; the message lists the shipped names.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise RecipeError(f"{path}: there is no such recipe file.", _known_recipes())
    shipped = recipe_folder() / f"{path}.toml"
    if shipped.is_file():
        return shipped
    names = [candidate.stem for candidate in shipped_recipes()]
    raise RecipeError(f"There is no recipe named {path}.{_did_you_mean(str(path), names)}", _known_recipes())


def _known_recipes() -> str:
    return "Shipped recipes: " + ", ".join(path.stem for path in shipped_recipes()) + "."


def _assign(table: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise RecipeError(f"--set {assignment}: not of the form key=value, for example training.epochs=10.")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except NOT_TOML:
        parsed = {}
    # More than one key: a text of several lines that happens to look like TOML.
    value = parsed["value"] if len(parsed) == 1 else text
    *sections, last = (part.strip() for part in key.split("."))
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {assignment}: {section} is a value, not a section.")
    table[last] = value


def explain(where: str, item: dict[str, Any], root: type[BaseModel]) -> str:
    """Returns a sentence for one thing that pydantic found wrong in a TOML file.

    Args:
        where: The file, or what else the sentence begins with.
        item: One of `ValidationError.errors()`.
        root: What the file was read as.
    """
    *sections, key = _dotted(item["loc"])
    section = f"[{'.'.join(sections)}] " if sections else ""
    if item["type"] == "model_type":
        return f"{where}: {section}{key} = {item['input']!r}: a section was expected, not a value."
    if item["type"] != "extra_forbidden":
        message = str(item["msg"]).removeprefix("Value error, ")
        return f"{where}: {section}{key} = {item['input']!r}: {message[:1].lower()}{message[1:]}."
    known = _known_keys(sections, root)
    return (
        f"{where}: {section}{key} is not a key.{_did_you_mean(key, known)}\nKnown keys: {', '.join(known)}."
    )


def _dotted(location: Iterable[str | int]) -> list[str]:
    """Returns sections and key, with places in arrays as "steps[0]"."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, int) and parts:
            parts[-1] += f"[{part}]"
        elif not _is_union_tag(part):
            parts.append(str(part))
    return parts or [""]


def _is_union_tag(part: object) -> bool:
    """Pydantic appends the tried type ("constrained-float", "literal['train']") to a union's location."""
    return isinstance(part, str) and (part.startswith("literal[") or part in {"float", "constrained-float"})


def _known_keys(sections: Iterable[str], root: type[BaseModel]) -> list[str]:
    part = root
    for section in sections:
        # "rules[0]" is one of several.
        field = part.model_fields.get(section.partition("[")[0])
        # A section that may be missing is a union with None.
        choices = (field.annotation, *get_args(field.annotation)) if field else ()
        parts = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if not parts:
            return []
        part = parts[0]
    return list(part.model_fields)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
