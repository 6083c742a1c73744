"""Tracking URIs and SQLite URIs: whether one can be opened, where its artifacts lie, and the command of its UI."""

import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import sqlalchemy

ARTIFACTS = "mlartifacts"
_MOVE_EXPERIMENT = "update experiments set artifact_location = :here where experiment_id = :experiment"
_MOVE_RUNS = """
update runs set artifact_uri = :here || substr(artifact_uri, length(:there))
where experiment_id = :experiment and substr(artifact_uri, 1, length(:there)) = :there
"""


def sqlite_uri(file: Path) -> str:
    """The URI of an SQLite file for SQLAlchemy, with any characters in its path."""
    return sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()


def read_only_uri(file: Path) -> str:
    """The URI of an SQLite file for Python's `sqlite3`; the file is neither made nor changed."""
    return f"file:{quote(str(file.absolute()))}?mode=ro"


def read_write_uri(file: Path) -> str:
    """The same, but SQLite may undo the unfinished transaction of a killed process; the file is not made."""
    return f"file:{quote(str(file.absolute()))}?mode=rw"


def default_uri(storage: Path) -> str:
    """The tracking URI of the sweeps in a storage folder that name no other."""
    return sqlite_uri(storage.absolute() / "mlflow.db")


def ui_command(uri: str, port: int = 5000) -> tuple[list[str], dict[str, str]]:
    """The command that serves the MLflow UI of a store to this machine only, and the variables that it reads.

    The URI is in a variable: it may hold a password, and every user can list the arguments of a process. The command is
    empty for the address of a server, which serves its own UI.
    """
    if _is_address(uri):
        return [], {}
    artifacts = ["--default-artifact-root", location] if (location := artifact_location(uri)) else []
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *artifacts, *address], {"MLFLOW_BACKEND_STORE_URI": uri}


def artifact_location(uri: str) -> str | None:
    """The artifact folder beside an SQLite file, as a URI; None for a store that chooses its own."""
    file = sqlite_file(uri)
    return (file.parent / ARTIFACTS).as_uri() if file else None


def correct_artifact_paths(uri: str) -> None:
    """After an SQLite file was moved or copied with its artifacts, correct their paths in it.

    MLflow stores absolute paths: it would still write to the old place, and its page would not find the artifacts.
    """
    file, here = sqlite_file(uri), artifact_location(uri)
    if file is None or here is None or not file.is_file():
        return
    engine = sqlalchemy.create_engine(uri)
    folder = "/" + ARTIFACTS
    with engine.begin() as connection:
        if not sqlalchemy.inspect(connection).has_table("experiments"):
            return
        places = connection.execute(sqlalchemy.text("select experiment_id, artifact_location from experiments"))
        for experiment, there in places.all():
            if there != here and str(there).endswith(folder):
                moved = {"here": here, "there": f"{there}/", "experiment": experiment}
                connection.execute(sqlalchemy.text(_MOVE_EXPERIMENT), moved)
                connection.execute(sqlalchemy.text(_MOVE_RUNS), moved)
    engine.dispose()


def check_reachable(uri: str) -> None:
    """Try once to connect: MLflow itself tries a database for 15 minutes and a server for minutes.

    Raises:
        OSError: if no server answers, or the URI is empty.
        sqlalchemy.exc.SQLAlchemyError: if it is not a database, or the database does not answer.
        ImportError: if the database's driver is not installed.
    """
    if not uri:
        raise OSError("it is empty")
    if _is_address(uri):
        parts = urlsplit(uri)
        try:
            urllib.request.urlopen(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), timeout=10).close()
        except urllib.error.HTTPError:
            return  # it answers; MLflow checks the credentials
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # MLflow has its own certificate settings
                raise
    elif "://" in uri and not uri.startswith(("file:", "databricks")):
        if file := sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()


def _is_address(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other URI."""
    url = sqlalchemy.make_url(uri) if uri.startswith("sqlite:///") else None
    return Path(url.database).absolute() if url and url.database else None
