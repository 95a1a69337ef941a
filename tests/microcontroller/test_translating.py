import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compiled import SANITIZERS, WARNINGS, compile_c, run
from networks import Network
from random_networks import build

from edgecifar.choices import Numerics, Optimize
from edgecifar.errors import ExportError, ModelError
from edgecifar.host import cpu_flags
from edgecifar.microcontroller.generating import Golden
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.runtimes import get_runtime

RUNTIMES = {Numerics.REFERENCE: "litert-reference", Numerics.XNNPACK: "litert", Numerics.TFLM: "tflm"}
BUNDLES = ("tiny-resnet8", "edge-vgg6")
COMPILERS = [
    ("gcc", SANITIZERS),
    ("clang", ("-O2", "-march=native")),
    ("gcc", ("-O3", "-march=native")),
    ("gcc", ("-Os",)),
]


def translated(
    shipped: Callable[[str], Path], bundle: str, numerics: Numerics, optimize: Optimize = Optimize.SPEED
) -> Translation:
    content = (shipped(bundle) / "model.int8.tflite").read_bytes()
    return translate(content, numerics, name=bundle, optimize=optimize, labels=["a", 'the "second"'])


@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("bundle", BUNDLES)
def test_shipped_bundles_give_the_engine_s_bits(
    bundle: str, numerics: Numerics, shipped: Callable[[str], Path], tmp_path: Path
) -> None:
    runtime = get_runtime(RUNTIMES[numerics])
    if runtime.missing():
        pytest.skip(runtime.missing() or "")
    images = np.load(shipped(bundle) / "golden" / "images.npy")
    wanted = runtime.load(shipped(bundle) / "model.int8.tflite", 1).predict(images) ^ np.uint8(0x80)
    signed = (images ^ np.uint8(0x80)).view(np.int8)
    files = translated(shipped, bundle, numerics).files
    compiler, flags = COMPILERS[list(Numerics).index(numerics) + BUNDLES.index(bundle)]
    program = compile_c(tmp_path, files, compiler, flags)
    np.testing.assert_array_equal(run(program, signed, 10), wanted.view(np.int8))


