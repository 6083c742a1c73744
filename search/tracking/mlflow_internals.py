"""Uses undocumented names of MLflow 3.17, each with a test; the rest of search/ uses only documented ones."""

from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from search.storage.store_uri import artifact_location, sqlite_file

_opened: dict[str, tuple[int, int] | None] = {}  # by URI, because MLflow keeps one engine per URI and process


def reopen_changed_file(uri: str) -> bool:
    """Make MLflow open the SQLite file of a URI again if it was deleted or replaced; create missing tables.

    MLflow keeps the first file open. If a user deletes or replaces that file, MLflow's writes are lost or fail, and the
    new file stays empty.

    Returns:
        Whether the file is a different one than before; False for a server, and at the first call of this process.
    """
    file = sqlite_file(uri)
    if file is None or (uri in _opened and _opened[uri] == _identity(file) is not None):
        return False
    engine = SqlAlchemyStore._get_or_create_engine(uri)
    engine.dispose()
    SqlAlchemyStore(uri, artifact_location(uri))  # creates the tables
    is_first_call, _opened[uri] = uri not in _opened, _identity(file)
    return not is_first_call


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
