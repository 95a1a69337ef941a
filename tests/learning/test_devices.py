import pytest
import tensorflow as tf

from edgecifar.choices import Device
from edgecifar.errors import EngineMissingError
from edgecifar.learning import devices
from edgecifar.learning.devices import Placement, keras_policy, place
from edgecifar.recipe import Precision


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])


def placement(*, on_gpu: bool) -> Placement:
    return Placement(tf.distribute.get_strategy(), ("a device",), on_gpu)


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_not_there_is_told_with_how_to_get_it() -> None:
    with pytest.raises(EngineMissingError, match="TensorFlow sees no GPU") as caught:
        place(Device.GPU)
    assert "pip install 'edgecifar[gpu]'" in caught.value.mend
    assert caught.value.exit_status == 3


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", [Device.AUTO, Device.CPU])
def test_the_cpu_trains_where_there_is_no_gpu(device: Device) -> None:
    found = place(device)
    assert (found.names, found.on_gpu, found.strategy.num_replicas_in_sync) == (("CPU",), False, 1)


def test_the_cpu_trains_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [gpu])
    assert not place(Device.CPU).on_gpu


@pytest.mark.gpu
@pytest.mark.parametrize("device", [Device.AUTO, Device.GPU])
def test_gpus_train_where_there_are_any(device: Device) -> None:
    found = place(device)
    assert found.on_gpu
    assert len(found.names) == found.strategy.num_replicas_in_sync
    assert found.precision(Precision.AUTO) is Precision.FLOAT16


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("avx2", "avx512f", "avx512_bf16"), Precision.BFLOAT16),
        (("amx_bf16",), Precision.BFLOAT16),
        (("asimddp", "bf16"), Precision.BFLOAT16),
        (("avx2", "avx512f", "avx512_vnni"), Precision.FLOAT32),
        ((), Precision.FLOAT32),
    ],
)
def test_auto_on_a_cpu_is_bfloat16_where_it_has_it(
    flags: tuple[str, ...], expected: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    assert placement(on_gpu=False).precision(Precision.AUTO) is expected


def test_auto_on_a_gpu_is_float16() -> None:
    assert placement(on_gpu=True).precision(Precision.AUTO) is Precision.FLOAT16


@pytest.mark.parametrize("wanted", [Precision.FLOAT32, Precision.BFLOAT16, Precision.FLOAT16])
@pytest.mark.parametrize("on_gpu", [True, False])
def test_what_is_asked_for_is_taken(wanted: Precision, on_gpu: bool) -> None:  # noqa: FBT001
    assert placement(on_gpu=on_gpu).precision(wanted) is wanted


def test_each_precision_has_a_policy() -> None:
    policies = [keras_policy(precision) for precision in Precision if precision is not Precision.AUTO]
    assert policies == ["float32", "mixed_bfloat16", "mixed_float16"]
