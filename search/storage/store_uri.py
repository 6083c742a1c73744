"""Tracking URIs: whether one can be opened, where its artifacts lie, and the command that shows it."""

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
    """The URI of an SQLite file, whatever characters stand in its path."""
    return sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()


def read_only(file: Path) -> str:
    """The same for Python's own `sqlite3`, which then makes and changes nothing."""
    return f"file:{quote(str(file.absolute()))}?mode=ro"


def existing(file: Path) -> str:
    """The same, for a file that may be written: a transaction that a killed process began is then taken back."""
    return f"file:{quote(str(file.absolute()))}?mode=rw"


def default_uri(storage: Path) -> str:
    """Where MLflow records the sweeps of a storage folder, unless they name another place."""
    return sqlite_uri(storage.absolute() / "mlflow.db")


def ui_command(uri: str, port: int = 5000) -> tuple[list[str], dict[str, str]]:
    """The command that serves the MLflow UI on that store to this machine only, and variables that it reads.

    The URI stands in a variable: it may hold a password, and every user can list the arguments of a process. The
    command is empty for the address of a server: that is the UI already.
    """
    if _is_address(uri):
        return [], {}
    artifacts = ["--default-artifact-root", location] if (location := artifact_location(uri)) else []
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *artifacts, *address], {"MLFLOW_BACKEND_STORE_URI": uri}


def artifact_location(uri: str) -> str | None:
    """Where artifacts lie beside an SQLite file; None where the store itself decides."""
    file = sqlite_file(uri)
    return (file.parent / ARTIFACTS).as_uri() if file else None


def keep_artifacts_beside(uri: str) -> None:
    """Where an SQLite file has been moved or copied with its artifacts, make MLflow look for them where they lie now.

    MLflow keeps whole paths. It would go on to write to the old place, and the page would find nothing here.
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
    """Ask once, briefly: MLflow itself tries a database for a quarter of an hour and a server for minutes.

    Raises:
        OSError: if nobody answers, or the URI is empty.
        sqlalchemy.exc.SQLAlchemyError: if it is no database, or one that does not answer.
        ImportError: if the database's driver is not installed.
    """
    if not uri:
        raise OSError("it is empty")
    if _is_address(uri):
        parts = urlsplit(uri)
        try:
            urllib.request.urlopen(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), timeout=10).close()
        except urllib.error.HTTPError:
            return  # it answers; whether it lets us in is for MLflow to say
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # MLflow has its own settings for certificates
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
    """The file of an SQLite URI; None for any other."""
    url = sqlalchemy.make_url(uri) if uri.startswith("sqlite:///") else None
    return Path(url.database).absolute() if url and url.database else None
