"""The browsers' engines, in a real Chromium."""

import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import browser_host, get_runtime, web
from edgecifar.runtimes.browser_host import Browser, Job

NATIVE = {"litert-web": ("litert", "tflite"), "ort-web": ("ort-cpu", "onnx")}


@pytest.fixture
def engines() -> None:
    for name in NATIVE:
        reason = get_runtime(name).missing()
        if reason:
            pytest.skip(reason)


def inputs_for(model, tiny, count):
    images = tiny.test.images[np.arange(count) % len(tiny.test)]
    return images if model.input.dtype == "uint8" else tiny.preprocessing.apply(images)


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", NATIVE)
def test_the_browser_computes_what_the_native_engine_computes(name, precision, threads, models, tiny):
    native, suffix = NATIVE[name]
    path = models[f"{precision}.{suffix}"]
    model = get_runtime(name).load(path, threads)
    inputs = inputs_for(model, tiny, 40)
    found, expected = model.predict(inputs), get_runtime(native).load(path, threads=1).predict(inputs)
    assert found.dtype == expected.dtype
    if precision == "float32":
        np.testing.assert_allclose(found, expected, atol=1e-5)
    else:
        assert np.abs(found.astype(int) - expected).max() <= (0 if name == "litert-web" else 5)
    assert model.info.threads == threads
    assert "WebAssembly in Chromium" in model.info.device
    assert 0 < model.last_call_s < 30


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("count", [0, 1, 101, 300])
def test_any_number_of_images_is_taken(count, models, tiny):
    model = get_runtime("ort-web").load(models["int8.onnx"], threads=1)
    assert model.predict(inputs_for(model, tiny, count)).shape == (count, 10)


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
def test_one_image_costs_the_engine_one_image_and_not_a_padded_batch(models, tiny):
    model = get_runtime("ort-web").load(models["int8.onnx"], threads=1)
    images = inputs_for(model, tiny, 100)

    def quickest(batch):
        seconds = []
        for _ in range(5):
            model.predict(batch)
            seconds.append(model.last_call_s)
        return min(seconds)

    assert quickest(images[:1]) < quickest(images) / 3


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
def test_a_dtype_that_the_engine_does_not_take_is_refused(tiny, tmp_path):
    from edgecifar.exporting import tflite
    from edgecifar.exporting.options import Io, Precision

    path = tmp_path / "int8.tflite"
    path.write_bytes(
        tflite.convert(tiny.float_model, Precision.INT8, Io.INT8, tiny.preprocessing, tiny.calibration)
    )
    with pytest.raises(ModelError, match=r"LiteRT\.js takes no int8 tensors") as caught:
        get_runtime("litert-web").load(path, threads=1)
    assert caught.value.mend == "Export it with one of: float32, uint8."


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("name", NATIVE)
def test_what_is_no_model_is_refused_before_a_browser_starts(name, tmp_path, monkeypatch):
    monkeypatch.setattr(browser_host.subprocess, "Popen", None)
    path = tmp_path / f"model.{NATIVE[name][1]}"
    path.write_bytes(b"hello")
    with pytest.raises(ModelError, match="not a"):
        get_runtime(name).load(path, threads=1)


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
def test_the_browser_ends_with_the_model(models):
    model = get_runtime("litert-web").load(models["int8.tflite"], threads=1)
    process, log = model._browser._process, model._browser._log
    assert process.poll() is None
    del model
    assert process.poll() is not None
    assert not log.parent.exists()


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
def test_a_page_that_fails_says_what_its_console_said(tmp_path):
    (tmp_path / "bad.html").write_text('<!doctype html><script src="bad.js"></script>')
    (tmp_path / "bad.js").write_text('throw new Error("no such luck")')
    browser = Browser("bad.html", {"": (tmp_path,)})
    with pytest.raises(ModelError, match=r"no answer within 4 s .*no such luck"):
        browser.ask(Job.LOAD, b"", {}, timeout_s=4)


@pytest.mark.embed
@pytest.mark.usefixtures("engines")
def test_the_server_gives_nothing_without_its_token_or_outside_its_folders(tmp_path):
    (tmp_path / "page.html").write_text("<!doctype html>")
    browser = Browser("page.html", {"": (tmp_path,)})
    url = next(word for word in browser._process.args if word.startswith("http"))
    base = url.removesuffix("/page.html")
    with urllib.request.urlopen(url) as response:  # noqa: S310  loopback
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for wrong in (
        f"{base}/../page.html",
        f"{base}/.page.html",
        f"{base}/%2e%2e/page.html",
        f"{base.rpartition('/')[0]}/guess/page.html",
    ):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(wrong)  # noqa: S310
    browser.close()


def test_without_a_browser_debians_package_is_named(models, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EngineMissingError, match="apt install chromium"):
        get_runtime("ort-web").load(models["int8.onnx"], threads=1)


def test_without_the_pages_the_command_that_builds_them_is_named(models, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EngineMissingError, match=r"python -m edgecifar\.runtimes\.web"):
        get_runtime("litert-web").load(models["int8.tflite"], threads=1)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EngineMissingError, match="npm is not installed"):
        web.build()


def test_the_lock_file_names_no_registry():
    text = (web.SOURCES / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') > 10
