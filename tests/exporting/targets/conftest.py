"""Bundles of the tiny network with each kind of boundary, as targets take them."""

import numpy as np
import pytest

from edgecifar.artifacts import ArtifactEntry, Weights
from edgecifar.artifacts.files import sha256
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision
from edgecifar.exporting.targets.material import ENGINES, Material
from edgecifar.runtimes import get_runtime


def entry(folder, name, io) -> ArtifactEntry:
    path = folder / name
    _, precision, kind = name.split(".")
    loaded = get_runtime(ENGINES[kind]).load(path, threads=1)
    return ArtifactEntry(
        file=name,
        format=kind,
        precision=precision,
        size_bytes=path.stat().st_size,
        sha256=sha256(path),
        input=loaded.input,
        output=loaded.output,
        raw_pixels=io is Io.UINT8,
        output_step=1 / 256 if precision == "int8" else None,
        weights=Weights.QAT,
        made_by="pytest",
    )


@pytest.fixture(scope="session")
def materials(tiny, int8_files, tmp_path_factory) -> dict[str, Material]:
    """By what the apps have to feed: "pixels", "table", "float"; and "float32", without integers."""
    made = {}
    for feed, io in (("pixels", Io.UINT8), ("table", Io.INT8), ("float", Io.FLOAT32)):
        folder = tmp_path_factory.mktemp(feed)
        content = int8_files["qat_model", io]
        (folder / "model.int8.tflite").write_bytes(content)
        (folder / "model.int8.onnx").write_bytes(onnx.convert_int8(content, io))
        made[feed] = (folder, io)
    folder = tmp_path_factory.mktemp("float32")
    for module, kind in ((tflite, "tflite"), (onnx, "onnx")):
        content = module.convert(tiny.float_model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing)
        (folder / f"model.float32.{kind}").write_bytes(content)
    made["float32"] = (folder, Io.FLOAT32)
    golden = tiny.test.select(np.arange(0, 80, 5))
    return {
        feed: Material(
            folder,
            "tiny $name",
            golden.class_names,
            tiny.preprocessing,
            tuple(entry(folder, path.name, io) for path in sorted(folder.glob("model.*"))),
            golden,
        )
        for feed, (folder, io) in made.items()
    }


FEEDS = ("pixels", "table", "float", "float32")


@pytest.fixture(params=FEEDS)
def material(request, materials) -> Material:
    return materials[request.param]
