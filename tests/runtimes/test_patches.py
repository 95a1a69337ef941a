import pytest

from edgecifar.runtimes.patches import same_padding


@pytest.mark.parametrize(("rule", "size", "kernel", "stride", "dilation", "pads"), [
    # Three places at distance 2 with a kernel of 2 need 6 rows of 5; in the width nothing is missing.
    ("SAME_UPPER", (5, 3), (2, 1), (2, 1), (1, 1), (0, 0, 1, 0)),
    ("SAME_LOWER", (5, 3), (2, 1), (2, 1), (1, 1), (1, 0, 0, 0)),
    # A kernel of 3 whose taps lie 2 apart spans 5.
    ("SAME_UPPER", (8, 8), (3, 3), (1, 1), (2, 1), (2, 1, 2, 1)),
    # Strides that are longer than the kernel skip rows and need none.
    ("SAME_LOWER", (6, 6), (1, 1), (3, 3), (1, 1), (0, 0, 0, 0)),
])  # fmt: skip
def test_padding_keeps_a_place_for_each_stride(
    rule: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    assert same_padding(rule, size, kernel, stride, dilation) == pads
