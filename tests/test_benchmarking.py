"""Each artifact in a process of its own, in turn."""

import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest

from edgecifar import benchmarking
from edgecifar.benchmarking import Contender, Plan, measure_speed
from edgecifar.errors import ModelError
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision

PLAN = Plan(rounds=2, calls=5, round_s=5.0, batches=(1, 4), threads=(1,))


@pytest.fixture(scope="module")
def contenders(tiny, tmp_path_factory) -> list[Contender]:
    folder = tmp_path_factory.mktemp("benchmarking")
    files = {
        "int8.tflite": tflite.convert(
            tiny.float_model, Precision.INT8, Io.UINT8, tiny.preprocessing, tiny.calibration
        ),
        "float32.onnx": onnx.convert(tiny.float_model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing),
    }
    made = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
        precision, form = name.split(".")
        images = tiny.test.images[:20]
        made.append(
            Contender(
                name=name,
                path=folder / name,
                files=(folder / name,),
                format=form,
                precision=precision,
                runtime="litert" if form == "tflite" else "ort-cpu",
                encode=lambda info, images=images: (
                    images if info.dtype == "uint8" else tiny.preprocessing.apply(images)
                ),
                count_correct=lambda raw, _: int(
                    np.count_nonzero(raw.argmax(axis=1) == tiny.test.labels[:20])
                ),
            )
        )
    return made


def test_rows_hold_what_was_measured(contenders, tiny):
    rows, refused = measure_speed(contenders, PLAN)
    assert refused == []
    assert [row.artifact for row in rows] == ["int8.tflite", "float32.onnx"]
    for row, contender in zip(rows, contenders, strict=True):
        assert row.size_bytes == contender.path.stat().st_size
        assert 0 < row.gzip_bytes < row.size_bytes
        assert row.latency.calls == PLAN.rounds * PLAN.calls
        assert len(row.latency.rounds_s) == PLAN.rounds
        assert 0 < row.latency.median_s <= row.latency.p90_s <= row.latency.p99_s
        assert {(one.batch, one.threads) for one in row.throughput} == {(1, 1), (4, 1)}
        assert all(one.images_per_s > 0 for one in row.throughput)
        assert row.load_s > 0
        assert row.accuracy.total == 20
        # A worker has Python, NumPy and the engine in memory, but not TensorFlow as this process has.
        assert row.peak_memory_bytes is None or 2e7 < row.peak_memory_bytes < 5e8
    expected = tiny.float_model.predict(tiny.preprocessing.apply(tiny.test.images[:20]), verbose=0)
    assert rows[1].accuracy.correct == np.count_nonzero(expected.argmax(axis=1) == tiny.test.labels[:20])
    assert not multiprocessing.active_children()


def test_a_file_that_its_engine_refuses_is_told_and_the_others_run(contenders, tmp_path):
    from dataclasses import replace

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"hello")
    rows, refused = measure_speed([replace(contenders[1], path=broken), contenders[0]], PLAN)
    assert [row.artifact for row in rows] == ["int8.tflite"]
    assert refused == [f"{broken}: not an ONNX model."]


def test_a_worker_that_dies_is_an_error_that_names_it(contenders, monkeypatch):
    monkeypatch.setattr(benchmarking._Runner, "time_calls", lambda runner, _: runner._ask("__class__"))
    with pytest.raises(ModelError, match=r"The process of .*int8\.tflite in litert ended by itself"):
        measure_speed(contenders[:1], PLAN)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals between processes")
def test_a_workers_interrupt_is_its_owners_business(contenders):
    """Ctrl-C goes to every process of a terminal, also to one that is still importing."""
    with benchmarking._runner(contenders[0]) as runner:
        [process] = multiprocessing.active_children()
        os.kill(process.pid, signal.SIGINT)
        runner.start(PLAN)
        os.kill(process.pid, signal.SIGINT)
        runner.time_calls(PLAN)
    assert process.exitcode == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_the_turns_start_with_another_each_round():
    assert "".join(benchmarking._in_turn("abc", 3)) == "abcbcacab"
