"""Grids of images with captions: data, augmentation, predictions, mistakes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

RIGHT, WRONG, PLAIN = "#2e7d32", "#b3261e", "#202124"


def draw_grid(
    images: NDArray[np.uint8], captions: Sequence[str], colours: Sequence[str], columns: int, title: str
) -> Figure:
    """Returns a grid of captioned images, enlarged without smoothing.

    Args:
        images: uint8 (N, height, width, 3).
        captions: One for each image.
        colours: Of the captions.
        columns: Images in a row.
        title: Over all of them.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.7 * columns, 1.95 * rows + 0.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if place < len(images):
            axes.imshow(images[place], interpolation="nearest")
            axes.set_title(captions[place], fontsize=8, color=colours[place])
    figure.suptitle(title, fontsize=10)
    return figure
