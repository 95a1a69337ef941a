from itertools import pairwise

import numpy as np
import pytest

from edgecifar.microcontroller.graph import Tensor
from edgecifar.microcontroller.planning import SCRATCH, Block, plan
from edgecifar.microcontroller.steps import ELEMENTWISE, Reach, Source, Step, whole
from edgecifar.microcontroller.streaming import stream, wanted

CONV3 = Reach(1, 1, 3)


def image(index: int, height: int = 8, width: int = 8, channels: int = 1) -> Tensor:
    scales, zeros = np.ones(1, np.float32), np.zeros(1, np.int64)
    return Tensor(index, f"t{index}", (1, height, width, channels), "int8", scales, zeros, 0, None)


def step(result: Tensor, *sources: Source, scratch: int = 0) -> Step:
    name = f"s{result.index}"
    return Step("kernel", name, "", sources, result, (), scratch_bytes=scratch)


def test_reach_by_hand() -> None:
    strided = Reach(2, 1, 3)
    assert [list(strided.rows(y, 8)) for y in (0, 1, 3)] == [[0, 1], [1, 2, 3], [5, 6, 7]]
    assert [strided.needed(rows, 8) for rows in (1, 2, 4)] == [2, 4, 8]


def test_a_convolution_is_written_two_rows_before_its_input() -> None:
    source = image(0)
    group = stream([step(image(1), Source(source, CONV3))], frozenset({0}))
    # Row r is written when row r - 1 of the input is read for the last time: two rows of 8 bytes ahead.
    assert group.leads == {0: 16}


def test_an_element_is_written_where_it_was_read() -> None:
    source = Source(image(0), ELEMENTWISE, in_place=True)
    assert stream([step(image(1), source)], frozenset({0})).leads == {0: 0}


def test_between_two_convolutions_three_rows_are_kept() -> None:
    source, middle = image(0), image(1)
    steps = [step(middle, Source(source, CONV3)), step(image(2), Source(middle, CONV3))]
    group = stream(steps, frozenset({0}))
    assert group.rings == {1: 3}
    # The first convolution runs a row ahead: it has read what the second one's row is written over.
    assert group.leads == {0: 0}
    assert wanted(steps, 1) == [2, 1]


def test_a_residual_block_needs_its_input_and_three_rows() -> None:
    source, first, second = image(1), image(2), image(3)
    steps = [
        Step("input", "image", "", (), source, ()),
        step(first, Source(source, CONV3)),
        step(second, Source(first, CONV3)),
        step(
            image(4), Source(source, ELEMENTWISE, in_place=True), Source(second, ELEMENTWISE, in_place=True)
        ),
        step(image(5), Source(image(4), whole(8))),
    ]
    layout = plan(steps, frozenset({5}))
    # 64 bytes of input, three rows of the first convolution, one of the second.
    assert layout.bound_bytes == layout.arena_bytes == 64 + 3 * 8 + 8
    assert layout.unstreamed_bytes == 3 * 64


def test_blocks_that_live_at_once_do_not_overlap() -> None:
    tensors = [image(index, channels=1 + index % 3) for index in range(7)]
    steps = [Step("input", "image", "", (), tensors[0], ())]
    for before, after in pairwise(tensors):
        steps.append(step(after, Source(before, CONV3), Source(tensors[0], ELEMENTWISE), scratch=12))
    layout = plan(steps, frozenset({6}))
    for group, offsets in zip(layout.groups, layout.offsets, strict=True):
        rings = group.ring_bytes
        sizes = {entry.result.index: entry.rows * entry.row_bytes for entry in steps} | rings
        sizes[SCRATCH] = group.scratch_bytes
        spans = sorted((start, start + sizes[tensor], tensor) for tensor, start in offsets.items())
        for (_, end, lower), (start, _, upper) in pairwise(spans):
            # The result alone may lie over an input that dies, and then starts before it.
            assert end <= start or (lower == group.result.index and upper in group.leads)
        assert max(end for _, end, _ in spans) <= layout.arena_bytes


@pytest.mark.parametrize(("lead", "expected"), [(0, (0, 64)), (16, (16, 64)), (500, (64, 64))])
def test_the_gap_between_a_result_and_its_input(lead: int, expected: tuple[int, int]) -> None:
    source, result = Block(0, 64, 0, 1, {}), Block(1, 64, 1, 2, {0: lead})
    assert result.gap(source) == expected
    assert source.gap(result) == expected[::-1]
    assert Block(2, 8, 3, 4, {}).gap(source) is None
