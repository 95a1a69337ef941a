"""Makes classifier.keras: a small classifier trained and saved by Keras 3.

Run once, from the top of the checkout, in the development environment:

    python tests/foreign/make_keras3.py

The model takes pixels of 0-1, channels last, and gives probabilities.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "edgecifar" / "data" / "sample"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EPOCHS = 60


def read(half: str) -> tuple[np.ndarray, np.ndarray]:
    sheets = [np.asarray(Image.open(SAMPLE / f"{half}-{name}.webp").convert("RGB")) for name in CLASSES]
    images = np.concatenate([sheet.reshape(-1, 32, 32, 3) for sheet in sheets])
    labels = np.repeat(np.arange(len(CLASSES)), len(images) // len(CLASSES))
    return images.astype(np.float32) / 255, labels


def build() -> keras.Model:
    layers = [keras.Input((32, 32, 3), name="image")]
    for width in (12, 24, 32):
        layers += [
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(2),
        ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential(layers)


def main() -> None:
    keras.utils.set_random_seed(0)
    images, labels = read("train")
    model = build()
    model.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy())
    rng = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        model.optimizer.learning_rate = 0.005 * (1 + np.cos(np.pi * epoch / EPOCHS))
        mirrored = np.where(rng.random((len(images), 1, 1, 1)) < 0.5, images[:, :, ::-1], images)
        model.fit(mirrored, labels, batch_size=50, verbose=0)
    tests, truth = read("test")
    sys.stdout.write(
        f"{int((model.predict(tests, verbose=0).argmax(1) == truth).sum())} of {len(truth)} right\n"
    )
    # Without the optimizer's state.
    keras.Model(model.inputs, model.outputs).save(HERE / "classifier.keras")


if __name__ == "__main__":
    main()
