"""Tracking URIs: whether one can be opened, where its artifacts lie, and the command that shows it."""

import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy


def ui_command(uri: str, port: int = 5000) -> list[str]:
    """The command that serves the MLflow UI on that store to this machine only.

    Empty for the address of a server: that is the UI already.
    """
    if _is_address(uri):
        return []
    store = ["--backend-store-uri", uri]
    artifacts = ["--default-artifact-root", location] if (location := artifact_location(uri)) else []
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *store, *artifacts, *address]


def artifact_location(uri: str) -> str | None:
    """Where artifacts lie beside an SQLite file; None where the store itself decides."""
    file = _sqlite_file(uri)
    return (file.parent / "mlartifacts").as_uri() if file else None


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
        if file := _sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri)
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()


def _is_address(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None
