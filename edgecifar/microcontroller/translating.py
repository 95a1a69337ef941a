"""From an int8 TFLite file to C sources, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgecifar.choices import Numerics, Optimize
from edgecifar.microcontroller.generating import Golden, generate
from edgecifar.microcontroller.lowering import Network, lower_graph
from edgecifar.microcontroller.operators.common import BOARD
from edgecifar.microcontroller.operators.layouts import PLAIN
from edgecifar.microcontroller.planning import Plan, plan
from edgecifar.microcontroller.reading import read


@dataclass(frozen=True, slots=True)
class Translation:
    """A model in C and the figures of it."""

    files: dict[str, str]
    """Sources by file name."""
    network: Network
    plan: Plan

    @property
    def constant_bytes(self) -> int:
        """Size of all constant arrays as microcontrollers keep them, 8-bit weights."""
        arrays = (array for step in self.network.all_steps for array in step.arrays)
        return sum(array.size_bytes for array in arrays if array.condition in {"", BOARD, PLAIN})

    @property
    def multiply_adds(self) -> int:
        """Multiplications of a weight by an input, for one image."""
        return sum(step.multiply_adds for step in self.network.all_steps)

    @property
    def sparse_layers(self) -> int:
        """How many layers keep their weights without zeros."""
        return sum(step.spared_bytes > 0 for step in self.network.all_steps)

    @property
    def spared_bytes(self) -> int:
        """What these spare of the constants."""
        return sum(step.spared_bytes for step in self.network.all_steps)


def translate(
    content: bytes,
    numerics: Numerics,
    *,
    name: str,
    optimize: Optimize = Optimize.SPEED,
    labels: Sequence[str] = (),
    golden: Golden | None = None,
) -> Translation:
    """Returns the C of an int8 TFLite file.

    Args:
        content: The file.
        numerics: The engine whose bits it shall give.
        name: Of the model.
        optimize: What is spared most.
        labels: Names of the classes; none, or as many as there are outputs.
        golden: Inputs and the engine's outputs for the self-test; None: no self-test.

    Raises:
        ModelError: Not a TFLite file.
        ExportError: Not an int8 model, or one with an operator of which no C is generated.
    """
    network = lower_graph(read(content), numerics, optimize)
    layout = plan(network.steps, frozenset({network.logits.index}))
    files = generate(network, layout, numerics, name=name, optimize=optimize, labels=labels, golden=golden)
    return Translation(files, network, layout)
