"""Removes the folder of a sweep that was ended before its first trial, so that its name can be used again."""

import shutil
import sqlite3
from contextlib import closing

from search.storage.driver_lock import FILE, driving
from search.storage.store_uri import read_only
from search.storage.sweep_folder import Place

_BEFORE_TRIALS = {
    "plan.json",
    "study.db",
    "study.db-journal",
    "outbox.db",
    "outbox.db-journal",
    "outbox.jsonl",
    "log.txt",
    FILE,
}


def remove_empty(place: Place) -> bool:
    """Remove a sweep's folder if no trial has begun and nothing else lies in it; returns whether it was removed.

    Raises:
        PlanError: if another process is running the sweep.
    """
    if not _is_empty(place):
        return False
    with driving(place.folder):
        shutil.rmtree(place.folder)
    return True


def _is_empty(place: Place) -> bool:
    """Whether the folder holds only what a sweep writes before its first trial."""
    if place.folder.is_symlink() or not place.plan.is_file():
        return False
    others = {path.name for path in place.folder.iterdir()} - _BEFORE_TRIALS
    return all(name.startswith("tune-") for name in others) and not has_trials(place)


def has_trials(place: Place) -> bool:
    """Whether a trial of the sweep has begun; true also if its study cannot be read."""
    if not place.study.exists():
        return False
    try:
        with closing(sqlite3.connect(read_only(place.study), uri=True, timeout=1)) as study:
            return bool(study.execute("select exists (select * from trials)").fetchone()[0])
    except sqlite3.Error:
        return True
