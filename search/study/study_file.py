"""Opens the SQLite file of a sweep's Optuna studies, or reports why it cannot be opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage

from search.errors import PlanError
from search.storage.sqlite_lock import WAITING_ARGUMENTS, check_unlocked
from search.storage.store_uri import sqlite_uri
from trainable.metrics.metric import Direction

optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it logs each study that is opened


class StudyFile:
    """The SQLite file of a sweep, with one study for the search and another for repeats of finalists.

    Thanks to two studies, a dashboard shows importances, history and the best trial of the search alone.

    Args:
        file: created if it is missing.
        name: the name of the sweep, also of its search study.
        direction: whether higher or lower values are better.

    Raises:
        PlanError: if the file cannot be read, holds no study or that of another sweep, or is locked.
    """

    def __init__(self, file: Path, name: str, direction: Direction) -> None:
        if file.exists() and not file.is_file():  # opening a pipe would never return
            raise PlanError([f"{file}: is no plain file; bring the study back from a copy"])
        self._direction, self._repeats_name = direction, repeats_name(name)
        check_unlocked(file)
        with _readable(file):
            self._storage = RDBStorage(sqlite_uri(file), engine_kwargs={"connect_args": WAITING_ARGUMENTS})
            names = [study.study_name for study in self._storage.get_all_studies()]
        if names and name not in names:
            raise PlanError(
                [f"{file}: is the study of {', '.join(names)!r:.80}, not of {name!r}; bring the right one back"]
            )
        with _readable(file):
            self.search = self._open(name)
            self._repeats = self._open(self._repeats_name) if self._repeats_name in names else None
            for study in self.studies:
                study.get_trials(deepcopy=False)  # the first read that fails on some truncated files

    @property
    def repeats(self) -> optuna.Study:
        """Return the study of the repeats; created at the first access."""
        if self._repeats is None:
            self._repeats = self._open(self._repeats_name)
        return self._repeats

    @property
    def studies(self) -> list[optuna.Study]:
        """Return the existing studies, that of the search first."""
        return [self.search, *([self._repeats] if self._repeats else [])]

    def _open(self, name: str) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage,
            study_name=name,
            direction="maximize" if self._direction == "max" else "minimize",
            load_if_exists=True,
        )


def repeats_name(name: str) -> str:
    """Return the name of the study of a sweep's repeats; its colon keeps it from being the name of a sweep."""
    return f"{name}: repeats"


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn the errors of Optuna and SQLite about a damaged file into a PlanError of one sentence."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, OptunaError, RuntimeError, ValueError, LookupError) as error:
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise PlanError(
            [f"{file}: cannot be read as an Optuna study: {reason:.200}; bring it back from a copy"]
        ) from None
