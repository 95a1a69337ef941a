"""Makes nchw.onnx: a small classifier trained in PyTorch, as `torch.onnx.export` writes it.

Run once, from the top of the checkout, in an environment of its own:

    python -m venv /tmp/torch
    /tmp/torch/bin/pip install torch==2.13.0 onnx onnxscript numpy pillow
    /tmp/torch/bin/python tests/foreign/make_pytorch.py

The model takes float32 (N, 3, 32, 32), N open, of torchvision's kind, (pixel / 255 - mean) / std by channel,
and gives logits.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "edgecifar" / "data" / "sample"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
EPOCHS = 60


def read(half: str) -> tuple[torch.Tensor, torch.Tensor]:
    sheets = [np.asarray(Image.open(SAMPLE / f"{half}-{name}.webp").convert("RGB")) for name in CLASSES]
    images = np.concatenate([sheet.reshape(-1, 32, 32, 3) for sheet in sheets]).astype(np.float32)
    images = (images / 255 - np.float32(MEAN)) / np.float32(STD)
    labels = np.repeat(np.arange(len(CLASSES)), len(images) // len(CLASSES))
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)


def block(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = read("train")
    model = nn.Sequential(
        block(3, 12), block(12, 24), block(24, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(images) // 50)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(50):
            chosen = images[batch]
            mirrored = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, chosen.flip(3), chosen)
            loss = nn.functional.cross_entropy(model(mirrored), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    tests, truth = read("test")
    with torch.no_grad():
        sys.stdout.write(f"{int((model(tests).argmax(1) == truth).sum())} of {len(truth)} right\n")
    torch.onnx.export(
        model,
        (images[:2],),
        HERE / "nchw.onnx",
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
    )


if __name__ == "__main__":
    main()
