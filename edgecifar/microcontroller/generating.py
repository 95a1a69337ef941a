"""C sources from a network and its plan, through the templates beside this module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import edgecifar
from edgecifar.choices import Numerics, Optimize
from edgecifar.microcontroller.lowering import Network
from edgecifar.microcontroller.operators.common import INT8, LANES, LIST_END
from edgecifar.microcontroller.operators.layouts import DOT_MULTIPLE, POSITIONS, window_size
from edgecifar.microcontroller.planning import SCRATCH, Plan
from edgecifar.microcontroller.proving import HALF_WINDOW
from edgecifar.microcontroller.steps import Array, Fields, Source, Step
from edgecifar.microcontroller.streaming import Group, formula

_ENGINES = {
    Numerics.REFERENCE: "LiteRT's reference kernels",
    Numerics.XNNPACK: "LiteRT with XNNPACK",
    Numerics.TFLM: "TensorFlow Lite Micro",
}
_ORDER = (
    "clamp", "twice", "requantize", "dot", "conv", "depthwise", "dense", "pool", "max_pool",
    "average_pool", "mean", "operands", "add", "add_wide", "add_exact", "multiply", "table", "pad",
    "concatenate", "input", "softmax", "softmax_float",
)  # fmt: skip
_NEEDS: dict[str, tuple[str, ...]] = {
    "add": ("operands", "clamp"),
    "add_exact": ("operands", "clamp", "twice"),
    "add_wide": ("operands", "clamp"),
    "average_pool": ("pool", "clamp"),
    "conv": ("dot",),
    "dense": ("dot",),
    "depthwise": ("dot",),
    "max_pool": ("pool",),
    "multiply": ("operands",),
    "softmax": ("clamp",),
    "softmax_float": ("clamp",),
}
_ONE_SCALE = ("mean", "multiply")
"""Kernels with one scale for all channels."""
_VALUES_A_LINE = 16


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs and the outputs that the engine gives for them: for the self-test."""

    inputs: np.ndarray[Any, np.dtype[np.int8]]
    """(N, input size)"""
    outputs: np.ndarray[Any, np.dtype[np.int8]]
    """(N, output size)"""


def generate(
    network: Network,
    plan: Plan,
    numerics: Numerics,
    *,
    name: str,
    optimize: Optimize = Optimize.SPEED,
    labels: Sequence[str] = (),
    golden: Golden | None = None,
) -> dict[str, str]:
    """Returns the sources by file name; the same input gives the same bytes.

    Args:
        network: The steps.
        plan: Their memory.
        numerics: The engine whose bits they give.
        name: Of the model.
        optimize: What is spared most.
        labels: Names of the classes.
        golden: For `model_selftest`; None: no self-test.
    """
    environment = _environment()
    steps = network.all_steps
    context: dict[str, Any] = {
        "name": name,
        "about": f"{len(steps) - 1} layers",
        "version": edgecifar.__version__,
        "engine": _ENGINES[numerics],
        "optimize": str(optimize),
        "input": network.input,
        "output": network.output,
        "logits": network.logits,
        "softmax": network.softmax,
        "labels": list(labels),
        "steps": steps,
        "memory": memory_lines(plan),
        "arena_bytes": max(plan.arena_bytes, 1),
        "multiply_adds": f"{sum(step.multiply_adds for step in steps):,}",
        "kernels": _kernels(steps),
        **_schemes(steps),
        "concatenations": {step.operands for step in steps if step.kernel.startswith("concatenate")},
        "half_window": HALF_WINDOW,
        "list_end": LIST_END,
        "clamps": any(
            (member.endswith("smallest") and value != INT8[0])
            or (member.endswith("largest") and value != INT8[1])
            for step in steps
            for member, value in step.fields
        ),
        "lanes": LANES,
        "sparse": any(step.spared_bytes for step in steps),
        "positions": POSITIONS,
        "dot_multiple": DOT_MULTIPLE,
        **_largest(steps),
        "layers": _layers(network, plan),
        "groups": [_group(group, plan.offsets[at], at, network) for at, group in enumerate(plan.groups)],
    }
    code = "\n".join(line for group in context["groups"] for line in group["code"])
    context |= {"needs_within": "within(" in code, "needs_at_least": "at_least(" in code}
    files = {"model.h": "model.h.j2", "model.c": "model.c.j2", "model_weights.h": "weights.h.j2"}
    if golden is not None:
        context["golden"] = golden
        files |= {"model_selftest.h": "selftest.h.j2", "model_selftest.c": "selftest.c.j2"}
    return {file: environment.get_template(template).render(context) for file, template in files.items()}


