"""The report in Chromium, at desktop and phone width."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import open_chromium
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from search.report.page import write_report
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

DRAWN = "return [...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    browser = open_chromium(tmp_path / "profile")
    yield browser
    browser.quit()


def test_the_report_is_drawn_and_fits_at_every_width(
    swept: SweepFolder, tmp_path: Path, browser: webdriver.Chrome
) -> None:
    write_report(current_outcome(swept.name, swept.storage), swept, tmp_path / "report.html")
    for width, scheme in ((1280, "light"), (390, "dark")):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get((tmp_path / "report.html").as_uri())
        WebDriverWait(browser, 60).until(lambda browser: browser.execute_script(DRAWN))
        page = "document.documentElement"  # beside it there may be a scroll bar for the height
        assert browser.execute_script(f"return {page}.scrollWidth <= {page}.clientWidth")
        back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []
