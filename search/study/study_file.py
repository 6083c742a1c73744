"""Opens the file of a sweep's Optuna studies, or says what is wrong with it."""

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
from trainable.tasks.metrics import Direction

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of each study that is opened


class StudyFile:
    """The SQLite file of a sweep: its search's study, and beside it one of the finalists that run again.

    So what a dashboard tells of the search (importances, its history, the best trial) is of the search alone.

    Args:
        file: made where it is missing.
        name: the sweep's, and that of its search's study.
        direction: which values are better.

    Raises:
        PlanError: if the file cannot be read, is no study, or one of another sweep, or if somebody holds it.
    """

    def __init__(self, file: Path, name: str, direction: Direction) -> None:
        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
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
                study.get_trials(deepcopy=False)  # that a file was cut short may show only here

    @property
    def repeats(self) -> optuna.Study:
        """The study of the finalists that run again, made when it is first asked for."""
        if self._repeats is None:
            self._repeats = self._open(self._repeats_name)
        return self._repeats

    @property
    def studies(self) -> list[optuna.Study]:
        """Those that there are, the search's first."""
        return [self.search, *([self._repeats] if self._repeats else [])]

    def _open(self, name: str) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage,
            study_name=name,
            direction="maximize" if self._direction == "max" else "minimize",
            load_if_exists=True,
        )


def repeats_name(name: str) -> str:
    """The name of the study of a sweep's repeats; no sweep can have it, as it has a colon in it."""
    return f"{name}: repeats"


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