def memory_lines(plan: Plan) -> list[str]:
    """Returns what lies in the arena while each group runs, for people."""
    lines = []
    for at, group in enumerate(plan.groups):
        held = [
            (offset, "scratch" if tensor == SCRATCH else _holder(plan, tensor))
            for tensor, offset in plan.offsets[at].items()
        ]
        names = ", ".join(step.name for step in group.steps)
        places = ", ".join(f"{what} at {offset}" for offset, what in sorted(held))
        lines.append(f"{names}: {places or 'nothing'}")
    return lines


def _holder(plan: Plan, tensor: int) -> str:
    """Returns the name of the step that computes a tensor."""
    return next(step.name for group in plan.groups for step in group.steps if step.result.index == tensor)


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgecifar.microcontroller"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  C, not HTML
    )
    environment.filters |= {"c_string": c_string, "c_float": c_float, "c_values": c_values, "c_rows": c_rows}
    return environment


def c_string(text: str) -> str:
    """Returns a text as a C string literal, ASCII alone."""
    encoded = text.encode()
    plain = {ord("\\"): "\\\\", ord('"'): '\\"', ord("?"): "\\?"}
    letters = (plain.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in encoded)
    return '"' + "".join(letters) + '"'


def c_float(value: float) -> str:
    """Returns a float32 as a C literal that gives the same bits."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0", exp_digits=1)
    return f"{text}f"


def c_values(array: Array) -> str:
    """Returns an array's values as lines of a C initializer."""
    flat = array.values.ravel()
    if array.c_type == "int64_t":
        texts = [f"INT64_C({value})" for value in flat]
    elif array.c_type == "uint32_t":
        texts = [f"0x{value:08x}u" for value in flat]
    else:
        texts = [str(int(value)) for value in flat]
    return c_rows(texts)


def c_rows(values: Sequence[object]) -> str:
    """Returns values as lines of a C initializer."""
    texts = [str(value) for value in values]
    rows = (texts[at : at + _VALUES_A_LINE] for at in range(0, len(texts), _VALUES_A_LINE))
    return ",\n".join("    " + ", ".join(row) for row in rows)


def _kernels(steps: Sequence[Step]) -> list[str]:
    """Returns the templates of kernels that are needed, in the order of the file."""
    needed = {
        step.kernel.rstrip("1234") if step.kernel.startswith("concat") else step.kernel for step in steps
    }
    for kernel in list(needed):
        needed |= set(_NEEDS.get(kernel, ()))
    schemes = _schemes(steps)["schemes"]
    if schemes:
        needed |= {"requantize", "clamp"}
    if "double" in schemes:
        needed.add("twice")
    return [kernel for kernel in _ORDER if kernel in needed]


def _schemes(steps: Sequence[Step]) -> dict[str, Any]:
    """Returns which forms of requantization there are: for channels, on hosts, for one scale, and all."""
    channels = [step for step in steps if step.requantization and step.kernel not in _ONE_SCALE]
    of_one = {scheme for step in steps if step.kernel in _ONE_SCALE for scheme in _schemes_in(step.fields)}
    of_channels = {scheme for step in channels for scheme in _schemes_in(step.fields + step.board_fields)}
    of_hosts = {scheme for step in channels for scheme in _schemes_in(step.host_fields)}
    return {
        "schemes": sorted(of_one | of_channels | of_hosts),
        "one_schemes": sorted(of_one),
        "channel_schemes": sorted(of_channels),
        "host_schemes": sorted(of_hosts),
        "listed": "listed" in of_channels,
        "corrected": "corrected" in of_hosts,
    }


def _schemes_in(fields: Fields) -> set[str]:
    return {str(value).removeprefix("SCHEME_").lower() for member, value in fields if member == "q.scheme"}


