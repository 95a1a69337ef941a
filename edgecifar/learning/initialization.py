"""Initial weights that spare a training its first epochs: a whitening layer, then layers that pass on.

Jordan 2024, https://arxiv.org/abs/2404.00498, section 3: there the network learns as much in half the epochs.
Here nothing is frozen.
"""

import numpy as np
import tf_keras
from numpy.typing import NDArray

FLOOR = 5e-4
"""Added to the variance of each direction: the faintest ones are noise."""


def whiten(model: tf_keras.Model, values: NDArray[np.float32]) -> None:
    """Sets the weights of a fresh network's convolutions.

    The filters of the first one become pairs of whitened principal components of its input's patches and
    their negatives, as many as there are of either. Filters that are left keep their random weights. Each
    later convolution's first filters pass its input on, where no shortcut does that already.

    Args:
        model: With at least one convolution; changed in place.
        values: Preprocessed images, float32 (N, height, width, channels).
    """
    first, *others = (layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D))
    _set_kernel(first, _whitening(first.kernel.numpy(), values))
    if not any(isinstance(layer, tf_keras.layers.Add) for layer in model.layers):
        for layer in others:
            _set_kernel(layer, _passing(layer.kernel.numpy()))


def _set_kernel(layer: tf_keras.layers.Conv2D, kernel: NDArray[np.float32]) -> None:
    layer.set_weights([kernel, *layer.get_weights()[1:]])


def _whitening(kernel: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the first convolution's kernel, float32 (height, width, channels, filters)."""
    height, width, channels, filters = kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(values, (height, width), axis=(1, 2))
    # (N, rows, columns, channels, height, width), to the order of the kernel.
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels)
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    pairs = min(filters // 2, len(variances))
    largest = np.argsort(variances)[::-1][:pairs]
    components = directions[:, largest] / np.sqrt(variances[largest] + FLOOR)
    whitened = kernel.copy()
    for start, sign in ((0, 1), (pairs, -1)):
        whitened[..., start : start + pairs] = sign * components.reshape(height, width, channels, pairs)
    return whitened


def _passing(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns a later convolution's kernel, of which filter i passes channel i on."""
    height, width, channels, filters = kernel.shape
    passing = kernel.copy()
    passed = min(channels, filters)
    passing[..., :passed] = 0
    passing[height // 2, width // 2, range(passed), range(passed)] = 1
    return passing