@pytest.mark.parametrize(
    "flags",
    [
        ("-march=native",),
        ("-march=haswell",),
        ("-march=haswell", "-mavxvnni"),
        ("-march=native", "-DMODEL_PORTABLE"),
        ("-march=haswell", "-DMODEL_PORTABLE"),
        ("-march=x86-64",),
    ],
    ids=" ".join,
)
def test_all_loops_of_hosts_give_the_engine_s_bits(
    flags: tuple[str, ...], shipped: Callable[[str], Path], tmp_path: Path
) -> None:
    missing = {"-mavxvnni": "avx_vnni", "-march=haswell": "avx2"}.items()
    lacking = [flag for option, flag in missing if option in flags and flag not in cpu_flags()]
    if lacking:
        pytest.skip(f"this processor has no {lacking[0]}")
    narrow = shipped("tiny-resnet8") / "model.int8.tflite"
    wide = tmp_path / "wide.tflite"
    wide.write_bytes(build(1, ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"], "IMAGE"))
    fits = set()
    for model in (narrow, wide):
        translation = translate(model.read_bytes(), Numerics.XNNPACK, name="m")
        shape = translation.network.input.shape[1:]
        inputs = np.random.default_rng(0).integers(-128, 128, (8, *shape)).astype(np.int8)
        # The shipped file takes and gives bytes from 0 to 255.
        loaded = get_runtime("litert").load(model, 1)
        offset = np.uint8(0x80 if loaded.input.dtype == "uint8" else 0)
        given = (inputs.view(np.uint8) ^ offset).view(loaded.input.dtype)
        wanted = (loaded.predict(given).view(np.uint8) ^ offset).view(np.int8).reshape(len(inputs), -1)
        fits |= {dict(step.host_fields).get("pairs_fit") for step in translation.network.steps}
        program = compile_c(tmp_path / model.stem, translation.files, "gcc", ("-O3", *flags))
        np.testing.assert_array_equal(run(program, inputs, wanted.shape[1]), wanted)
    # Weights of which pairs of products fit 16 bits, others, and layers without.
    assert fits == {0, 1, None}


@pytest.mark.parametrize(("optimize", "most"), [(Optimize.RAM, 19_648), (Optimize.SPEED, 20_352)])
def test_the_residual_network_needs_no_more_memory_than_promised(
    optimize: Optimize, most: int, shipped: Callable[[str], Path]
) -> None:
    plan = translated(shipped, "tiny-resnet8", Numerics.XNNPACK, optimize).plan
    assert plan.bound_bytes <= plan.arena_bytes <= most < plan.unstreamed_bytes


@pytest.mark.parametrize("optimize", [Optimize.SIZE, Optimize.RAM])
@pytest.mark.parametrize("bundle", ["tiny-resnet8", "edge-vgg6-sparse"])
def test_what_is_spared_changes_no_bit(
    bundle: str, optimize: Optimize, shipped: Callable[[str], Path], tmp_path: Path
) -> None:
    images = np.load(shipped(bundle) / "golden" / "images.npy")[:4]
    signed = (images ^ np.uint8(0x80)).view(np.int8)
    outputs = []
    for chosen in (Optimize.SPEED, optimize):
        files = translated(shipped, bundle, Numerics.REFERENCE, chosen).files
        outputs.append(run(compile_c(tmp_path / chosen, files, "gcc", ("-O2",)), signed, 10))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_the_same_input_gives_the_same_bytes(shipped: Callable[[str], Path]) -> None:
    first, second = (translated(shipped, "tiny-resnet8", Numerics.TFLM).files for _ in range(2))
    assert first == second


@pytest.mark.parametrize("numerics", list(Numerics))
def test_there_is_no_float(numerics: Numerics, shipped: Callable[[str], Path]) -> None:
    code = translated(shipped, "tiny-resnet8", numerics).files
    words = set((code["model.c"] + code["model_weights.h"]).replace("(", " ").replace("*", " ").split())
    assert not {"float", "double"} & words


@pytest.mark.parametrize("flags", [("-O2", "-march=haswell"), ("-O2",)], ids=" ".join)
@pytest.mark.parametrize("numerics", list(Numerics))
def test_compilers_do_not_object_to_a_tiny_arena(
    numerics: Numerics, flags: tuple[str, ...], tmp_path: Path
) -> None:
    network = Network()
    source = current = network.tensor([1, 2], 0.1)
    for channels in (2, 3):
        depth = network.shape(current)[1]
        values = np.arange(channels * depth, dtype=np.int8).reshape(channels, depth)
        weights = network.tensor([channels, depth], [0.01], data=values)
        result = network.tensor([1, channels], 0.1)
        network.operator(
            "FULLY_CONNECTED", [current, weights, -1], result, "FullyConnected", fusedActivationFunction=0
        )
        current = result
    translation = translate(network.finish(source, current), numerics, name="m")
    # Fewer bytes than a vector of AVX2: gcc 12 took the loads of one that never ran for errors.
    assert translation.plan.arena_bytes < 32
    compile_c(tmp_path, translation.files, "gcc", flags)


PROBE = """
#include "model.h"
#include "model_selftest.h"
#include <stddef.h>
static const char *const labels[] = MODEL_LABELS;
int main(void)
{
    static uint8_t pixels[MODEL_INPUT_SIZE];
    static int8_t image[MODEL_INPUT_SIZE];
    int8_t output[MODEL_OUTPUT_SIZE];
    int8_t again[MODEL_OUTPUT_SIZE];
    int8_t logits[MODEL_LOGITS_SIZE];
    int failures = 0;
    for (int k = 0; k < MODEL_INPUT_SIZE; ++k) {
        pixels[k] = (uint8_t)(k % 251);
        image[k] = (int8_t)(pixels[k] - 128);
    }
    failures += model_run(NULL, output) != MODEL_ERROR_NULL_POINTER;
    failures += model_run(image, NULL) != MODEL_ERROR_NULL_POINTER;
    failures += model_logits(NULL, logits) != MODEL_ERROR_NULL_POINTER;
    failures += model_run_uint8(NULL, output) != MODEL_ERROR_NULL_POINTER;
    failures += model_run(image, output) != MODEL_OK || model_run_uint8(pixels, again) != MODEL_OK;
    failures += model_logits(image, logits) != MODEL_OK;
    for (int k = 0; k < MODEL_OUTPUT_SIZE; ++k) {
        failures += output[k] != again[k];
    }
    failures += edgecifar_selftest() != EXPECTED;
    return failures + (labels[0][0] != 'a') + (MODEL_LOGITS_SIZE != 10);
}
"""


@pytest.mark.parametrize("altered", [0, 1])
def test_pointers_bytes_and_self_test(altered: int, shipped: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = shipped("tiny-resnet8")
    images = np.load(bundle / "golden" / "images.npy")[:2]
    outputs = get_runtime("litert").load(bundle / "model.int8.tflite", 1).predict(images) ^ np.uint8(0x80)
    outputs[0, 0] ^= altered
    golden = Golden((images ^ np.uint8(0x80)).view(np.int8).reshape(2, -1), outputs.view(np.int8))
    content = (bundle / "model.int8.tflite").read_bytes()
    files = translate(content, Numerics.XNNPACK, name="m", labels=["a", 'the "second"'], golden=golden).files
    for name, text in {**files, "probe.c": PROBE.replace("EXPECTED", str(altered))}.items():
        (tmp_path / name).write_text(text)
    sources = [str(tmp_path / name) for name in ("probe.c", "model.c", "model_selftest.c")]
    program = str(tmp_path / "probe")
    command = ["gcc", *WARNINGS, "-O1", "-o", program, *sources]
    subprocess.run(command, check=True)
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_an_altered_arena_does_not_compile(
    compiler: str, shipped: Callable[[str], Path], tmp_path: Path
) -> None:
    files = translated(shipped, "tiny-resnet8", Numerics.XNNPACK).files
    size = translated(shipped, "tiny-resnet8", Numerics.XNNPACK).plan.arena_bytes
    header = files["model.h"]
    assert f"#define MODEL_ARENA_BYTES {size}\n" in header
    files["model.h"] = header.replace(f"ARENA_BYTES {size}", f"ARENA_BYTES {size - 4}")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [compiler, "-std=c99", "-fsyntax-only", str(tmp_path / "model.c")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "model_arena_bytes_must_not_be_altered" in done.stderr


def test_what_is_no_tflite_file_is_refused() -> None:
    with pytest.raises(ModelError, match="Not a TFLite file"):
        translate(b"\x00" * 200, Numerics.XNNPACK, name="m")


def test_a_cut_file_is_refused(shipped: Callable[[str], Path]) -> None:
    content = (shipped("tiny-resnet8") / "model.int8.tflite").read_bytes()
    for size in (40, 4_000, len(content) // 2):
        with pytest.raises((ModelError, ExportError)):
            translate(content[:size], Numerics.XNNPACK, name="m")


def test_a_float_model_is_refused(shipped: Callable[[str], Path]) -> None:
    content = (shipped("tiny-resnet8") / "model.float32.tflite").read_bytes()
    with pytest.raises(ExportError, match=r"at .* computes in float32 .*int8 models"):
        translate(content, Numerics.XNNPACK, name="m")


def test_an_unknown_operator_is_named() -> None:
    network = Network()
    source = network.tensor([1, 4, 4, 2], 0.1)
    result = network.tensor([1, 4, 4, 2], 0.1, name="lost")
    network.operator("HARD_SWISH", [source], result, "HardSwish")
    content = bytearray(network.finish(source, result))
    translate(bytes(content), Numerics.XNNPACK, name="m")
    # BuiltinOperator 117 is HARD_SWISH, 118 IF.
    assert content.count(bytes([117])) >= 1
    with pytest.raises(ExportError, match=r"IF at lost is an operator of which no C is generated"):
        translate(bytes(content).replace(bytes([117]), bytes([118])), Numerics.XNNPACK, name="m")


def test_a_batch_is_refused() -> None:
    network = Network()
    source, result = network.tensor([2, 4], 0.1), network.tensor([2, 4], 0.1)
    network.operator("RELU", [source], result)
    with pytest.raises(ExportError, match="of shape 2×4; C is generated for one image"):
        translate(network.finish(source, result), Numerics.XNNPACK, name="m")