def _largest(steps: Sequence[Step]) -> dict[str, int | str]:
    """Returns how much the largest layers need of what hosts keep on the stack."""
    members = [dict(step.fields) for step in steps if step.kernel == "conv"]
    depthwise = [step.result.image[2] for step in steps if step.kernel == "depthwise"]
    return {
        "largest_depthwise": -(-max(depthwise, default=0) // LANES) * LANES,
        "largest_window": max(map(window_size, members), default=0),
        "largest_depth": max((int(member["depth"]) for member in members), default=0),
        "conv_size": "int16_t" if _fit_int16(members) else "int32_t",
    }


def _fit_int16(members: Sequence[Mapping[str, str | int]]) -> bool:
    """Returns whether no number of a convolution but its depth needs more than 16 bits."""
    sizes = (value for member in members for name, value in member.items() if name != "depth")
    return all(abs(size) < 1 << 15 for size in sizes if isinstance(size, int))


def _layers(network: Network, plan: Plan) -> list[dict[str, Any]]:
    rings = {index: rows for group in plan.groups for index, rows in group.rings.items()}
    layers = []
    for step in network.all_steps:
        fields = [*step.fields, *_rings(step, rings)]
        layers.append(
            {
                "name": step.name,
                "kernel": step.kernel,
                "about": step.about,
                "tensor": step.result.name.replace("*/", "* /"),
                "board_fields": step.board_fields,
                "host_fields": step.host_fields,
                "fields": [(member, _c_integer(value)) for member, value in fields],
            }
        )
    return layers


def _c_integer(value: str | int) -> str:
    if isinstance(value, str):
        return value
    return str(value) if abs(value) < 1 << 31 else f"INT64_C({value})"


def _rings(step: Step, rings: dict[int, int]) -> list[tuple[str, int]]:
    """Returns how many rows of each operand are kept, as members of the kernel's struct."""
    if step.operands == 0:
        return []
    kept = {source.place: _kept(source, rings) for source in step.sources}
    if step.operands == 1 and not step.kernel.startswith("concatenate"):
        return [("ring", kept[0])]
    prefix = "" if step.kernel.startswith("concatenate") else "operands."
    letters = "abcd"[: step.operands]
    return [(f"{prefix}ring_{letter}", kept.get(place, 1)) for place, letter in enumerate(letters)]


def _kept(source: Source, rings: dict[int, int]) -> int:
    if source.height is not None:
        return source.height
    height = source.tensor.image[0]
    return min(rings.get(source.tensor.index, height), height)


def _group(group: Group, offsets: dict[int, int], place: int, network: Network) -> dict[str, Any]:
    """Returns what the template needs of a group: its name, what it does, and the lines of its function."""
    held = [f"scratch at {offsets[SCRATCH]}"] if SCRATCH in offsets else []
    rings = ", ".join(f"{group.rings[step.result.index]} rows of {step.name}" for step in group.steps[:-1])
    memory = "; ".join(part for part in (rings and f"keeps {rings}", *held) if part) or "needs no scratch"
    return {
        "name": f"group_{place + 1}",
        "about": [f"{step.name}: {step.about}" for step in group.steps],
        "memory": memory,
        "code": _code(group, offsets, network),
    }


def _code(group: Group, offsets: dict[int, int], network: Network) -> list[str]:
    last = group.steps[-1]
    uses_input = any(step.operands == 0 for step in group.steps)
    lines = [] if uses_input else ["(void)input;", "(void)flip;"]
    if last.result is not network.logits:
        lines.append("(void)output;")
    lines = [f"int32_t {step.name}_rows = 0;" for step in group.steps[:-1]] + (
        [*([""] if len(group.steps) > 1 else []), *lines] if lines else []
    )
    if len(group.steps) == 1:
        call = _call(last, "y", offsets, group, network)
        return [*lines, f"for (int32_t y = 0; y < {last.rows}; ++y) {{", f"    {call}", "}"]
    lines.append(f"for (int32_t y = 0; y < {last.rows}; ++y) {{")
    wants = formula(group.steps)
    lines += [f"    const int32_t {name}_wanted = {text};" for name, text in reversed(wants)]
    lines.append("")
    for step in group.steps[:-1]:
        counter = f"{step.name}_rows"
        lines += [
            f"    for (; {counter} < {step.name}_wanted; ++{counter}) {{",
            f"        {_call(step, counter, offsets, group, network)}",
            "    }",
        ]
    return [*lines, f"    {_call(last, 'y', offsets, group, network)}", "}"]


def _call(step: Step, row: str, offsets: dict[int, int], group: Group, network: Network) -> str:
    """Returns the C statement that computes one row of a step."""
    if step.result is network.logits:
        result = f"output + {row} * {step.row_bytes}"
    else:
        ring = group.rings.get(step.result.index)
        index = f"({row} % {ring})" if ring is not None and ring < step.rows else row
        result = f"arena.bytes + {offsets[step.result.index]} + {index} * {step.row_bytes}"
    if step.operands == 0:
        return f"input_row(&{step.name}, input, flip, {result}, {row});"
    sources = {source.place: source.tensor for source in step.sources}
    operands = [
        f"arena.bytes + {offsets[sources[place].index]}" if place in sources else "NULL"
        for place in range(step.operands)
    ]
    scratch = f"arena.words + {offsets[SCRATCH] // 4}" if step.scratch_bytes else "NULL"
    return f"{step.kernel}_row(&{step.name}, {', '.join(operands)}, {result}, {row}, {scratch});"
