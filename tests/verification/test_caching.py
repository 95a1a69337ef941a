import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts import Dataset
from edgecifar.progress import SILENT, Task
from edgecifar.protocol import EngineInfo, TensorInfo
from edgecifar.verification import Feeding, caching, running
from edgecifar.verification.caching import PredictionCache, Predictions, default_folder, prediction_key
from edgecifar.verification.inputs import InputSpec
from edgecifar.verification.running import Memory

OUTPUTS = np.array([[1, -128], [3, 127]], np.int8)
TABLE = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]], np.float32)

MakeModel = Callable[..., running.LoadedModel]
MakeData = Callable[..., Dataset]


ENGINE = EngineInfo("litert", "Table", "1.0", "CPU", 1, ("a fact",))


def predictions(outputs: np.ndarray, images_per_s: float) -> Predictions:
    taken = TensorInfo("image", (None, 2, 3, 3), "int8", 0.5, -3)
    return Predictions(outputs, images_per_s, taken, TensorInfo("out", (None, 2), "int8"), ENGINE)


class Listener:
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Task]:
        return SILENT.task(name, total, unit)

    def say(self, message: str) -> None:
        self.said.append(message)


def test_what_is_kept_is_found_again_to_the_bit(tmp_path: Path) -> None:
    PredictionCache(tmp_path / "new").keep("a", predictions(OUTPUTS, 123.5), SILENT)
    found = PredictionCache(tmp_path / "new").find("a", SILENT)
    assert found is not None
    assert found.outputs.dtype == np.int8
    assert found.outputs.tolist() == OUTPUTS.tolist()
    kept = predictions(OUTPUTS, 123.5)
    assert found.images_per_s == 123.5
    assert (found.input, found.output, found.engine) == (kept.input, kept.output, kept.engine)
    assert PredictionCache(tmp_path / "new").find("b", SILENT) is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "array", "of another"])
def test_a_damaged_entry_is_none_and_is_said(damage: str, tmp_path: Path) -> None:
    cache, listener = PredictionCache(tmp_path), Listener()
    cache.keep("a", predictions(OUTPUTS.repeat(100, axis=0), 1.0), SILENT)
    path = tmp_path / "a.npz"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[200] ^= 0xFF
        path.write_bytes(content)
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, OUTPUTS)
    elif damage == "of another":
        cache.keep("b", predictions(OUTPUTS, 1.0), SILENT)
        (tmp_path / "b.npz").replace(path)
    else:
        path.write_bytes({"cut": content[:300], "empty": b"", "text": b"hello"}[damage])
    assert cache.find("a", listener) is None
    assert len(listener.said) == 1
    assert "damaged" in listener.said[0]


def test_no_damage_stops_a_verification(tmp_path: Path) -> None:
    cache, listener = PredictionCache(tmp_path), Listener()
    cache.keep("a", predictions(OUTPUTS, 1.0), SILENT)
    whole = (tmp_path / "a.npz").read_bytes()
    places = range(0, len(whole), 5)
    for place in places:
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        cache.find("a", listener)
    assert len(listener.said) > len(places) / 2


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    entry = predictions(np.zeros((100, 10), np.float32), 1.0)
    PredictionCache(tmp_path).keep("probe", entry, SILENT)
    size = (tmp_path / "probe.npz").stat().st_size
    cache = PredictionCache(tmp_path, max_bytes=int(2.5 * size))
    for age, key in enumerate(("old", "older", "probe")):
        cache.keep(key, entry, SILENT) if key != "probe" else None
        then = time.time() - 100 * (age + 1)
        os.utime(tmp_path / f"{key}.npz", (then, then))
    assert cache.find("older", SILENT) is not None
    cache.keep("new", entry, SILENT)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["new", "older"]


def test_what_cannot_be_kept_is_said_and_no_error(tmp_path: Path) -> None:
    listener = Listener()
    PredictionCache(tmp_path, max_bytes=10).keep("a", predictions(OUTPUTS, 1.0), listener)
    assert "too large" in listener.said[0]
    (tmp_path / "file").touch()
    PredictionCache(tmp_path / "file").keep("a", predictions(OUTPUTS, 1.0), listener)
    assert "cannot be kept there" in listener.said[1]


