"""Options that say what lone model files see of an image."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import Channels, Layout

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.verification.inputs import InputSpec

ScaleOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        help="For model files outside a bundle or run, which see (pixel × scale - mean) / std: what pixels "
        "of 0-255 are multiplied by, as 1/255; 1 leaves them.  [default: 1 with --mean and --std]",
    ),
]
MeanOption = Annotated[
    str | None,
    typer.Option(metavar="NUMBER[,NUMBER,NUMBER]", help="As --scale: subtracted; one, or one a channel."),
]
StdOption = Annotated[
    str | None, typer.Option(metavar="NUMBER[,NUMBER,NUMBER]", help="As --scale: divided by.")
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option(help="As --scale: the input's order.  [default: as its shape tells, where it does]"),
]
ChannelsOption = Annotated[
    Channels | None, typer.Option(help="As --scale: order of colours.  [default: rgb]")
]
ResizeOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="SIZE",
        help="As --scale: stretch images to SIZE×SIZE, bilinear.  [default: they must have the model's size]",
    ),
]
AgainstScaleOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        help="As --scale, for the reference alone where it sees other values than the candidates.  [default: "
        "what its metadata says, else as the candidates]",
    ),
]
AgainstMeanOption = Annotated[
    str | None, typer.Option(metavar="NUMBER[,NUMBER,NUMBER]", help="As --mean, with --against-scale.")
]
AgainstStdOption = Annotated[
    str | None, typer.Option(metavar="NUMBER[,NUMBER,NUMBER]", help="As --std, with --against-scale.")
]
AgainstLayoutOption = Annotated[Layout | None, typer.Option(help="As --layout, with --against-scale.")]
AgainstChannelsOption = Annotated[Channels | None, typer.Option(help="As --channels, with --against-scale.")]


def input_spec(
    scale: str | None,
    mean: str | None,
    std: str | None,
    layout: Layout | None,
    channels: Channels | None,
    resize: int | None,
    prefix: str = "--",
) -> "InputSpec | None":
    """Returns what the options say of lone model files' input; None where they say nothing.

    Args:
        scale: Text of the option of that name, as the others: one number, "0.5" or "1/255".
        mean: One number, or three with commas between them.
        std: As `mean`.
        layout: None: as the input's shape tells.
        channels: None: RGB.
        resize: None: images must have the model's size.
        prefix: Of the options' names, for messages.

    Raises:
        BadParameter: They do not go together, or are no numbers that make an image.
    """
    from edgecifar.errors import VerificationError
    from edgecifar.verification.inputs import InputSpec

    if (mean is None) != (std is None):
        raise typer.BadParameter(f"{prefix}mean and {prefix}std go together.")
    if scale is None and mean is None:
        if layout or channels or resize:
            raise typer.BadParameter(
                f"{prefix}layout, {prefix}channels and --resize need {prefix}scale, or {prefix}mean and "
                f"{prefix}std; {prefix}scale 1 leaves the pixels as they are."
            )
        return None
    [factor] = _numbers(f"{prefix}scale", scale or "1", counts={1})
    means = _numbers(f"{prefix}mean", mean or "0", counts={1, 3})
    stds = _numbers(f"{prefix}std", std or "1", counts={1, 3})
    try:
        return InputSpec(factor, means, stds, channels or Channels.RGB, layout, resize)
    except VerificationError as error:
        raise typer.BadParameter(str(error).replace("\n", " ")) from error


def against_spec(
    scale: str | None,
    mean: str | None,
    std: str | None,
    layout: Layout | None,
    channels: Channels | None,
    candidates: "InputSpec | None",
) -> "InputSpec | None":
    """Returns what the options say of the reference's input, resized as the candidates' is.

    Args:
        scale: As for `input_spec`, as the others.
        mean: As `scale`.
        std: As `scale`.
        layout: As `scale`.
        channels: As `scale`.
        candidates: What the candidates see.

    Raises:
        BadParameter: As `input_spec`.
    """
    spec = input_spec(scale, mean, std, layout, channels, None, prefix="--against-")
    if spec is None or candidates is None:
        return spec
    return replace(spec, resize=candidates.resize)


def _numbers(option: str, text: str, counts: set[int]) -> tuple[float, ...]:
    """Returns the numbers of "0.5", "1/255" or "0.49,0.48,0.45"."""
    try:
        numbers = tuple(_number(word) for word in text.split(","))
    except (ValueError, ZeroDivisionError):
        numbers = ()
    if len(numbers) not in counts:
        three = ", or three with commas between them" if 3 in counts else ""
        raise typer.BadParameter(f"{option} is one number, as 0.5 or 1/255{three}; not {text}.")
    return numbers


def _number(word: str) -> float:
    over, slash, under = word.partition("/")
    return float(over) / float(under) if slash else float(over)
