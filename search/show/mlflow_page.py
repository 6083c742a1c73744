"""Serves MLflow's page, and finds the addresses at which it shows the trials of a sweep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from search.plan.plan import load_sweep
from search.storage.store_uri import default_uri, is_server, ui_command, without_login
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from trainable.errors import ConfigError

if TYPE_CHECKING:  # a mistake is reported without waiting for MLflow
    from search.tracking.experiment import View

_PAUSE_SECONDS = 0.3  # between two looks at whether the server answers


def show_page(storage: Path, uri: str | None, name: str | None, port: int, browser: bool) -> int:
    """Serve MLflow's page until it is interrupted, and print where it shows a sweep; a server serves its own page.

    Args:
        storage: the folder of all sweeps.
        uri: a tracking URI; None: that of the sweep, or the storage's database.
        name: the sweep to show; None: the one with the newest view.
        port: on this machine.
        browser: whether to open the page in a browser, if this machine has a screen.

    Returns:
        The exit code.

    Raises:
        PlanError: if there is no such sweep.
        ConfigError: if there is no database.
    """
    folder = None if name is None else SweepFolder(storage, name)
    address = uri or (load_sweep(folder).tracking_uri(storage) if folder else default_uri(storage))
    if address == default_uri(storage) and not (storage / "mlflow.db").is_file():
        raise ConfigError(f"{storage / 'mlflow.db'}: no such file; run a sweep first, or give --storage or --uri")
    if is_server(address):
        show_view(without_login(address), _view(address, folder), browser)
        return 0
    command, variables = ui_command(address, port)
    with subprocess.Popen(command, env=os.environ | variables) as server:
        try:
            page = f"http://127.0.0.1:{port}"
            if answers(page, server):
                show_view(page, _view(address, folder), browser)
                say("end it with Ctrl-C")
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return 0


def _view(uri: str, folder: SweepFolder | None) -> View | None:
    """Return the view of a sweep, or without one the newest view; None if there is none."""
    from search.tracking.experiment import saved_views

    sweep_id = load_saved_plan(folder)["id"] if folder else None
    return next((view for view in saved_views(uri) if sweep_id in (None, view.sweep_id)), None)


def show_view(page: str, view: View | None, browser: bool) -> None:
    """Print where the page shows a sweep, and open it."""
    if view is None:
        say(f"MLflow on {page}")
        say("it has no view of a sweep: `transfersweep resume NAME` adds that of a sweep of an earlier version")
    else:
        say(f"MLflow shows {view.sweep}, the best trials first:\n  {view.table(page)}")
        say(f"its charts:\n  {view.charts(page)}")
    if browser and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
        webbrowser.open(view.table(page) if view else page)


def answers(page: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; return False if it has ended."""
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{page}/health", timeout=5).close()
            return True
        except (urllib.error.URLError, OSError):
            time.sleep(_PAUSE_SECONDS)
    return False


def say(text: str) -> None:
    """Print a line for a person, who may look at it while the command runs."""
    print(text, file=sys.stderr, flush=True)
