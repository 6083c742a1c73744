"""Keeps MLflow with the SQLite file that lies under a URI, also when that was deleted or replaced meanwhile."""

from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from search.storage.store_uri import artifact_location, sqlite_file

_known: dict[str, tuple[int, int] | None] = {}  # MLflow keeps one engine a URI for the process, and so do we


def follow_file(uri: str) -> bool:
    """Let MLflow open the file that lies there now, and make its tables where it has none.

    MLflow's engine would go on with the file that it opened first. Once that is deleted, what is written to it is lost
    or fails, and nothing is ever written to the new one.

    Returns:
        Whether it is another file than before; never for a server, and for the first look of this process.
    """
    file = sqlite_file(uri)
    if file is None or (uri in _known and _known[uri] == _identity(file) is not None):
        return False
    engine = SqlAlchemyStore._get_or_create_engine(uri)  # a name of MLflow 3.17, kept by a test
    engine.dispose()
    SqlAlchemyStore(uri, artifact_location(uri))  # makes the tables
    first, _known[uri] = uri not in _known, _identity(file)
    return not first


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
