"""Tracking URIs and SQLite URIs: how to build and check them, their artifact folder, and the command of their UI."""

import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import sqlalchemy

ARTIFACTS = "mlartifacts"
_MOVE_EXPERIMENT = "update experiments set artifact_location = :new where experiment_id = :experiment"
_MOVE_RUNS = """
update runs set artifact_uri = :new || substr(artifact_uri, length(:old))
where experiment_id = :experiment and substr(artifact_uri, 1, length(:old)) = :old
"""


def sqlite_uri(file: Path) -> str:
    """Return the URI of an SQLite file for SQLAlchemy; the path may contain any characters."""
    return sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()


def read_only_uri(file: Path) -> str:
    """Return the URI with which `sqlite3` opens an SQLite file, and neither creates nor changes it."""
    return f"file:{quote(str(file.absolute()))}?mode=ro"


def read_write_uri(file: Path) -> str:
    """Return the URI with which `sqlite3` opens an SQLite file, but does not create it.

    Unlike with `read_only_uri`, SQLite can undo the unfinished transaction of a killed process.
    """
    return f"file:{quote(str(file.absolute()))}?mode=rw"


def default_uri(storage: Path) -> str:
    """Return the tracking URI of those sweeps in a storage folder whose settings have none."""
    return sqlite_uri(storage.absolute() / "mlflow.db")


def ui_command(uri: str, port: int = 5000) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves the MLflow UI of a store to this machine only, and its environment variables.

    The URI is in a variable: it may contain a password, and every user can list the arguments of a process. The jobs
    of MLflow judge traces of language models: some nine processes, for what a sweep has none of.
    """
    artifacts = ["--default-artifact-root", location] if (location := artifact_location(uri)) else []
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    variables = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return [sys.executable, "-m", "mlflow", "ui", *artifacts, *address], variables


def artifact_location(uri: str) -> str | None:
    """Return the artifact folder beside an SQLite file, as a URI; None for a store that chooses its own folder."""
    file = sqlite_file(uri)
    return (file.parent / ARTIFACTS).as_uri() if file else None


def correct_artifact_paths(uri: str) -> None:
    """Correct the artifact paths in an SQLite file that was moved or copied together with its artifacts.

    MLflow stores absolute paths: it would still write to the old folder, and its UI would not find the artifacts.
    """
    file, new = sqlite_file(uri), artifact_location(uri)
    if file is None or new is None or not file.is_file():
        return
    engine = sqlalchemy.create_engine(uri)
    folder = "/" + ARTIFACTS
    with engine.begin() as connection:
        if not sqlalchemy.inspect(connection).has_table("experiments"):
            return
        experiments = connection.execute(sqlalchemy.text("select experiment_id, artifact_location from experiments"))
        for experiment, old in experiments.all():
            if old != new and str(old).endswith(folder):
                values = {"new": new, "old": f"{old}/", "experiment": experiment}
                connection.execute(sqlalchemy.text(_MOVE_EXPERIMENT), values)
                connection.execute(sqlalchemy.text(_MOVE_RUNS), values)
    engine.dispose()


def check_reachable(uri: str) -> None:
    """Try to connect once, because MLflow itself tries for 15 minutes with a database and for minutes with a server.

    Raises:
        OSError: if no server answers, or the URI is empty.
        sqlalchemy.exc.SQLAlchemyError: if the URI is not a database, or the database does not answer.
        ImportError: if the database's driver is not installed.
    """
    if not uri:
        raise OSError("it is empty")
    if is_server(uri):
        try:
            urllib.request.urlopen(without_login(uri), timeout=10).close()
        except urllib.error.HTTPError:
            return  # the server answers; MLflow checks the credentials later
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # MLflow has its own certificate settings
                raise
    elif "://" in uri and not uri.startswith(("file:", "databricks")):
        if file := sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()


def without_login(address: str) -> str:
    """Return the address of a server without user name and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is the address of an MLflow server."""
    return urlsplit(uri).scheme in {"http", "https"}


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for any other URI."""
    url = sqlalchemy.make_url(uri) if uri.startswith("sqlite:///") else None
    return Path(url.database).absolute() if url and url.database else None
