"""What search/ uses of MLflow beyond its documented interface: names of MLflow 3.17, each with a test."""

from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from search.storage.store_uri import artifact_location, sqlite_file

_known: dict[str, tuple[int, int] | None] = {}  # by URI: MLflow also keeps one engine a URI for the whole process


def reopen_changed_file(uri: str) -> bool:
    """Let MLflow open the SQLite file that lies under a URI now, and make its tables where it has none.

    MLflow keeps the first file open. After somebody deletes or replaces that, what MLflow writes is lost or fails, and
    nothing is written to the new file.

    Returns:
        Whether it is another file than before; never for a server, and never at the first call of this process.
    """
    file = sqlite_file(uri)
    if file is None or (uri in _known and _known[uri] == _identity(file) is not None):
        return False
    engine = SqlAlchemyStore._get_or_create_engine(uri)
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
