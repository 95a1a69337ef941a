from collections.abc import Callable

import numpy as np

from edgecifar.artifacts import Dataset
from edgecifar.learning.feed import Feed
from edgecifar.recipe import AugmentationSpec, Flip

MakeFeed = Callable[..., Feed]


def collect(feed: Feed, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    batches = list(feed.epoch(epoch))
    assert len(batches) == feed.steps_per_epoch
    return np.concatenate([values for values, _ in batches]), np.concatenate(
        [labels for _, labels in batches]
    )


def test_an_epoch_has_each_image_once_with_its_label(make_feed: MakeFeed, shades: Dataset) -> None:
    values, labels = collect(make_feed(), 0)
    assert values.dtype == labels.dtype == np.float32
    assert labels.shape == (50, 2)
    found = {(value.tobytes(), int(label.argmax())) for value, label in zip(values, labels, strict=True)}
    pixels = shades.images.astype(np.float32)
    assert found == {
        (image.tobytes(), int(label)) for image, label in zip(pixels, shades.labels, strict=True)
    }
    assert (labels.sum(axis=1) == 1).all()


def test_the_last_batch_holds_the_rest(make_feed: MakeFeed) -> None:
    feed = make_feed()
    assert (feed.count, feed.batch_size, feed.steps_per_epoch) == (50, 16, 4)
    assert [len(values) for values, _ in feed.epoch(0)] == [16, 16, 16, 2]
    assert [len(values) for values, _ in make_feed(batch_size=25).epoch(0)] == [25, 25]
    assert [len(values) for values, _ in make_feed(batch_size=64).epoch(0)] == [50]


def test_seed_and_epoch_decide_on_the_order(make_feed: MakeFeed, shades: Dataset) -> None:
    first, _ = collect(make_feed(), 0)
    np.testing.assert_array_equal(first, collect(make_feed(), 0)[0])
    assert (first != shades.images).any(), "shuffled"
    assert (first != collect(make_feed(), 1)[0]).any()
    assert (first != collect(make_feed(seed=2), 0)[0]).any()


def test_an_epoch_does_not_depend_on_those_before(make_feed: MakeFeed) -> None:
    augmentation = AugmentationSpec(flip=Flip.ALTERNATING, crop=1, cutout=2, colour=0.3, mixup=0.4)
    going_on = make_feed(augmentation)
    for epoch in range(2):
        collect(going_on, epoch)
    for before, after in zip(collect(going_on, 2), collect(make_feed(augmentation), 2), strict=True):
        np.testing.assert_array_equal(before, after)


def test_each_step_draws_its_own(make_feed: MakeFeed, shades: Dataset) -> None:
    same = shades.select(np.zeros(40, np.int64))
    feed = make_feed(AugmentationSpec(colour=0.5), batch_size=10, data=same)
    batches = [values.numpy() for epoch in (0, 1) for values, _ in feed.epoch(epoch)]
    assert len({batch.tobytes() for batch in batches}) == 8
