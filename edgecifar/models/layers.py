"""What all networks are made of."""

import tf_keras

from edgecifar.recipe import ModelSpec


def convolution(
    x: object,
    spec: ModelSpec,
    width: int,
    size: int,
    name: str,
    *,
    stride: int = 1,
    padding: str = "same",
    bias: bool = False,
    initializer: str = "he_normal",
) -> object:
    """Returns x after a convolution.

    Args:
        x: Keras tensor (N, height, width, channels).
        spec: Multiplies the width, and has the L2 penalty.
        width: Channels of the output, before it is multiplied.
        size: Height and width of the kernel, pixels.
        name: Of the layer.
        stride: Pixels, down and to the right.
        padding: "same" or "valid".
        bias: False where a batch norm follows, which makes it useless.
        initializer: Of the kernel, as Keras names it; the default is meant for ReLUs (He et al. 2015).
    """
    return tf_keras.layers.Conv2D(
        width * spec.width,
        size,
        strides=stride,
        padding=padding,
        use_bias=bias,
        kernel_initializer=initializer,
        kernel_regularizer=tf_keras.regularizers.L2(spec.l2) if spec.l2 else None,
        name=name,
    )(x)
