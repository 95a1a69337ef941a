"""`resnet8`: the image classifier of MLPerf Tiny (Banbury et al. 2021, https://arxiv.org/abs/2106.07597)."""

import tf_keras

from edgecifar.models.layers import convolution
from edgecifar.recipe import ModelSpec

STACKS = ((16, 1), (32, 2), (64, 2))
"""Width and first stride of each residual stack."""


def build(spec: ModelSpec, input_shape: tuple[int, int, int], classes: int) -> tf_keras.Model:
    """Returns the residual network with three stacks of two 3x3 convolutions.

    As published, but without the biases that a following batch norm makes useless.

    Args:
        spec: Its width and L2 penalty; form and dropout are checked by the registry.
        input_shape: (height, width, channels) of the preprocessed images.
        classes: Length of the output.
    """
    layers = tf_keras.layers

    def normalized(x: object, width: int, stride: int, name: str) -> object:
        x = convolution(x, spec, width, 3, name.format("conv"), stride=stride)
        return layers.BatchNormalization(name=name.format("bn"))(x)

    image = layers.Input(input_shape, name="image")
    x = layers.ReLU(name="stem_relu")(normalized(image, STACKS[0][0], 1, "stem_{}"))
    for index, (width, stride) in enumerate(STACKS, start=1):
        branch = layers.ReLU(name=f"stack{index}_relu1")(normalized(x, width, stride, f"stack{index}_{{}}1"))
        branch = normalized(branch, width, 1, f"stack{index}_{{}}2")
        if stride != 1:
            x = convolution(x, spec, width, 1, f"stack{index}_shortcut", stride=stride, bias=True)
        x = layers.Add(name=f"stack{index}_add")([x, branch])
        x = layers.ReLU(name=f"stack{index}_relu2")(x)
    x = layers.AveragePooling2D((x.shape[1], x.shape[2]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(classes, name="logits")(x)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="resnet8")
