"""The gates of `verify` as options, and the policy that they make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecifar.choices import Bound, OnSubset

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.artifacts import Policy

PolicyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A TOML file with [gate], and [[rules]] for some artifacts and runtimes; the options below "
        "change its [gate].",
    ),
]
MaxDropOption = Annotated[
    str | None,
    typer.Option(help="Gate: the most top-1 accuracy that may be lost, as 0.5pp.", metavar="PP"),
]
DropBoundOption = Annotated[
    Bound | None,
    typer.Option(
        help="What --max-drop looks at: the drop itself, or the upper bound of its 95 % interval, which "
        "has to be proven.  [default: point]"
    ),
]
OnSubsetOption = Annotated[
    OnSubset | None,
    typer.Option(
        help="How gates on drops and agreement judge slow engines, which see --subset images: veto what "
        "these contradict with 95 % confidence, or judge as if they were all.  [default: veto]"
    ),
]
MaxClassDropOption = Annotated[
    str | None, typer.Option(help="Gate: the most accuracy that one class may lose, as 2pp.", metavar="PP")
]
MinAgreementOption = Annotated[
    str | None,
    typer.Option(help="Gate: the least share of images of the reference's class, as 98%.", metavar="PERCENT"),
]
MaxSizeOption = Annotated[
    str | None, typer.Option(help="Gate: the largest file, as 350KB or 1MiB.", metavar="SIZE")
]
MaxLatencyOption = Annotated[
    float | None,
    typer.Option(help="Gate: the most time an image, in multiples of the float model's.", metavar="TIMES"),
]

UNITS = {"kib": 2**10, "mib": 2**20, "kb": 10**3, "mb": 10**6, "b": 1, "": 1}


def policy_of(
    policy: Path | None,
    *,
    max_drop: str | None,
    drop_bound: Bound | None,
    max_class_drop: str | None,
    min_agreement: str | None,
    max_size: str | None,
    max_latency: float | None,
    on_subset: OnSubset | None,
) -> "Policy":
    """Returns the policy of a file, its gate changed by the options; without a file, that of the options.

    Raises:
        typer.BadParameter: An option is none that can be understood.
        VerificationError: The file is no policy.
    """
    from pydantic import ValidationError

    from edgecifar.artifacts import Gate, Policy

    options: dict[str, Any] = {
        "max_drop_pp": None if max_drop is None else _points("--max-drop", max_drop),
        "drop_bound": drop_bound,
        "max_class_drop_pp": None if max_class_drop is None else _points("--max-class-drop", max_class_drop),
        "min_agreement": None if min_agreement is None else _share(min_agreement),
        "max_size_bytes": None if max_size is None else _bytes(max_size),
        "max_latency_ratio": max_latency,
        "on_subset": on_subset,
    }
    changes = {key: value for key, value in options.items() if value is not None}
    try:
        Gate(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).removesuffix("_pp").removesuffix("_bytes").removesuffix("_ratio")
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise typer.BadParameter(f"--{option.replace('_', '-')}: {message}.") from error
    loaded = Policy() if policy is None else Policy.load(policy)
    gate = loaded.gate.model_copy(update=changes)
    everything = (gate, *loaded.rules)
    if gate.drop_bound is not None and all(one.max_drop_pp is None for one in everything):
        raise typer.BadParameter("--drop-bound needs --max-drop: it says which drop that gate looks at.")
    if gate.on_subset is not None and not any(one.asks_statistics for one in everything):
        raise typer.BadParameter(
            "--on-subset needs --max-drop, --max-class-drop or --min-agreement: it says how these judge."
        )
    return loaded.model_copy(update={"gate": gate})


def _points(option: str, text: str) -> float:
    points = _number(text.removesuffix("pp"))
    if points is None or not 0 <= points <= 100:
        raise typer.BadParameter(
            f"{option}: {text} is not a number of percentage points, 0 to 100, as in 0.5pp."
        )
    return points


def _share(text: str) -> float:
    percent = _number(text.removesuffix("%")) if text.endswith("%") else None
    if percent is None or not 0 <= percent <= 100:
        raise typer.BadParameter(f"--min-agreement: {text} is not a percentage, 0 to 100, as in 98%.")
    return percent / 100


def _bytes(text: str) -> int:
    lower = text.strip().lower()
    unit = next(unit for unit in UNITS if lower.endswith(unit))
    number = _number(lower.removesuffix(unit))
    if number is None or not 1 <= number * UNITS[unit] < 2**63:
        raise typer.BadParameter(f"--max-size: {text} is not a size, as in 350000, 350KB or 1MiB.")
    return int(number * UNITS[unit])


def _number(text: str) -> float | None:
    try:
        return float(text.strip())
    except ValueError:
        return None
