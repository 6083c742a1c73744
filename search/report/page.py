"""The report as one HTML page: assembles the sections and fills the template."""

from __future__ import annotations

import re
import secrets
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from search.advice.findings import findings
from search.advice.lengths import text_lengths
from search.advice.sweep import Sweep
from search.record.records import Outcome
from search.record.row_answers import RowAnswers
from search.report.answer import answer, source_section, winner_section
from search.report.costs import costs_section
from search.report.coverage import coverage_section
from search.report.errors import errors_section, label_errors_section
from search.report.labels import labels_section
from search.report.parts import Section
from search.report.search_plots import search_section, settings_section, trials_table
from search.report.time_spent import time_section
from search.show.report import next_commands
from search.storage.sweep_folder import SweepFolder
from trainable.store.files import write_file


def write_report(outcome: Outcome, folder: SweepFolder, to: Path) -> None:
    """Write the report of a sweep, finished or not, as one file that needs no network.

    Args:
        outcome: the sweep's results so far.
        folder: the sweep's folder.
        to: the file to write; an older one is replaced.

    Raises:
        PlanError: if the study cannot be read.
        OSError: if the file cannot be written.
    """
    page = build_page(Sweep.open(outcome, folder))
    write_file(to, lambda into: into.write_text(page, encoding="utf-8"))


def build_page(sweep: Sweep, refresh: int | None = None) -> str:
    """Return the report as HTML; a browser loads it again after `refresh` seconds, if given."""
    outcome = sweep.outcome
    return _TEMPLATES.get_template("report.html.j2").render(
        outcome=outcome,
        answer=answer(outcome),
        sections=sections_of(sweep),
        commands=next_commands(outcome),
        refresh=refresh,
        plotly=get_plotlyjs(),
        style=_file("report.css"),
        script=_file("report.js"),
        # Only scripts with this word run, so that a text of the data cannot run one even if escaping had a mistake.
        nonce=secrets.token_urlsafe(16),
    )


def outcome_html(outcome: Outcome) -> str:
    """Return answer, winner and trials of an outcome as a part of a page, which a notebook shows."""
    return _TEMPLATES.get_template("outcome.html.j2").render(
        outcome=outcome,
        answer=answer(outcome),
        tables=winner_section(outcome).tables,
        trials=trials_table(outcome),
        commands=next_commands(outcome),
    )


def sections_of(sweep: Sweep) -> list[Section]:
    """Return the sections that have something to say."""
    lengths, answers = text_lengths(sweep), RowAnswers.load(sweep.folder.answers)
    sections = [
        winner_section(sweep.outcome),
        Section("Advice", [each.text for each in findings(sweep, lengths)]),
        source_section(sweep),
        labels_section(sweep),
        errors_section(sweep.outcome, answers),
        label_errors_section(answers),
        settings_section(sweep),
        costs_section(sweep),
        coverage_section(sweep, lengths),
        search_section(sweep),
        time_section(sweep),
    ]
    return [section for section in sections if not section.is_empty]


def _name_parts(name: str) -> list[str]:
    """Return the parts of a dotted name, between which a line may end."""
    return re.findall(r"[^._]+[._]?|[._]", name)


def _file(name: str) -> str:
    return files("search.report").joinpath("templates", name).read_text(encoding="utf-8")


# A value that the template uses and `build_page` does not give is an error, not a gap in the page.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["name_parts"] = _name_parts
