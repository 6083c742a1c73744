"""What a start leaves that was ended before its first trial: a name that is not taken."""

import shutil
import sqlite3
from contextlib import closing

from search.storage.driver_lock import FILE, driving
from search.storage.store_uri import read_only
from search.storage.sweep_folder import Place

_OURS = {"plan.json", "study.db", "study.db-journal", "outbox.db", "outbox.db-journal", "outbox.jsonl", "log.txt", FILE}


def remove_empty(place: Place) -> bool:
    """Remove the folder of a sweep none of whose trials has begun; returns whether it was one.

    Raises:
        PlanError: if somebody runs it just now.
    """
    if not _is_false_start(place):
        return False
    with driving(place.folder):
        shutil.rmtree(place.folder)
    return True


def _is_false_start(place: Place) -> bool:
    """Whether all that lies there is what we write before the first trial."""
    if place.folder.is_symlink() or not place.plan.is_file():
        return False
    others = {path.name for path in place.folder.iterdir()} - _OURS
    return all(name.startswith("tune-") for name in others) and not has_trials(place)


def has_trials(place: Place) -> bool:
    """Whether a trial of the sweep has begun; also where its study cannot be read."""
    if not place.study.exists():
        return False
    try:
        with closing(sqlite3.connect(read_only(place.study), uri=True, timeout=1)) as study:
            return bool(study.execute("select exists (select * from trials)").fetchone()[0])
    except sqlite3.Error:
        return True
