"""The MLflow page that `transfersweep ui` serves, looked at in a browser."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import open_chromium
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from search.engine.mlflow_sweep import end_sweep
from search.engine.mlflow_trials import MlflowTrials
from search.plan.plan import load_sweep
from search.storage.sweep_folder import SweepFolder, load_outcome
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import begin_run, open_tracker
from search.tracking.replay import Replay

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

COLUMNS = ("Run Name", "transfersweep.result", "score", "target.epochs", "target.batch_size", "source.enabled")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    browser = open_chromium(tmp_path / "profile")
    yield browser
    browser.quit()


@pytest.fixture
def shown(swept: SweepFolder, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[tuple[str, str]]:
    """The address that `ui` prints for a finished sweep, and the id of the sweep's run; no Ray is needed."""
    storage, port = tmp_path / "runs", free_port()
    folder = SweepFolder(Path(shutil.copytree(swept.storage, storage)), "tiny")
    sweep_run = _tell_mlflow(folder)
    command = [sys.executable, "-m", "search", "ui", "tiny", "--storage", str(storage), "--port", str(port)]
    with (tmp_path / "ui.log").open("wb") as log:
        server = subprocess.Popen([*command, "--no-browser"], stdout=log, stderr=log, start_new_session=True)
    try:
        yield _printed_address(server, tmp_path / "ui.log"), sweep_run
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _tell_mlflow(folder: SweepFolder) -> str:
    plan, outcome = load_sweep(folder), load_outcome(folder)
    assert outcome
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    with open_tracker(plan, folder, study, Replay(plan, study)) as tracker:
        run_id = begin_run(tracker, plan, study, {})
        MlflowTrials(plan, study, tracker).reconcile()
        end_sweep(outcome, plan, folder, tracker)
        assert tracker.wait() and tracker.refused == ()
        return run_id


def _printed_address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the page is served, and return the address of the table that was printed."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        lines = log.read_text().splitlines()
        if any("end it with Ctrl-C" in line for line in lines):
            return next(line.strip() for line in lines if "viewStateShareKey" in line)
        time.sleep(1)
    raise AssertionError(log.read_text())


def test_a_person_sees_the_winner_first_with_its_score_and_the_searched_settings(
    shown: tuple[str, str], browser: webdriver.Chrome
) -> None:
    page, sweep_run = shown
    browser.get(page)
    # The page draws its cells after the names of the runs, and a cell anew while it is read.
    ignored = [NoSuchElementException, StaleElementReferenceException]
    wait = WebDriverWait(browser, 120, poll_frequency=1, ignored_exceptions=ignored)
    wait.until(lambda browser: "trial-001" in _text(browser))
    wait.until(lambda browser: _cell(browser, 0, "params.`target.epochs`"))
    assert "Traces" in _text(browser) and "Prompts" not in _text(browser)  # the pages of model training
    assert [_cell(browser, row, "attributes.`Run Name`") for row in (0, 1)] == ["trial-000 (winner)", "trial-001"]
    headers = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
    headers.sort(key=lambda header: header.location["x"])  # the page may hold them in another order than it shows
    names = list(dict.fromkeys(header.text for header in headers if header.text in COLUMNS))
    assert names == ["Run Name", "transfersweep.result", "score", "target.epochs"]
    assert _cell(browser, 0, "tags.`transfersweep.result`") == "winner"
    assert float(_cell(browser, 0, "metrics.`score`").rstrip("…")) > 0
    assert _cell(browser, 0, "params.`target.epochs`") == "2"
    browser.get(f"{page}&compareRunsMode=CHART")
    wait.until(lambda browser: "Best trials" in _text(browser) and "Parallel Coordinates" in _text(browser))
    browser.get(page.replace("/runs?", f"/runs/{sweep_run}?"))
    wait.until(lambda browser: "The winner is trial 0" in _text(browser))


def _cell(browser: webdriver.Chrome, row: int, column: str) -> str:
    """Return the text of a cell without the box of the run's colour."""
    found = browser.find_element(By.CSS_SELECTOR, f'.ag-row[row-index="{row}"] [col-id="{column}"]')
    return found.text.splitlines()[-1]


def _text(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").text)
