"""Reports with figures made up by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgecifar.artifacts import (
    Accuracy,
    Comparison,
    Gate,
    GateCheck,
    GateKind,
    ParityReport,
    Policy,
    Verdict,
)
from edgecifar.artifacts.layers import Advice, LayerQuality, LayersReport
from edgecifar.protocol import EngineInfo

TOTAL = 10_000
REFERENCE_CORRECT = 9_170
ENGINES = {
    "keras": ("Keras", "2.21.0", "CPU"),
    "litert": ("LiteRT", "2.3.0", "CPU, XNNPACK"),
    "litert-reference": ("LiteRT", "2.3.0", "CPU, reference kernels"),
    "ort-cpu": ("ONNX Runtime", "1.31.1", "CPUExecutionProvider"),
}


def engine(runtime: str) -> EngineInfo:
    return EngineInfo(runtime, *ENGINES[runtime], threads=2)


def _comparison(artifact: str, runtime: str, correct: int, size_bytes: int, **changes: object) -> Comparison:
    lost = max(0, REFERENCE_CORRECT - correct)
    fields: dict[str, object] = {
        "artifact": artifact,
        "format": artifact.rpartition(".")[2],
        "precision": "int8" if "int8" in artifact else "float32",
        "size_bytes": size_bytes,
        "sha256": "ab" * 32,
        "input_dtype": "uint8",
        "engine": engine(runtime),
        "accuracy": Accuracy(correct=correct, total=TOTAL),
        "reference_correct": REFERENCE_CORRECT,
        "agreements": 9_960,
        "right_to_wrong": lost + 12,
        "wrong_to_right": correct - REFERENCE_CORRECT + lost + 12,
        "max_difference": 0.03125,
        "mean_difference": 1.25e-4,
        "output_step": 1 / 256,
        "twin": None,
        "max_twin_steps": None,
        "images_per_s": 2345.6,
        "verdict": Verdict.PASS,
        "checks": (),
    }
    return Comparison.model_validate(fields | changes)


@pytest.fixture
def make_comparison() -> Callable[..., Comparison]:
    return _comparison


@pytest.fixture
def make_report() -> Callable[..., ParityReport]:
    def make(*comparisons: Comparison, **changes: object) -> ParityReport:
        fields: dict[str, object] = {
            "title": "edge-vgg6",
            "reference": "model.keras",
            "reference_sha256": "cd" * 32,
            "reference_engine": engine("keras"),
            "reference_accuracy": Accuracy(correct=REFERENCE_CORRECT, total=TOTAL),
            "data_source": "cifar10",
            "data_split": "test",
            "data_fingerprint": "ef" * 32,
            "policy": Policy(gate=Gate(max_drop_pp=0.5)),
            "class_names": ("cat", "dog", "frog"),
            "comparisons": comparisons,
            "skipped": (),
            "cpu": "A CPU of 2 cores",
            "cpu_flags": ("avx2", "avx512_vnni"),
            "tool_versions": {"edgecifar": "0.1.0", "tensorflow": "2.21.0"},
            "created": "2026-01-02T03:04:05Z",
            "command": "edgecifar verify exported/edge-vgg6 --max-drop 0.5pp",
        }
        return ParityReport.model_validate(fields | changes)

    return make


@pytest.fixture
def report(make_report: Callable[..., ParityReport]) -> ParityReport:
    """Nine comparisons of which one fails, one on a subset."""
    twin = "model.int8.tflite in litert"
    subset = {
        "accuracy": Accuracy(correct=913, total=1_000),
        "reference_correct": 915,
        "agreements": 996,
        "right_to_wrong": 3,
        "wrong_to_right": 1,
    }
    check = GateCheck(
        kind=GateKind.MAX_DROP,
        limit=0.5,
        measured=0.62,
        verdict=Verdict.FAIL,
        sentence="model.int8.onnx in ort-cpu loses 0.62 pp, more than the 0.50 pp allowed",
    )
    return make_report(
        _comparison(
            "model.float32.tflite", "litert", 9_170, 1_243_904, output_step=None, max_difference=3e-7
        ),
        _comparison(
            "model.float16.tflite", "litert", 9_171, 626_112, output_step=None, max_difference=0.0009
        ),
        _comparison("model.dynamic.tflite", "litert", 9_155, 326_000, output_step=None),
        _comparison("model.int8.tflite", "litert", 9_166, 325_504),
        _comparison(
            "model.int8.tflite", "litert-reference", 0, 325_504, twin=twin, max_twin_steps=58, **subset
        ),
        _comparison("model.float32.onnx", "ort-cpu", 9_170, 1_242_010, output_step=None, max_difference=0.0),
        _comparison(
            "model.int8.onnx",
            "ort-cpu",
            9_108,
            329_791,
            twin=twin,
            max_twin_steps=1,
            verdict=Verdict.FAIL,
            checks=(check,),
        ),
        skipped=("ort-cuda: no NVIDIA GPU is here.",),
        notes=("model.int8.tflite in litert-reference ran on 1,000 of 10,000 images, balanced by class.",),
    )


@pytest.fixture
def partly_undecided(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> ParityReport:
    """A file that passes on all images, and lost more on few, which prove nothing."""
    checks = [
        GateCheck(
            kind=GateKind.MAX_DROP,
            limit=0.5,
            measured=lost,
            verdict=verdict,
            sentence=sentence,
            is_veto=is_veto,
        )
        for lost, verdict, sentence, is_veto in (
            (0.04, Verdict.PASS, "a.tflite in litert loses 0.04 pp", False),
            (2.0, Verdict.UNDECIDED, "a.tflite in litert-reference is undecided on 200 images", True),
        )
    ]
    few = {
        "accuracy": Accuracy(correct=180, total=200),
        "reference_correct": 184,
        "agreements": 190,
        "right_to_wrong": 6,
        "wrong_to_right": 2,
    }
    return make_report(
        make_comparison("a.tflite", "litert", 9_166, 1, checks=(checks[0],)),
        make_comparison(
            "a.tflite", "litert-reference", 0, 1, checks=(checks[1],), verdict=Verdict.UNDECIDED, **few
        ),
    )


@pytest.fixture
def real_report() -> ParityReport:
    """What this command measured, without a network, and kept as `real_report.json`.

    edgecifar verify exported/tiny-resnet8/model.int8.tflite exported/tiny-resnet8/model.int8.onnx
        --against exported/tiny-resnet8 --data sample --runtime litert --runtime ort-cpu
        --max-drop 0.5pp --drop-bound upper --min-agreement 90%
    """
    return ParityReport.read(Path(__file__).parent / "real_report.json")


@pytest.fixture
def layers(real_report: ParityReport) -> LayersReport:
    """Of two layers, the first of which falls behind."""
    plain, noiseless = (
        LayerQuality(
            name=name,
            reference=name,
            kind="conv",
            sqnr_db=sqnr,
            cosine=0.99,
            range_use=0.5,
            clipped=None,
            own=None,
            weights=None,
        )
        for name, sqnr in (("conv1;relu1", 31.25), ("pool", float("inf")))
    )
    engine = real_report.reference_engine
    return LayersReport(
        reference="f.tflite",
        candidate="q.tflite",
        reference_engine=engine,
        engine=engine,
        images=20,
        output_is_the_files=True,
        layers=(plain, noiseless),
        unmatched=("Layer x has no partner.",),
        advice=Advice(layer="conv1;relu1", finding="It is low.", advice="Keep it in float."),
    )