def test_the_key_is_of_all_that_outputs_depend_on(
    make_data: MakeData, feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, data, indices = (
        {"runtime": "litert", "version": "1.0", "threads": 1},
        make_data([0, 1, 2]),
        np.arange(3),
    )
    keys = {prediction_key("sha", engine, feeding, data, indices)}
    assert keys == {prediction_key("sha", dict(engine), feeding, make_data([0, 1, 2]), np.arange(3))}
    keys.add(prediction_key("other", engine, feeding, data, indices))
    keys.add(prediction_key("sha", engine, replace(feeding, preprocessing=InputSpec()), data, indices))
    keys.add(prediction_key("sha", engine, replace(feeding, raw_pixels=True), data, indices))
    keys.add(prediction_key("sha", engine, feeding, replace(data, images=data.images + 1), indices))
    keys.add(prediction_key("sha", engine, feeding, data, indices[:2]))
    keys.add(prediction_key("sha", engine, feeding, data, indices, jobs=2))
    for number, change in enumerate(
        ({"runtime": "ort-cpu"}, {"version": "1.1"}, {"device": "GPU"}, {"threads": 2}), start=8
    ):
        keys.add(prediction_key("sha", engine | change, feeding, data, indices))
        assert len(keys) == number
    monkeypatch.setattr(caching, "cpu_flags", lambda: ("sse4_2",))
    keys.add(prediction_key("sha", engine, feeding, data, indices))
    monkeypatch.setattr(caching, "__version__", "9.9")
    keys.add(prediction_key("sha", engine, feeding, data, indices))
    assert len(keys) == 13


@pytest.mark.parametrize("identity", [None, {"runtime": "litert", "version": "1.0"}])
def test_a_model_runs_once_and_its_speed_is_that_run(
    identity: dict[str, str] | None,
    make_model: MakeModel,
    make_data: MakeData,
    feeding: Feeding,
    tmp_path: Path,
) -> None:
    data, indices, listener = make_data([0, 1, 2]), np.arange(3), Listener()
    memory = Memory(PredictionCache(tmp_path), "sha", identity=identity)
    loaded = []

    def load() -> running.LoadedModel:
        loaded.append(make_model(TABLE))
        return loaded[-1]

    def run() -> running.Measured:
        prepared = running.prepare("m", load, feeding, data, indices, listener, memory)
        return running.measure(prepared, feeding, data, indices, listener, memory.cache)

    ran, kept = run(), run()
    # Where the engine tells itself before it starts, what it gave is found without starting it.
    assert [len(model.batches) for model in loaded] == ([1, 0] if identity is None else [1])
    np.testing.assert_array_equal(kept.probabilities, ran.probabilities)
    assert (kept.input, kept.output, kept.engine) == (ran.input, ran.output, ran.engine)
    assert kept.images_per_s == ran.images_per_s
    told = "m in litert: its outputs and images/s are kept from an earlier run on these images."
    assert kept.notes[0] == told
    assert listener.said == [told]
    assert running.prepare("m", load, feeding, data, indices[:2], listener, memory).ready is loaded[-1]


def test_an_interrupted_model_leaves_nothing(
    make_model: MakeModel,
    make_data: MakeData,
    feeding: Feeding,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "MAX_BATCH", 1)
    model, calls = make_model(TABLE), []

    def interrupted(batch: np.ndarray) -> np.ndarray:
        calls.append(batch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return TABLE[:1]

    monkeypatch.setattr(model, "predict", interrupted)
    prepared, cache = running.Prepared("m", model, "key"), PredictionCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        running.measure(prepared, feeding, make_data([0, 1, 2]), np.arange(3), SILENT, cache)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_where_the_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/edgecifar/predictions")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_folder() == Path("/home/someone/.cache/edgecifar/predictions")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_folder() == Path("/home/someone/Library/Caches/edgecifar/predictions")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_folder() == Path("/local/edgecifar/predictions")
