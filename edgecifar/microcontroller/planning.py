"""Where each tensor lies in the arena, and which steps run together row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from edgecifar.microcontroller.steps import Step
from edgecifar.microcontroller.streaming import Group, stream

_LONGEST_GROUP = 12
"""Steps; longer ones save little and take long to try."""
_TRIES = 400
_ALIGNMENT = 4
"""Bytes: scratch buffers hold 32-bit accumulators."""

SCRATCH = -1
"""Stands for a group's scratch buffer where tensors are known by their index."""


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is alive from one group to another."""

    tensor: int
    """Index, or `SCRATCH`."""
    size_bytes: int
    first: int
    last: int
    leads: dict[int, int]
    """As `Group.leads`, of the group that writes it."""

    def gap(self, other: "Block") -> tuple[int, int] | None:
        """Returns (below, above): this block's start may not lie in other's start + (-below, above)."""
        if self.last < other.first or other.last < self.first:
            return None
        below, above = self.size_bytes, other.size_bytes
        if self.first == other.last and other.tensor in self.leads:
            below = min(below, self.leads[other.tensor])
        if other.first == self.last and self.tensor in other.leads:
            above = min(above, other.leads[self.tensor])
        return below, above


@dataclass(frozen=True, slots=True)
class Plan:
    """The arena."""

    groups: tuple[Group, ...]
    offsets: tuple[dict[int, int], ...]
    """Of each group: byte offsets of the tensors that it touches, and of `SCRATCH`."""
    arena_bytes: int
    bound_bytes: int
    """What is alive at once in the group that needs most: no placement needs less."""
    unstreamed_bytes: int
    """The same if each step ran alone and no result were written over an input."""


def plan(steps: Sequence[Step], outside: frozenset[int]) -> Plan:
    """Returns the plan with the smallest arena found.

    Args:
        steps: In an order that can be executed.
        outside: Indices of tensors that the caller holds.
    """
    last_use = {source.tensor.index: place for place, step in enumerate(steps) for source in step.sources}
    groups, bound = _partition(steps, last_use, outside)
    blocks = _blocks(groups, outside)
    starts, arena = _place(blocks)
    offsets: list[dict[int, int]] = [{} for _ in groups]
    for block, start in zip(blocks, starts, strict=True):
        for time in range(block.first, block.last + 1):
            offsets[time][block.tensor] = start
    alone = [_live_bytes(steps, last_use, outside, place) for place in range(len(steps))]
    return Plan(tuple(groups), tuple(offsets), arena, bound, max(alone))


def _live_bytes(steps: Sequence[Step], last_use: dict[int, int], outside: frozenset[int], place: int) -> int:
    """Returns the size of all that is alive while a step runs alone."""
    alive = [
        step.rows * step.row_bytes
        for at, step in enumerate(steps[: place + 1])
        if step.result.index not in outside and (at == place or last_use.get(step.result.index, at) >= place)
    ]
    return sum(map(_aligned, (*alive, steps[place].scratch_bytes)))


def _partition(
    steps: Sequence[Step], last_use: dict[int, int], outside: frozenset[int]
) -> tuple[list[Group], int]:
    """Returns the steps in groups that need least memory at once, as many groups as do, and that memory."""
    count = len(steps)
    candidates: dict[tuple[int, int], tuple[Group, int]] = {}
    for first in range(count):
        for end in range(first + 1, min(first + _LONGEST_GROUP, count) + 1):
            if _is_closed(steps, last_use, first, end):
                candidates[first, end] = _candidate(steps, last_use, outside, first, end)
    # peaks[end]: the least possible peak of the first `end` steps.
    peaks = [0]
    for end in range(1, count + 1):
        peaks.append(min(max(peaks[a], p) for (a, b), (_, p) in candidates.items() if b == end))
    # Within that peak, the most groups: their code is the simplest.
    most: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, count + 1):
        choices = [
            (most[a][0] + 1, a)
            for (a, b), (_, peak) in candidates.items()
            if b == end and peak <= peaks[count] and most[a][0] >= 0
        ]
        most.append(max(choices, default=(-1, 0)))
    groups: list[Group] = []
    end = count
    while end:
        groups.insert(0, candidates[most[end][1], end][0])
        end = most[end][1]
    return groups, peaks[count]


def _is_closed(steps: Sequence[Step], last_use: dict[int, int], first: int, end: int) -> bool:
    """Returns whether nothing outside reads what lies between these steps, and the last needs them all."""
    inner = [step.result.index for step in steps[first : end - 1]]
    return all(index in last_use and last_use[index] < end for index in inner)


def _candidate(
    steps: Sequence[Step], last_use: dict[int, int], outside: frozenset[int], first: int, end: int
) -> tuple[Group, int]:
    """Returns a group and what is alive at once while it runs."""
    sizes = {step.result.index: step.rows * step.row_bytes for step in steps}
    sizes = {index: 0 if index in outside else _aligned(size) for index, size in sizes.items()}
    before = {step.result.index for step in steps[:first]}
    dying = frozenset(index for index in before if first <= last_use.get(index, -1) < end)
    group = stream(steps[first:end], dying)
    passing = sum(sizes[index] for index in before if last_use.get(index, -1) >= first)
    result = sizes[group.result.index]
    together = passing + result
    for index, lead in group.leads.items():
        alone = passing - sizes[index]
        if result and sizes[index]:
            together = min(together, alone + max(_aligned(lead) + sizes[index], result))
    rings = sum(map(_aligned, group.ring_bytes.values()))
    return group, together + rings + _aligned(group.scratch_bytes)


def _blocks(groups: Sequence[Group], outside: frozenset[int]) -> list[Block]:
    ends = {
        source.tensor.index: time
        for time, group in enumerate(groups)
        for step in group.steps
        for source in step.sources
    }
    blocks: list[Block] = []
    for time, group in enumerate(groups):
        result = group.steps[-1]
        leads = {index: _aligned(lead) for index, lead in group.leads.items()}
        sizes: list[tuple[int, int, int, dict[int, int]]]
        sizes = [(index, size, time, {}) for index, size in sorted(group.ring_bytes.items())]
        if group.scratch_bytes:
            sizes.append((SCRATCH, group.scratch_bytes, time, {}))
        if result.result.index not in outside:
            end = ends.get(result.result.index, time)
            sizes.append((result.result.index, result.rows * result.row_bytes, end, leads))
        blocks.extend(Block(index, _aligned(size), time, end, lead) for index, size, end, lead in sizes)
    return blocks


def _place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Returns a start for each block and the size of the arena: the best of many orders of placing them."""
    order = sorted(range(len(blocks)), key=lambda place: (-blocks[place].size_bytes, place))
    best = _place_in(blocks, order)
    random = Random(0)  # noqa: S311  the same input gives the same plan
    for _ in range(_TRIES if len(blocks) > 2 else 0):
        changed = list(order)
        first, second = random.sample(range(len(order)), 2)
        changed.insert(first, changed.pop(second))
        starts, size = _place_in(blocks, changed)
        if size <= best[1]:
            order, best = changed, (starts, size)
    return best


def _place_in(blocks: Sequence[Block], order: Sequence[int]) -> tuple[list[int], int]:
    """Returns the starts and the size where each block in turn takes the lowest place that is free."""
    starts: dict[int, int] = {}
    for place in order:
        taken = []
        for other, start in starts.items():
            gap = blocks[place].gap(blocks[other])
            if gap:
                taken.append((start - gap[0], start + gap[1]))
        starts[place] = _lowest_free(taken)
    size = max((starts[place] + block.size_bytes for place, block in enumerate(blocks)), default=0)
    return [starts[place] for place in range(len(blocks))], size


def _lowest_free(taken: Sequence[tuple[int, int]]) -> int:
    """Returns the smallest number from 0 that lies strictly inside no interval."""
    start = 0
    while blocking := [high for low, high in taken if low < start < high]:
        start = max(blocking)
    return start


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
