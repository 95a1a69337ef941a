"""`resnet8`: the image classifier of MLPerf Tiny (Banbury et al. 2021, https://arxiv.org/abs/2106.07597)."""

import tf_keras

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
    regularizer = tf_keras.regularizers.L2(spec.l2) if spec.l2 else None

    def convolution(x: object, width: int, size: int, stride: int, name: str, *, bias: bool) -> object:
        return layers.Conv2D(
            width * spec.width,
            size,
            strides=stride,
            padding="same",
            use_bias=bias,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer,
            name=name,
        )(x)

    def normalized(x: object, width: int, stride: int, name: str) -> object:
        x = convolution(x, width, 3, stride, f"{name.format('conv')}", bias=False)
        return layers.BatchNormalization(name=name.format("bn"))(x)

    image = layers.Input(input_shape, name="image")
    x = layers.ReLU(name="stem_relu")(normalized(image, STACKS[0][0], 1, "stem_{}"))
    for index, (width, stride) in enumerate(STACKS, start=1):
        branch = layers.ReLU(name=f"stack{index}_relu1")(normalized(x, width, stride, f"stack{index}_{{}}1"))
        branch = normalized(branch, width, 1, f"stack{index}_{{}}2")
        if stride != 1:
            x = convolution(x, width, 1, stride, f"stack{index}_shortcut", bias=True)
        x = layers.Add(name=f"stack{index}_add")([x, branch])
        x = layers.ReLU(name=f"stack{index}_relu2")(x)
    x = layers.AveragePooling2D((x.shape[1], x.shape[2]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(classes, name="logits")(x)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="resnet8")
