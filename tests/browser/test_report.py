"""The HTML report as a person uses it: by mouse and by keyboard, light and dark, wide and on a phone."""

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from edgecifar.artifacts import ParityReport
from edgecifar.reporting.html import render_html
from edgecifar.reporting.tables import percent

pytestmark = pytest.mark.browser

PHONE = 390


@pytest.fixture(scope="module")
def report() -> ParityReport:
    return ParityReport.read(Path(__file__).parent.parent / "reporting" / "real_report.json")


@pytest.fixture(scope="module")
def address(report: ParityReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render_html(report), encoding="utf-8")
    return path.as_uri()


def show(driver: Chrome, address: str, width: int = 1200, scheme: str = "light") -> None:
    """Opens the page on a screen of that width and waits for its charts."""
    screen = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": width == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(address)
    charts = "return [...document.querySelectorAll('.chart')].filter(c => !c.closest('[hidden]'))"
    WebDriverWait(driver, 30).until(
        lambda driver: driver.execute_script(f"{charts}.every(c => c.querySelector('svg'))")
    )


def texts(driver: Chrome, selector: str) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, selector)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, PHONE])
def test_it_fits_and_is_drawn_in_its_colours(
    driver: Chrome, address: str, width: int, scheme: str, pictures: Path
) -> None:
    show(driver, address, width, scheme)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    surface = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert surface == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 20, 25)"}[scheme]
    labels = driver.execute_script(
        "return [...document.querySelectorAll('.chart svg text')].map(t => getComputedStyle(t).fill)"
    )
    muted = {"light": "rgb(91, 103, 115)", "dark": "rgb(154, 167, 180)"}[scheme]
    assert muted in labels
    picture = pictures / f"{scheme}-{width}.png"
    assert driver.save_screenshot(str(picture))


def test_the_first_screen_answers(driver: Chrome, address: str, report: ParityReport) -> None:
    show(driver, address)
    answer = driver.find_element(By.CSS_SELECTOR, ".answer")
    assert answer.text.endswith("May I ship it? Not proven.")
    numbers = driver.find_elements(By.CSS_SELECTOR, ".numbers .value")
    assert len(numbers) == 3
    assert all(number.location["y"] + number.size["height"] < 850 for number in numbers)
    one = report.comparisons[int(driver.find_element(By.ID, "choose").get_attribute("value") or "")]
    assert numbers[1].text == percent(one.accuracy.rate)


def test_a_table_is_sorted_by_mouse_and_keyboard(driver: Chrome, address: str) -> None:
    show(driver, address)
    rows = ".of:not([hidden]) table.sortable"
    heading = next(
        button
        for button in driver.find_elements(By.CSS_SELECTOR, f"#classes {rows} thead button")
        if button.text == "lost"
    )
    before = texts(driver, f"#classes {rows} tbody th")

    def lost() -> list[int]:
        return [int(text) for text in texts(driver, f"#classes {rows} tbody td:nth-child(6)")]

    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", heading)
    heading.click()
    assert lost() == sorted(lost())
    heading.send_keys(Keys.ENTER)
    assert lost() == sorted(lost(), reverse=True)
    assert heading.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    assert sorted(texts(driver, f"#classes {rows} tbody th")) == sorted(before)
    assert lost()[0] > lost()[-1]


def test_a_flip_opens_by_keyboard_and_closes(driver: Chrome, address: str, report: ParityReport) -> None:
    show(driver, address)
    thumb = driver.find_element(By.CSS_SELECTOR, ".of:not([hidden]) .thumb")
    thumb.send_keys(Keys.ENTER)
    dialog = driver.find_element(By.ID, "flip")
    assert dialog.is_displayed()
    one = report.comparisons[int(driver.find_element(By.ID, "choose").get_attribute("value") or "")]
    assert one.evidence is not None
    flip = one.evidence.worst_flips[0]
    assert f"Image {flip.image} is a {report.class_names[flip.label]}" in dialog.text
    assert percent(flip.candidate_probability) in dialog.text
    assert driver.execute_script("return document.getElementById('flip-image').naturalWidth") == 32
    ActionChains(driver).send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()
    assert driver.switch_to.active_element == thumb


def test_a_figure_says_what_the_report_says(driver: Chrome, address: str, report: ParityReport) -> None:
    show(driver, address)
    place = int(driver.find_element(By.ID, "choose").get_attribute("value") or "")
    evidence = report.comparisons[place].evidence
    assert evidence is not None
    cells = driver.execute_script(
        "return [...document.querySelectorAll('.of:not([hidden]) [data-chart=confusion] svg text')]"
        ".map(t => t.textContent)"
    )
    diagonal = [str(count) for count in evidence.confusion.matrix.diagonal()]
    assert all(text in cells for text in diagonal)


def test_another_comparison_and_view_are_drawn(driver: Chrome, address: str, report: ParityReport) -> None:
    show(driver, address, PHONE)
    chooser = driver.find_element(By.ID, "choose")
    other = len(report.comparisons) - 1 - int(chooser.get_attribute("value") or "")
    chooser.send_keys(report.comparisons[other].subject)
    part = f".of[data-of='{other}']"
    WebDriverWait(driver, 20).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, f"{part} [data-chart=confusion] svg")
    )
    assert driver.find_element(By.CSS_SELECTOR, part).is_displayed()
    matrix = f"{part} [data-chart=confusion] svg text"
    marks = f'return [...document.querySelectorAll("{matrix}")].map(t => t.textContent)'
    before = driver.execute_script(marks)
    radio = driver.find_element(By.CSS_SELECTOR, f"{part} .views input[value=change]")
    driver.execute_script("arguments[0].click()", radio)
    WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(marks) != before)
    assert any(text.startswith(("+", "−")) for text in driver.execute_script(marks))


def test_nothing_goes_wrong_in_the_page(driver: Chrome, address: str) -> None:
    driver.get_log("browser")  # of the tests before
    show(driver, address)
    log: list[dict[str, Any]] = driver.get_log("browser")
    assert [entry["message"] for entry in log if entry["level"] == "SEVERE"] == []
    requests = driver.execute_script("return performance.getEntriesByType('resource').map(r => r.name)")
    assert [name for name in requests if not name.startswith("data:")] == []
