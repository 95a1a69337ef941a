import shutil
import statistics

import pytest

from edgecifar.artifacts import Accuracy
from edgecifar.artifacts.speed import Latency, SpeedRow
from edgecifar.benchmarking import Plan
from edgecifar.choices import Npu, Source
from edgecifar.errors import EngineMissingError, ModelError, VerificationError
from edgecifar.pipeline import benchmark, estimate, speed
from edgecifar.protocol import EngineInfo
from edgecifar.runtimes import RUNTIME_NAMES
from edgecifar.verification.inputs import InputSpec

PLAN = Plan(rounds=2, calls=5, batches=(1,), threads=(1,))


@pytest.fixture(scope="module")
def bundle(checkout):
    return checkout / "exported" / "tiny-resnet8"


@pytest.mark.slow
def test_a_bundle_in_the_engines_that_apps_use(bundle):
    report = benchmark(bundle, source=Source.SAMPLE, limit=20, plan=PLAN)
    assert report.base == "model.float32.onnx in ort-cpu"
    rows = {row.subject: row for row in report.rows}
    assert set(rows) >= {
        "model.float32.tflite in litert",
        "model.int8.tflite in litert",
        "model.float32.onnx in ort-cpu",
        "model.int8.onnx in ort-cpu",
    }
    base = rows[report.base]
    assert base.latency_ratio == 1
    for row in report.rows:
        assert row.latency_ratio == pytest.approx(row.latency.median_s / base.latency.median_s)
        # The shipped models know far more than chance.
        assert row.accuracy.total == 20
        assert row.accuracy.correct >= 12


def test_one_file_without_the_base_has_no_ratios(bundle):
    report = benchmark(
        bundle / "model.int8.tflite", source=Source.SAMPLE, limit=10, plan=PLAN, runtimes=["litert"]
    )
    assert report.base is None
    assert report.rows[0].latency_ratio is None
    assert any("No ratios" in note for note in report.notes)


def timed(contender, rounds_s):
    """A row for a contender as though its rounds had taken so long."""
    return SpeedRow(
        artifact=contender.name,
        format=contender.format,
        precision=contender.precision,
        size_bytes=1,
        gzip_bytes=1,
        engine=EngineInfo(contender.runtime, "engine", "1", "CPU", 1),
        load_s=0.1,
        latency=Latency(
            median_s=statistics.median(rounds_s), p90_s=1, p99_s=1, calls=1, rounds_s=tuple(rounds_s)
        ),
        latency_ratio=None,
        throughput=(),
        peak_memory_bytes=None,
        accuracy=Accuracy(correct=1, total=1),
    )


@pytest.mark.parametrize(
    ("int8_rounds", "flags", "told"),
    [
        (
            (2.2, 2.6, 1.9),
            ("avx2", "fma"),
            "1.10 times as long, and longer in each round, on this CPU, wh",
        ),
        ((2.2, 2.6, 1.9), ("avx2", "avx_vnni"), "1.10 times as long, and longer in each round, on this CPU."),
        ((2.2, 2.6, 1.9), (), "1.10 times as long, and longer in each round, on this CPU."),
        ((2.2, 2.6, 1.7), ("avx2",), None),
        ((1.0, 1.0, 1.0), ("avx2",), None),
    ],
)
def test_a_slower_int8_file_is_told_of_with_the_ratio(bundle, monkeypatch, int8_rounds, flags, told):
    rounds = {"float32": (2.0, 2.0, 1.8), "int8": int8_rounds}
    monkeypatch.setattr(
        speed, "measure_speed", lambda all_, *_: ([timed(one, rounds[one.precision]) for one in all_], [])
    )
    monkeypatch.setattr(speed, "cpu_flags", lambda: flags)
    report = benchmark(bundle, source=Source.SAMPLE, limit=10, plan=PLAN, runtimes=["litert"])
    notes = [note for note in report.notes if "slower" in note]
    if told is None:
        assert notes == []
    else:
        [note] = notes
        assert note.startswith("model.int8.tflite in litert is slower than model.float32.tflite there")
        assert told in note


def test_an_engine_that_is_missing_and_asked_for_is_an_error(bundle, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineMissingError, match=r"edgecifar\[openvino\]"):
        benchmark(bundle / "model.int8.onnx", source=Source.SAMPLE, plan=PLAN, runtimes=["openvino"])


