"""Training data on the training device: batches are gathered and augmented where they are used."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.data.augmentation import Augment, Batch, make_augment
from edgecifar.recipe import AugmentationSpec


class Feed:
    """Yields the batches of an epoch; the same seed and epoch give the same batches.

    The images lie in the device's memory as bytes (CIFAR-10: 154 MB), once for each GPU.

    Args:
        data: What to learn from.
        augmentation: What to do to it.
        preprocessing: What the model sees.
        batch_size: Over all devices; the last batch of an epoch may be smaller.
        seed: Of the order and the augmentation.
        strategy: The devices.
    """

    def __init__(
        self,
        data: Dataset,
        augmentation: AugmentationSpec,
        preprocessing: Preprocessing,
        batch_size: int,
        seed: int,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.count = len(data)
        self.batch_size = batch_size
        self.steps_per_epoch = -(-self.count // batch_size)
        self._seed = seed
        self._strategy = strategy
        classes = len(data.class_names)
        self._held = strategy.experimental_distribute_values_from_function(
            lambda _: (tf.constant(data.images), tf.one_hot(data.labels, classes))
        )
        self._gather = tf.function(_gather_with(make_augment(augmentation, preprocessing), strategy))

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of one epoch, shuffled and augmented.

        With several devices a batch is a value per replica.
        """
        order = np.random.default_rng([self._seed, epoch]).permutation(self.count)
        for step in range(self.steps_per_epoch):
            indices = order[step * self.batch_size : (step + 1) * self.batch_size]
            # stateless random operations take two int32: the second tells steps and replicas apart.
            yield self._gather(
                self._held,
                self._split(indices),
                tf.constant(epoch, tf.int64),
                tf.constant([self._seed, epoch * self.steps_per_epoch + step], tf.int32),
            )

    def _split(self, indices: NDArray[np.int64]) -> tf.Tensor:
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return tf.constant(indices)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(indices[context.replica_id_in_sync_group :: replicas])
        )


def _gather_with(augment: Augment, strategy: tf.distribute.Strategy) -> object:
    def on_replica(
        held: tuple[tf.Tensor, tf.Tensor], indices: tf.Tensor, epoch: tf.Tensor, seed: tf.Tensor
    ) -> Batch:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        images, labels = held
        seed = tf.stack([seed[0] + 7919 * replica, seed[1]])
        return augment(tf.gather(images, indices), tf.gather(labels, indices), indices, epoch, seed)

    return lambda held, indices, epoch, seed: strategy.run(on_replica, args=(held, indices, epoch, seed))
