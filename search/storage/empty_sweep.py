"""Removes the folder of a sweep that was ended before its first trial, so that its name can be used again."""

import shutil
import sqlite3
from contextlib import closing

from search.storage.driver_lock import LOCK_FILE, hold_driver_lock
from search.storage.store_uri import read_only_uri
from search.storage.sweep_folder import SweepFolder

_FILES_BEFORE_TRIALS = {
    "plan.json",
    "study.db",
    "study.db-journal",
    "outbox.db",
    "outbox.db-journal",
    "outbox.jsonl",
    "log.txt",
    "baselines",
    LOCK_FILE,
}


def remove_empty(folder: SweepFolder) -> bool:
    """Remove a sweep's folder if no trial has begun and it holds no other files; return whether it was removed.

    Raises:
        PlanError: if another process is running the sweep.
    """
    if not _is_empty(folder):
        return False
    with hold_driver_lock(folder.path):
        shutil.rmtree(folder.path)
    return True


def _is_empty(folder: SweepFolder) -> bool:
    """Return whether the folder holds only the files that a sweep writes before its first trial."""
    if folder.path.is_symlink() or not folder.plan.is_file():
        return False
    others = {path.name for path in folder.path.iterdir()} - _FILES_BEFORE_TRIALS
    return all(name.startswith("tune-") for name in others) and not has_trials(folder)


def has_trials(folder: SweepFolder) -> bool:
    """Return whether a trial of the sweep has begun; if the study cannot be read, return True."""
    if not folder.study.exists():
        return False
    try:
        with closing(sqlite3.connect(read_only_uri(folder.study), uri=True, timeout=1)) as study:
            return bool(study.execute("select exists (select * from trials)").fetchone()[0])
    except sqlite3.Error:
        return True
