"""A graph as steps: reshapes become other views of the same bytes, the last softmax stands apart."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgecifar.choices import Numerics, Optimize
from edgecifar.microcontroller.graph import Graph, Operator, Tensor
from edgecifar.microcontroller.operators import RENAMED, Setting, lower
from edgecifar.microcontroller.steps import Source, Step, whole

_INPUT_NAME = "image"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Steps from the caller's image to the logits, and the softmax after them."""

    input: Tensor
    logits: Tensor
    output: Tensor
    steps: tuple[Step, ...]
    """The first copies the caller's image; the last computes the logits."""
    softmax: Step | None

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, softmax included."""
        return (*self.steps, self.softmax) if self.softmax else self.steps


def lower_graph(graph: Graph, numerics: Numerics, optimize: Optimize = Optimize.SPEED) -> Network:
    """Returns a graph's steps with an engine's numerics.

    Args:
        graph: Of a TFLite file.
        numerics: The engine.
        optimize: What is spared most.

    Raises:
        ExportError: An operator of which no C is generated, or not in this form.
    """
    roots = {graph.input.index: graph.input}
    steps = [_copy(graph.input)]
    counts: Counter[str] = Counter()
    for operator in graph.operators:
        if operator.kind in RENAMED:
            source = operator.input(0)
            if source.elements != operator.output.elements:
                raise operator.refuse("changes how many values there are")
            roots[operator.output.index] = _root(operator, source, roots)
            continue
        counts[operator.kind] += 1
        name = f"{operator.kind.lower()}_{counts[operator.kind]}"
        step = lower(operator, Setting(numerics, name, optimize))
        roots[operator.output.index] = operator.output
        steps.append(replace(step, sources=_rooted(operator, step, roots)))
    result = roots.get(graph.output.index)
    if result is None or steps[-1].result is not result:
        raise graph.operators[-1].refuse(f"is not what computes the output, {graph.output.name}")
    softmax = None
    if steps[-1].kernel.startswith("softmax"):
        softmax = steps.pop()
        source = softmax.sources[0].tensor
        if steps[-1].result is not source or any(
            source is used.tensor for step in steps for used in step.sources
        ):
            steps.append(softmax)
            softmax = None
    return Network(graph.input, steps[-1].result, graph.output, tuple(steps), softmax)


def _copy(tensor: Tensor) -> Step:
    _, width, channels = tensor.image
    return Step(
        kernel="input",
        name=_INPUT_NAME,
        about="the caller's image",
        sources=(),
        result=tensor,
        fields=(("row_bytes", width * channels),),
        operands=0,
    )


def _root(operator: Operator, tensor: Tensor, roots: Mapping[int, Tensor]) -> Tensor:
    """Returns the tensor whose bytes a tensor is."""
    if tensor.index not in roots:
        raise operator.refuse(f"reads {tensor.name}, which nothing before it computes")
    return roots[tensor.index]


def _rooted(operator: Operator, step: Step, roots: Mapping[int, Tensor]) -> tuple[Source, ...]:
    """Returns a step's sources by the tensors whose bytes they are; those of another shape are read whole."""
    sources = []
    for source in step.sources:
        root = _root(operator, source.tensor, roots)
        height = source.tensor.image[0]
        if root.image == source.tensor.image:
            sources.append(replace(source, tensor=root))
        else:
            sources.append(
                replace(source, tensor=root, reach=whole(root.image[0]), in_place=False, height=height)
            )
    return tuple(sources)
