"""Training as the published script does it: Keras's `fit`, fed by `ImageDataGenerator`, in float32.

https://appliedmachinelearning.blog/2018/03/24/achieving-90-accuracy-in-object-recognition-task-on-cifar-10-dataset-with-keras-convolutional-neural-networks/
"""

import time
from collections.abc import Callable
from typing import Any

from input_pipeline import keras_batches

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.models import build_model
from edgecifar.recipe import Recipe


def fit_as_published(
    recipe: Recipe,
    data: Dataset,
    preprocessing: Preprocessing,
    size: int,
    epochs: int,
    after_epoch: Callable[[float, Any], None],
) -> None:
    """Trains a recipe's network as the published script does.

    Args:
        recipe: `seed`, whose schedule has a constant rate in its first 75 epochs.
        data: What to learn from.
        preprocessing: Applied before, as in the script.
        size: Of a batch.
        epochs: How many, at most 75.
        after_epoch: Called with the seconds of an epoch and the model after it.
    """
    from tf_keras.callbacks import LambdaCallback
    from tf_keras.optimizers import legacy

    spec = recipe.training.optimizer
    shape = (preprocessing.height, preprocessing.width, 3)
    model = build_model(recipe.model, shape, len(data.class_names), recipe.seed)
    # Keras's old class has the script's `decay`.
    optimizer = legacy.RMSprop(spec.learning_rate, decay=spec.decay)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    began = 0.0

    def begin(*_: object) -> None:
        nonlocal began
        began = time.perf_counter()

    model.fit(
        keras_batches(recipe.augmentation, data, preprocessing, size),
        steps_per_epoch=len(data) // size,
        epochs=epochs,
        verbose=0,
        callbacks=[
            LambdaCallback(
                on_epoch_begin=begin,
                on_epoch_end=lambda *_: after_epoch(time.perf_counter() - began, model),
            )
        ],
    )
