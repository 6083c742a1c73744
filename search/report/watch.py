"""Serves the report of a running sweep on this machine: `transfersweep watch`."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from search.advice.sweep import Sweep
from search.errors import PlanError
from search.report.page import build_page
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError

REFRESH_SECONDS = 20
"""Seconds after which a browser loads the page of an unfinished sweep again."""


def report_server(folder: SweepFolder, port: int) -> ThreadingHTTPServer:
    """Return a server of the report on 127.0.0.1; every request reads the study again.

    Args:
        folder: the sweep's folder.
        port: port to listen on; 0 takes a free one.

    Raises:
        ConfigError: if the port is taken.
    """
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Page, folder))
    except OSError as error:
        raise ConfigError(f"--port {port}: cannot be used: {error.strerror}; give another one, or 0") from None


class _Page(BaseHTTPRequestHandler):
    """Answers `GET /` with the report."""

    def __init__(self, folder: SweepFolder, *arguments: Any) -> None:
        self._folder = folder
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            outcome = current_outcome(self._folder.name, self._folder.storage)
            page = build_page(Sweep.open(outcome, self._folder), None if outcome.complete else REFRESH_SECONDS)
        except PlanError as error:  # such as a sweep that has no trial yet
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=str(error))
            return
        content = page.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for each request."""
