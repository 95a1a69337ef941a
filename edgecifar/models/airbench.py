"""`airbench`: the network of Jordan 2024 (https://arxiv.org/abs/2404.00498), which learns fast. A teacher."""

import tf_keras

from edgecifar.errors import RecipeError
from edgecifar.models.layers import convolution
from edgecifar.recipe import ModelSpec

STEM = 24
"""Channels of the first convolution: each of the 12 directions of a 2 x 2 patch of RGB, and its negative."""

WIDTHS = (64, 256, 256)

SMALLEST = 16
"""Height and width in pixels, below which nothing is left after four poolings."""


def build(spec: ModelSpec, input_shape: tuple[int, int, int], classes: int) -> tf_keras.Model:
    """Returns a 2x2 convolution, three blocks of two 3x3 convolutions, and a dense softmax of channel maxima.

    As published (1,975,106 parameters at 32x32x3 and 10 classes), but in the edge form: conv -> batch norm ->
    ReLU, with the pooling after it, where the published one has conv -> pool -> batch norm -> GELU. Nor has
    it a fixed scale of the logits. Like there the first convolution has no batch norm:
    `training.initialization = "whitened"` is made for it.

    Args:
        spec: Its width and L2 penalty; form and dropout are checked by the registry.
        input_shape: (height, width, channels) of the preprocessed images.
        classes: Length of the output.

    Raises:
        RecipeError: The images are too small.
    """
    if min(input_shape[:2]) < SMALLEST:
        raise RecipeError(f"[model] airbench needs images of {SMALLEST} x {SMALLEST} pixels at least.")
    layers = tf_keras.layers
    image = layers.Input(input_shape, name="image")
    x = convolution(image, spec, STEM, 2, "stem_conv", padding="valid", bias=True)
    x = layers.ReLU(name="stem_relu")(x)
    for block, width in enumerate(WIDTHS, start=1):
        for index in (1, 2):
            name = f"block{block}_{{}}{index}"
            x = convolution(x, spec, width, 3, name.format("conv"))
            x = layers.BatchNormalization(name=name.format("bn"))(x)
            x = layers.ReLU(name=name.format("relu"))(x)
            if index == 1:
                x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.MaxPooling2D((x.shape[1], x.shape[2]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(classes, name="logits")(x)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="airbench")
