"""Trains the same twice, on one device and on two, and prints both histories and weights as JSON.

A script of its own: a process can be given two logical devices only before TensorFlow starts.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.learning.devices import Placement
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.loop import Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.progress import SILENT
from edgecifar.recipe import AugmentationSpec, Flip, OptimizerSpec, Precision


def train(strategy: tf.distribute.Strategy, folder: Path) -> dict[str, object]:
    labels = np.arange(50) % 2
    noise = np.random.default_rng(0).integers(0, 100, (50, 4, 4, 3))
    images = (noise + 120 * labels[:, None, None, None]).astype(np.uint8)
    data = Dataset(images, labels, ("dark", "bright"), "shades", "train")
    preprocessing = Preprocessing(mean=110, std=64, height=4, width=4)
    layers = tf_keras.layers
    with strategy.scope():
        image = layers.Input((4, 4, 3))
        penalty = tf_keras.regularizers.L2(0.01)
        logits = layers.Dense(2, kernel_initializer="zeros", kernel_regularizer=penalty)
        model = tf_keras.Model(image, layers.Softmax()(logits(layers.Flatten()(image))))
        optimizer = make_optimizer(OptimizerSpec(weight_decay=0.01), Precision.FLOAT32)
    # Flips go by the image and the epoch, so both trainings see the same; the last batch has 2 images.
    feed = Feed(data, AugmentationSpec(flip=Flip.ALTERNATING), preprocessing, 16, 1, strategy)
    plan = Plan(
        phase="train",
        epochs=2,
        rates=np.full(8, 0.01, np.float32),
        label_smoothing=0.1,
        average_decay=0.9,
        seed=0,
        identity="shades",
        compile_step=False,
    )
    evaluator = Evaluator(model, data, preprocessing)
    placement = Placement(strategy, ("CPU",), on_gpu=False)
    rows = descend(model, optimizer, plan, feed, evaluator, placement, folder, SILENT)
    return {
        "rows": [row.model_dump(exclude={"seconds", "phase"}) for row in rows],
        "weights": np.concatenate([weight.ravel() for weight in model.get_weights()]).tolist(),
    }


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    root = Path(sys.argv[1])
    one = train(tf.distribute.OneDeviceStrategy("/cpu:0"), root / "one")
    two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), root / "two")
    json.dump([one, two], sys.stdout)
