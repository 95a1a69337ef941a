"""The web example in Chromium, as a visitor uses it."""

import base64
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecifar.exporting.targets import web
from edgecifar.exporting.targets.material import embed

SOURCES = Path(web.__file__).parent / "templates" / "web"
DROP = """
const [content, name] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name));
const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
document.getElementById("drop").dispatchEvent(event);
"""


def test_the_page_has_no_inline_script_or_style(materials, tmp_path):
    web.write(materials["pixels"], tmp_path / "web")
    page = (tmp_path / "web" / "index.html").read_text()
    assert "script-src 'self' 'wasm-unsafe-eval'" in page
    assert "unsafe-inline" not in page
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", page)


def test_the_lock_names_no_registry_and_has_hashes():
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    wanted = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    assert packages["node_modules/onnxruntime-web"]["version"] == wanted["onnxruntime-web"]
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert not any("resolved" in entry for entry in packages.values())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm ci && npm run build` puts beside the page."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("build")
    for name in ("package.json", "package-lock.json", "build.mjs"):
        shutil.copyfile(SOURCES / name, folder / name)
    for words in (
        ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"],
        ["run", "build"],
    ):
        done = subprocess.run(
            [npm, *words], check=False, cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    return folder / "vendor"


@pytest.fixture
def browser() -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("there is no chromium with its chromedriver here")
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
                 "disable-background-networking", "disable-component-update", "disable-sync"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    yield driver
    driver.quit()


def wait(driver, script, seconds=60):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, seconds).until(lambda page: page.execute_script(f"return {script}"))


def drop(driver, path):
    """Returns the class and the scores that the page then shows."""
    driver.execute_script("document.getElementById('best').removeAttribute('data-scores')")
    driver.execute_script(DROP, base64.b64encode(path.read_bytes()).decode(), path.name)
    scores = wait(driver, "document.getElementById('best').dataset.scores")
    return driver.find_element("id", "best").text, np.array(json.loads(scores))


def state(driver):
    return wait(driver, "(s => s !== 'running' && s)(document.getElementById('check').dataset.state)")


@pytest.mark.embed
def test_a_dropped_picture_is_named_as_the_native_engine_names_it(material, vendor, browser, tmp_path):
    folder = tmp_path / "web"
    [model] = web.write(material, folder)
    shutil.copytree(vendor, folder / "vendor")
    expected = embed(material, model.entry).expected
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser.get(f"http://127.0.0.1:{server.server_port}/")
    assert state(browser) == "passed", browser.find_element("id", "check").text
    for number in (0, 7):
        Image.fromarray(material.golden.images[number]).save(tmp_path / "picture.png")
        name, scores = drop(browser, tmp_path / "picture.png")
        assert name == material.class_names[int(scores.argmax())]
        np.testing.assert_allclose(scores, expected[number], atol=model.tolerance)
    (tmp_path / "text.png").write_text("no picture")
    browser.execute_script(DROP, base64.b64encode(b"no picture").decode(), "text.png")
    assert wait(browser, "document.getElementById('best').textContent.includes('no picture that')")
    # Nothing scrolls sideways on a phone.
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    wait(browser, "navigator.serviceWorker.controller !== null")
    server.shutdown()
    server.server_close()
    browser.refresh()
    assert state(browser) == "passed"
    Image.fromarray(material.golden.images[0]).save(tmp_path / "picture.png")
    np.testing.assert_allclose(drop(browser, tmp_path / "picture.png")[1], expected[0], atol=model.tolerance)


@pytest.mark.embed
def test_a_page_that_computes_something_else_says_so(materials, vendor, browser, tmp_path):
    folder = tmp_path / "web"
    web.write(materials["pixels"], folder)
    shutil.copytree(vendor, folder / "vendor")
    path = folder / "golden" / "expected.onnx.bin"
    values = np.fromfile(path, "<f4")
    values[-1] += 0.05
    values.tofile(path)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        assert state(browser) == "failed"
        assert "off by 0.0" in browser.find_element("id", "check").text
        assert browser.find_element("id", "camera").get_attribute("disabled")
    finally:
        server.shutdown()
        server.server_close()
