"""Where the time went, and what the caches saved."""

from __future__ import annotations

from collections.abc import Iterator

from search.advice.sweep import Sweep
from search.record.records import TrialRecord
from search.report.parts import Section, Table
from search.show.times import PART_COLUMNS, part_rows, parts_title, phase_rows, time_notes
from search.study.trial_settings import uses_source
from search.wording import format_duration


def time_section(sweep: Sweep) -> Section:
    """Return where the time went."""
    outcome = sweep.outcome
    texts = [f"The sweep took {format_duration(outcome.seconds)} and {outcome.worker_hours:.2f} worker-hours."]
    texts += [*_savings(sweep), *time_notes(outcome)]
    phases, parts = tuple(phase_rows(outcome)), tuple(part_rows(outcome))
    tables = [Table("Wall time", ("phase", "seconds"), phases)] if phases else []
    tables += [Table(parts_title(outcome), PART_COLUMNS, parts)] if parts else []
    return Section("Where the time went", texts, tables)


def _savings(sweep: Sweep) -> Iterator[str]:
    """Say how many trials took the weights of their source stages from the cache instead of training them."""
    using = [record for record in sweep.outcome.trials if uses_source(sweep.plan, record) and record.times]
    trained = [seconds for record in using if (seconds := _source_seconds(record))]
    taken = len(using) - len(trained)
    if not taken:
        return
    text = f"{taken} of {len(using)} trials with a source took its trained weights from the cache"
    if not trained:
        yield f"{text}."
        return
    mean = sum(trained) / len(trained)
    saved = format_duration(mean * taken)
    yield f"{text}. Training it took {format_duration(mean)} on average, so the cache saved about {saved}."


def _source_seconds(record: TrialRecord) -> float:
    """Return the seconds that a trial spent on training and evaluating its source stages."""
    return sum(part["seconds"] for name, part in record.times.items() if name.startswith(("source.", "sources.")))
