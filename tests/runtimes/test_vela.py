import pytest

from edgecifar.choices import Npu
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import vela


def test_an_int8_model_runs_on_the_npu_whole(models):
    program = vela.compile_for_npu(models["int8.tflite"], Npu.U55_128)
    estimate = program.estimate
    assert estimate.cpu_operators == ()
    assert estimate.npu_operators > 3
    assert estimate.npu == "ethos-u55-128"
    assert estimate.sram_bytes > 1000
    assert estimate.flash_bytes > 1000
    # 128 multiply-adds in a cycle are its peak.
    assert estimate.cycles >= estimate.multiply_adds / 128
    assert estimate.inference_s == pytest.approx(estimate.cycles / estimate.clock_hz, rel=0.01)
    assert program.content[4:8] == b"TFL3"
    assert b"ethos-u" in program.content


def test_a_float_model_is_left_to_the_cpu(models):
    estimate = vela.compile_for_npu(models["float32.tflite"], Npu.U55_128).estimate
    assert estimate.npu_operators == 0
    assert len(estimate.cpu_operators) > 3
    assert estimate.multiply_adds == 0


def test_a_larger_npu_takes_fewer_cycles(models):
    small, large = (
        vela.compile_for_npu(models["int8.tflite"], npu).estimate.cycles for npu in (Npu.U55_32, Npu.U55_256)
    )
    assert large < small


def test_a_damaged_file_is_refused_before_vela_sees_it(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"hello")
    with pytest.raises(ModelError, match="not a TFLite model"):
        vela.compile_for_npu(path, Npu.U55_128)


def test_a_compiler_that_takes_too_long_is_told(models, monkeypatch):
    monkeypatch.setattr(vela, "_TIMEOUT_S", 0.01)
    with pytest.raises(ModelError, match="Vela takes more than 0 seconds"):
        vela.compile_for_npu(models["int8.tflite"], Npu.U55_128)


def test_without_the_package_the_extra_is_named(models, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineMissingError, match=r"pip install 'edgecifar\[vela\]'"):
        vela.compile_for_npu(models["int8.tflite"], Npu.U55_128)