def test_an_engine_that_reads_none_of_the_files_leaves_nothing(bundle):
    with pytest.raises(VerificationError, match=r"(?s)nothing to measure.*litert: reads \.tflite"):
        benchmark(bundle / "model.int8.onnx", source=Source.SAMPLE, plan=PLAN, runtimes=["litert"])


def test_of_all_runtimes_each_is_timed_or_said_why_not(bundle, monkeypatch):
    monkeypatch.setattr(
        speed, "measure_speed", lambda all_, *_: ([timed(one, (1.0, 2.0)) for one in all_], [])
    )
    report = benchmark(bundle, source=Source.SAMPLE, limit=10, plan=PLAN, runtimes=["all"])
    timed_here = {row.engine.runtime for row in report.rows}
    told = {name for one in report.skipped for name in one.partition(": ")[0].split(", ")}
    assert timed_here | told == set(RUNTIME_NAMES)
    assert not timed_here & told
    assert {"litert", "ort-cpu", "litert-reference"} <= timed_here
    assert "c: reads .c, and no file here to time is one." in report.skipped
    artifacts = [row.artifact for row in report.rows]
    assert artifacts == sorted(artifacts, key=artifacts.index)


def test_a_runtime_that_reads_no_file_is_told_beside_one_that_does(bundle, monkeypatch):
    monkeypatch.setattr(
        speed, "measure_speed", lambda all_, *_: ([timed(one, (1.0, 2.0)) for one in all_], [])
    )
    report = benchmark(
        bundle / "model.int8.tflite",
        source=Source.SAMPLE,
        limit=10,
        plan=PLAN,
        runtimes=["litert", "ort-cpu"],
    )
    assert [row.engine.runtime for row in report.rows] == ["litert"]
    assert report.skipped == ("ort-cpu: reads .onnx, and no file here to time is one.",)


def test_what_its_engine_refuses_is_no_report(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"hello")
    options = {"preprocessing": InputSpec(1.0, (121.0,), (64.0,)), "plan": PLAN, "source": Source.SAMPLE}
    with pytest.raises(VerificationError, match=r"(?s)nothing to measure.*m\.onnx: not an ONNX model"):
        benchmark(tmp_path / "m.onnx", runtimes=["ort-cpu"], **options)


def test_a_lone_file_of_no_app_is_timed_in_its_own_runtime(monkeypatch, tmp_path):
    (tmp_path / "model.c").write_text("int model_run(const void *input, void *output);\n")
    monkeypatch.setattr(
        speed, "measure_speed", lambda all_, *_: ([timed(one, (1.0, 2.0)) for one in all_], [])
    )
    spec = InputSpec(1.0, (121.0,), (64.0,))
    report = benchmark(tmp_path / "model.c", source=Source.SAMPLE, plan=PLAN, preprocessing=spec)
    assert [row.subject for row in report.rows] == ["model.c in c"]
    assert any("bytes are of the source" in note for note in report.notes)


def test_a_bundle_is_estimated_by_its_int8_tflite(bundle):
    small, large = estimate(bundle, (Npu.U55_64, "ethos-u55-256"))
    assert small.cpu_operators == large.cpu_operators == ()
    assert large.cycles < small.cycles


def test_an_unknown_npu_is_refused_with_the_known_ones(bundle):
    with pytest.raises(ModelError, match=r"(?s)'ethos-u55' is no NPU.*ethos-u85-2048"):
        estimate(bundle, ["ethos-u55"])


def test_a_bundle_without_int8_tflite_says_how_to_get_one(bundle, tmp_path):
    from edgecifar.artifacts import Manifest

    manifest = Manifest.read(bundle / "manifest.json")
    kept = tuple(entry for entry in manifest.artifacts if entry.format == "keras")
    manifest.model_copy(update={"artifacts": kept, "files": (), "targets": ()}).write(
        tmp_path / "manifest.json"
    )
    shutil.copy(bundle / manifest.reference, tmp_path)
    with pytest.raises(ModelError, match="no int8 TFLite"):
        estimate(tmp_path, (Npu.U55_128,))
