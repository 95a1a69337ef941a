"""A run that was pruned and trained quantization-aware in one go."""

import pytest

from edgecifar.artifacts import Dataset, Run
from edgecifar.choices import Device
from edgecifar.compression.stage import compress
from edgecifar.recipe import CompressionSpec, PruningSpec, QuantizationSpec


@pytest.fixture(scope="session")
def both() -> CompressionSpec:
    """Two epochs each, the second with fixed masks and fixed batch-norm statistics."""
    return CompressionSpec(
        pruning=PruningSpec(sparsity=0.6, epochs=2, batch_size=48, learning_rate=0.005, ramp=0.5),
        quantization=QuantizationSpec(qat=True, epochs=2, batch_size=48, freeze_batch_norm=0.5),
    )


@pytest.fixture(scope="session")
def compressed_run(
    small_run: Run,
    both: CompressionSpec,
    few_images: tuple[Dataset, Dataset],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """`small_run` after `both`."""
    folder = tmp_path_factory.mktemp("runs") / "compressed"
    return compress(
        small_run, both, *few_images, folder, name="compressed", command="pytest", device=Device.CPU
    )
