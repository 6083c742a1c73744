"""Opens the file of a sweep's Optuna study, or says what is wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.exceptions import OptunaError

from search.errors import PlanError
from search.records import Direction
from search.store_uri import sqlite_uri

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of each study that is opened

LOCK_SECONDS = 120
"""How long a write waits while somebody else, such as a dashboard or a backup, holds the file."""


def open_study(file: Path, name: str, direction: Direction) -> optuna.Study:
    """The study of that name in an SQLite file, made where there is none yet.

    Raises:
        PlanError: if the file cannot be read, is no study, or one of another sweep.
    """
    if file.exists() and not file.is_file():  # opening a pipe would wait for ever
        raise PlanError([f"{file}: is no plain file; bring the study back from a copy"])
    with _readable(file):
        storage = optuna.storages.RDBStorage(
            sqlite_uri(file), engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
        )
        names = [study.study_name for study in storage.get_all_studies()]
    if names and name not in names:
        raise PlanError(
            [f"{file}: is the study of {', '.join(names)!r:.80}, not of {name!r}; bring the right one back"]
        )
    with _readable(file):
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if direction == "max" else "minimize",
            load_if_exists=True,
        )
        study.get_trials(deepcopy=False)  # that a file was cut short may show only here
    return study


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """What Optuna and SQLite say of a damaged file as one sentence."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, OptunaError, RuntimeError, ValueError, LookupError) as error:
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise PlanError(
            [f"{file}: cannot be read as an Optuna study: {reason:.200}; bring it back from a copy"]
        ) from None
