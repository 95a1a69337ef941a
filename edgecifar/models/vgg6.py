"""Plain convolutional networks: `vgg6`, two convolutions a block, and `shallow3`, one."""

import tf_keras

from edgecifar.models.layers import convolution
from edgecifar.recipe import Form, ModelSpec

WIDTHS = (32, 64, 128)


def build(
    spec: ModelSpec, input_shape: tuple[int, int, int], classes: int, convolutions: int
) -> tf_keras.Model:
    """Returns three blocks of 3x3 convolutions, each pooled by 2, and a dense softmax.

    The blocks are 32, 64 and 128 channels wide, times the recipe's width.

    The seed's form (https://appliedmachinelearning.blog/2018/03/24/, 309,290 parameters at 32x32x3
    and 10 classes with two convolutions) is conv -> ELU -> batch norm; the edge form is conv -> batch norm ->
    ReLU.

    Args:
        spec: Form, width, dropout rates after the blocks, and L2 penalty.
        input_shape: (height, width, channels) of the preprocessed images.
        classes: Length of the output.
        convolutions: Convolutions in a block.
    """
    layers = tf_keras.layers
    image = x = layers.Input(input_shape, name="image")
    edge = spec.form is Form.EDGE
    for block, (width, dropout) in enumerate(zip(WIDTHS, spec.dropout, strict=True), start=1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_{{}}{index}"
            x = convolution(
                x,
                spec,
                width,
                3,
                name.format("conv"),
                bias=not edge,
                initializer="he_normal" if edge else "glorot_uniform",
            )
            if edge:
                x = layers.BatchNormalization(name=name.format("bn"))(x)
                x = layers.ReLU(name=name.format("relu"))(x)
            else:
                x = layers.ELU(name=name.format("elu"))(x)
                x = layers.BatchNormalization(name=name.format("bn"))(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"block{block}_dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(classes, name="logits")(x)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="vgg6" if convolutions == 2 else "shallow3")
