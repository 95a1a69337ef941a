"""A headless Chromium, driven by chromedriver; both are Debian's. Tests skip, saying so, without them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, service = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip("chromium and chromedriver are not here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # With a path of its own, selenium looks for no driver on the network.
    driver = webdriver.Chrome(options=options, service=Service(service))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go, for people to look at."""
    return tmp_path
