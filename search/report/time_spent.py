"""Where the time went, and what the caches saved."""

from __future__ import annotations

from collections.abc import Iterator

from search.record.records import Outcome
from search.report.parts import Section, Table
from search.show.times import PART_COLUMNS, part_rows, parts_title, phase_rows, time_notes
from search.wording import format_duration


def time_section(outcome: Outcome) -> Section:
    """Return where the time went."""
    texts = [f"The sweep took {format_duration(outcome.seconds)} and {outcome.worker_hours:.2f} worker-hours."]
    texts += [*_savings(outcome), *time_notes(outcome)]
    phases, parts = tuple(phase_rows(outcome)), tuple(part_rows(outcome))
    tables = [Table("Wall time", ("phase", "seconds"), phases)] if phases else []
    tables += [Table(parts_title(outcome), PART_COLUMNS, parts)] if parts else []
    return Section("Where the time went", texts, tables)


def _savings(outcome: Outcome) -> Iterator[str]:
    """Say how many trials took the trained weights of a source stage from the cache instead of training them."""
    yield from ()
