"""Writes the report at the end of a sweep, and gives it to MLflow."""

import logging
from dataclasses import replace

from search.record.records import Outcome
from search.storage.sweep_folder import SweepFolder
from search.tracking.tracker import Tracker

_log = logging.getLogger(__name__)


def report_outcome(outcome: Outcome, folder: SweepFolder, tracker: Tracker) -> Outcome:
    """Write the report of a sweep that has ended; return the outcome, with a note if that failed."""
    from search.report.page import write_report  # imports Plotly, which the start of a sweep need not wait for

    try:
        write_report(outcome, folder, folder.report)
    except Exception as error:  # many libraries draw it, and the results of the search matter more
        _log.exception("the report was not written")
        reason = f"{type(error).__name__}: {error}"
        note = f"the report was not written ({reason:.200}); `{folder.command('report')}` tries again"
        return replace(outcome, notes=(*outcome.notes, note))
    log_report(folder, tracker)
    return outcome


def log_report(folder: SweepFolder, tracker: Tracker) -> None:
    """Store the report as a file of the sweep's MLflow run, if there is one."""
    if folder.report.is_file():
        tracker.log_file(None, folder.report.name)
