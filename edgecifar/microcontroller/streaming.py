"""Steps run together, row by row: how many rows of what lies between them must be kept, and what may overlap.

A group of steps computes the rows of its last step one after another, and of the others just the rows that
these need. So a tensor between two steps is a ring of a few rows, and the result may be written over an input
whose rows are no longer needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgecifar.microcontroller.graph import Tensor
from edgecifar.microcontroller.steps import Reach, Step


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that run together; only the last one's result is read by others."""

    steps: tuple[Step, ...]
    rings: dict[int, int]
    """Rows to keep of each tensor between the steps, by the tensor's index."""
    leads: dict[int, int]
    """Bytes by which the result must start before an input to be written over it, by the input's index.

    Only of inputs that no later group reads."""

    @property
    def result(self) -> Tensor:
        """What the group leaves."""
        return self.steps[-1].result

    @property
    def scratch_bytes(self) -> int:
        """The largest scratch buffer of its steps."""
        return max(step.scratch_bytes for step in self.steps)

    @property
    def ring_bytes(self) -> dict[int, int]:
        """Sizes of the rings by the tensor's index."""
        return {step.result.index: self.rings[step.result.index] * step.row_bytes for step in self.steps[:-1]}


@dataclass(frozen=True, slots=True)
class _Event:
    """One row of one step."""

    step: Step
    row: int


def stream(steps: Sequence[Step], dying: frozenset[int]) -> Group:
    """Returns the group of these steps.

    Args:
        steps: In an order that can be executed.
        dying: Indices of the inputs that nothing after the group reads.
    """
    events = _schedule(steps)
    inner = {step.result.index for step in steps[:-1]}
    rings = dict.fromkeys(inner, 1)
    produced = dict.fromkeys(inner, 0)
    for event in events:
        for source in event.step.sources:
            index = source.tensor.index
            if index in inner:
                needed = source.reach.rows(event.row, source.tensor.image[0])
                if needed:
                    rings[index] = max(rings[index], produced[index] - needed.start)
        if event.step.result.index in inner:
            produced[event.step.result.index] += 1
    leads = {index: _lead(events, steps[-1], index) for index in sorted(dying)}
    return Group(tuple(steps), rings, leads)


def wanted(steps: Sequence[Step], rows: int) -> list[int]:
    """Returns how many rows of each step have to be there for the first `rows` of the last."""
    counts = dict.fromkeys((step.result.index for step in steps), 0)
    counts[steps[-1].result.index] = rows
    for step in reversed(steps):
        for source in step.sources:
            index = source.tensor.index
            if index in counts:
                needed = source.reach.needed(counts[step.result.index], source.tensor.image[0])
                counts[index] = max(counts[index], needed)
    return [counts[step.result.index] for step in steps]


def _schedule(steps: Sequence[Step]) -> list[_Event]:
    events: list[_Event] = []
    done = [0] * len(steps)
    for rows in range(1, steps[-1].rows + 1):
        for place, (step, count) in enumerate(zip(steps, wanted(steps, rows), strict=True)):
            events.extend(_Event(step, row) for row in range(done[place], count))
            done[place] = max(done[place], count)
    return events


def _lead(events: Sequence[_Event], last: Step, index: int) -> int:
    """Returns by how many bytes the result must start before an input, so as not to overtake its readers."""
    lead = 0
    # From the last event back: the lowest row of the input that this event or a later one reads.
    live: int | None = None
    row_bytes = 0
    for event in reversed(events):
        in_place = False
        before = live
        for source in event.step.sources:
            if source.tensor.index == index:
                height, width, channels = source.tensor.image
                row_bytes = width * channels
                needed = source.reach.rows(event.row, height)
                in_place = in_place or (source.in_place and event.step is last)
                if needed:
                    live = needed.start if live is None else min(live, needed.start)
        if event.step is last:
            lowest = before if in_place else live
            if lowest is not None:
                lead = max(lead, (event.row + 1) * last.row_bytes - lowest * row_bytes)
            if in_place:
                lead = max(lead, event.row * (last.row_bytes - row_bytes))
    return lead


def formula(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """Returns for each step but the last how many rows have to be there for row y of the last, in C.

    Each text may name the wants of later steps, as NAME_wanted.
    """
    texts = []
    for place, step in enumerate(steps[:-1]):
        terms = []
        for later in steps[place + 1 :]:
            for source in later.sources:
                if source.tensor is step.result:
                    count = "(y + 1)" if later is steps[-1] else f"{later.name}_wanted"
                    terms.append(_needed_text(source.reach, count, step.rows))
        text = terms[0]
        for term in terms[1:]:
            text = f"at_least({text}, {term})"
        texts.append((step.name, text))
    return texts


def _needed_text(reach: Reach, count: str, height: int) -> str:
    if reach.stride == 0:
        return str(height)
    slack = reach.span - reach.before - reach.stride
    product = count if reach.stride == 1 else f"{count} * {reach.stride}"
    total = product if slack == 0 else f"{product} {'+' if slack > 0 else '-'} {abs(slack)}"
    return f"within({total}, {height})"
