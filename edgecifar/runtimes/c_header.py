"""The header `model.h` beside generated C: what the model takes and gives."""

import re
from pathlib import Path

from edgecifar.errors import ModelError
from edgecifar.protocol import TensorInfo

_DEFINITION = re.compile(r"^#define (MODEL_[A-Z_]+) \(?([^\s()]+)\)?$", re.MULTILINE)


def read_definitions(path: Path) -> dict[str, str]:
    """Returns the constants of the header beside a `model.c`, by name.

    Raises:
        ModelError: There is no header, or it is not one that edgecifar generated.
    """
    header = path.with_suffix(".h")
    try:
        text = header.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{header}: cannot be read.", "It belongs to the C that edgecifar exports."
        ) from error
    definitions = dict(_DEFINITION.findall(text))
    if "MODEL_ARENA_BYTES" not in definitions:
        raise ModelError(f"{path}: not C that edgecifar generated.", "Export the model with --format c.")
    return definitions


def tensor(path: Path, definitions: dict[str, str], which: str) -> TensorInfo:
    """Returns the model's "INPUT" or "OUTPUT".

    Raises:
        ModelError: The constants of it are not there, or are no numbers.
    """
    try:
        values = {key: definitions[f"MODEL_{which}_{key}"] for key in ("SIZE", "SCALE", "ZERO_POINT")}
        if which == "INPUT":
            sizes = [int(definitions[f"MODEL_INPUT_{key}"]) for key in ("HEIGHT", "WIDTH", "CHANNELS")]
        else:
            sizes = [int(values["SIZE"])]
        scale, zero_point = float(values["SCALE"].rstrip("f")), int(values["ZERO_POINT"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: its header lacks the constants of the {which.lower()}.") from error
    return TensorInfo(which.lower(), (None, *sizes), "int8", scale, zero_point)
