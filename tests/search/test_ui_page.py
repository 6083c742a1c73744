"""The MLflow page that `transfersweep ui` serves, looked at in a browser."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from search.engine.start import start_sweep
from search.plan.plan import build_plan

pytestmark = [pytest.mark.ray, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1200",
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    browser = webdriver.Chrome(options, Service(driver))
    yield browser
    browser.quit()


@pytest.fixture
def page(blocks: dict[str, Any], tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of the UI on the storage folder of a sweep that has just ended."""
    blocks["sweep"] |= {"name": "seen-in-a-browser", "trials": 2, "confirm_seeds": 0}
    start_sweep(build_plan(blocks, (Path(),), "tiny.yaml"), tmp_path / "runs")
    port = free_port()
    command = [sys.executable, "-m", "search", "ui", "--storage", str(tmp_path / "runs"), "--port", str(port)]
    with (tmp_path / "ui.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_served(f"http://127.0.0.1:{port}", server, tmp_path / "ui.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_until_served(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    raise AssertionError(log.read_text())


def test_the_page_shows_the_sweep_and_its_trials(page: str, browser: webdriver.Chrome) -> None:
    browser.get(f"{page}/#/experiments/1/runs")
    wait = WebDriverWait(browser, 60, poll_frequency=1)
    wait.until(lambda browser: "seen-in-a-browser" in _text(browser))
    # The plus sign beside the sweep's run, which holds its trials'.
    browser.find_element(By.CSS_SELECTOR, "[role=gridcell] button[data-component-id*=runnamecellrenderer]").click()
    wait.until(lambda browser: all(name in _text(browser) for name in ("trial-000", "trial-001")))


def _text(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").text)
