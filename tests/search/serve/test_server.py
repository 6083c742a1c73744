"""`transfersweep serve`, asked by a real client: the command itself, and its application in a real server."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import uvicorn

import transfersweep
from search.export.classifier import Classifier
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.facts import read_facts
from search.serve.app import MOST_BYTES, MOST_ROWS, application
from search.serve.server import serve_folder
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def model(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model")).folder


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    """The address of the application of the shared model, without the process of the command."""
    facts = read_facts(model)
    server = uvicorn.Server(uvicorn.Config(application(facts, Classifier.load(model, facts)), log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def post(url: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"{url}/predict", data, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def refused(url: str, body: Any) -> tuple[int, str]:
    with pytest.raises(HTTPError) as error:
        post(url, body)
    return error.value.code, error.value.read().decode()


@pytest.mark.slow
def test_the_command_prints_a_line_that_works_and_ends_when_it_is_told_to(model: Path) -> None:
    command = [sys.executable, "-m", "search", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first, line = process.stderr.readline(), process.stderr.readline()
        address = re.findall(r"http://127\.0\.0\.1:\d+", first)[0]
        with urlopen(f"{address}/health", timeout=60) as health:
            assert json.load(health) == {"status": "ok"}
        if shutil.which("curl"):
            printed = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
            assert json.loads(printed)["answers"][0]["predicted"] in {"negative", "positive"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        assert process.stderr.read() == "Interrupted\n"


def test_it_answers_as_the_classifier_does(model: Path, url: str) -> None:
    texts = ["I love it", "so sad", "word " * 3000]
    answers = post(url, {"rows": [{"text": text, "id": 7} for text in texts]})["answers"]
    for answer, expected in zip(answers, transfersweep.classifier(model)(texts), strict=True):
        assert answer["predicted"] == expected.label
        assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)
        assert set(answer) == {"predicted", "probability", "p_negative", "p_positive"}


def test_clients_that_ask_at_the_same_time_get_their_own_answers(url: str) -> None:
    texts = ["I love it", "so sad", "what a good day", "a bad film"] * 4
    alone = {text: post(url, {"rows": [{"text": text}]})["answers"] for text in set(texts)}
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = post(url, {"rows": [{"text": texts[number]}]})["answers"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: alone[text] for number, text in enumerate(texts)}


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"rows": [{"text": "fine"}, {"text": " "}]}, 422, "1 row with no text in column 'text', the first on row 2"),
        ({"rows": [{"text": "\ud800"}]}, 422, "half a character"),
        ({"rows": [{"text": 3}]}, 422, "should be a valid string"),
        ({"rows": [{"message": "hello"}]}, 422, "Field required"),
        ({"rows": []}, 422, "at least 1 item"),
        ({"rows": [{"text": "a"}] * (MOST_ROWS + 1)}, 422, f"at most {MOST_ROWS} items"),
        ({"texts": ["a"]}, 422, "Field required"),
        (b"{", 422, "JSON decode error"),
    ],
    ids=["empty", "surrogate", "number", "column", "none", "many", "form", "json"],
)
def test_a_request_that_cannot_be_answered_is_refused(url: str, body: Any, code: int, says: str) -> None:
    status, message = refused(url, body)
    assert status == code and says in message and "Traceback" not in message


def test_a_request_that_is_too_large_is_refused_before_it_is_read(url: str) -> None:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(MOST_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_the_page_describes_the_columns(url: str) -> None:
    with urlopen(f"{url}/openapi.json") as answer:
        row = json.load(answer)["components"]["schemas"]["Row"]
    assert list(row["properties"]) == ["text"] and row["example"] == {"text": "Your text"}
    with urlopen(f"{url}/docs") as page:
        assert "swagger" in page.read().decode()


def test_a_port_that_is_taken_and_a_folder_without_a_model_are_refused(model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"--host 127.0.0.1 --port {port}: cannot be used: Address already in use"
        ):
            serve_folder(model, "127.0.0.1", port)
    with pytest.raises(ConfigError, match="is not a folder that `transfersweep export` wrote"):
        serve_folder(tmp_path, "127.0.0.1", 0)
    with pytest.raises(ConfigError, match="--host no.such.host.invalid"):
        serve_folder(model, "no.such.host.invalid", 0)
