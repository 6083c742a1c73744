"""`transfersweep watch`: the report of the present state on 127.0.0.1."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from search.report.watch import report_server
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError


@pytest.fixture
def address(swept: SweepFolder, tmp_path: Path) -> Iterator[tuple[SweepFolder, str]]:
    shutil.copytree(swept.path, tmp_path / swept.name)
    folder = SweepFolder(tmp_path, swept.name)
    with report_server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_shows_the_state_and_loads_itself_again_while_there_is_more(address: tuple[SweepFolder, str]) -> None:
    folder, url = address
    assert 'http-equiv="refresh"' not in urlopen(url).read().decode()
    folder.outcome.unlink()  # as of a sweep that has not ended
    page = urlopen(url).read().decode()
    assert 'http-equiv="refresh"' in page and f"Sweep {folder.name}" in page


def test_there_is_no_other_page(address: tuple[SweepFolder, str]) -> None:
    folder, url = address
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{url}/plan.json")
    folder.study.unlink()
    folder.outcome.unlink()
    with pytest.raises(HTTPError, match="503"):
        urlopen(url)


def test_a_port_that_is_taken_is_refused(swept: SweepFolder) -> None:
    with report_server(swept, 0) as server, pytest.raises(ConfigError, match="give another one"):
        report_server(swept, server.server_port)
