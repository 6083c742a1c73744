"""Makes the pictures of the documentation from the sweep `quickstart`: `make pictures`.

The sweep runs first if its folder is missing (about five minutes on two cores). Chromium and its driver are needed.
"""

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from search.show.current import current_outcome
from search.show.report import print_outcome
from search.storage.sweep_folder import SweepFolder
from tests.helpers.chromium import open_chromium

PICTURES = Path(__file__).parent / "pictures"
SWEEP = SweepFolder(Path("runs"), "quickstart")
COLOURS = 96
"""Colours of a picture; with more the files become larger than 200 KB."""
COMMAND = [sys.executable, "-m", "transfersweep"]


def main() -> None:
    """Make every picture."""
    PICTURES.mkdir(exist_ok=True)
    if not SWEEP.outcome.is_file():
        subprocess.run([*COMMAND, "run", SWEEP.name], check=True)
    terminal(PICTURES / "terminal.svg")
    subprocess.run([*COMMAND, "report", SWEEP.name], check=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = open_chromium(Path(profile))
        try:
            browser.set_window_size(1200, 1500)
            browser.get(SWEEP.report.absolute().as_uri())
            save(browser, PICTURES / "report.png")
        finally:
            browser.quit()
    for file in sorted(PICTURES.iterdir()):
        print(f"{file.stat().st_size / 1000:.0f} KB  {file}")


def terminal(file: Path) -> None:
    """Draw what `transfersweep show` prints in 80 columns."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    print_outcome(current_outcome(SWEEP.name, SWEEP.storage), console)
    console.save_svg(str(file), title=f"transfersweep show {SWEEP.name}")


def save(browser: webdriver.Chrome, file: Path) -> None:
    """Save what the browser shows, once the plots are drawn, as a small picture."""
    WebDriverWait(browser, 120).until(lambda page: page.find_elements(By.CSS_SELECTOR, ".plot svg"))
    time.sleep(3)  # until fonts and columns have their places
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
