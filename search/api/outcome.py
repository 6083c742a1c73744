"""The outcome of a sweep, as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from search.record import records
from search.show.winner import winner_text


@dataclass(frozen=True, repr=False)
class Outcome(records.Outcome):
    """The results of a sweep, finished or not; a notebook shows the answer, the winner and the trials."""

    @classmethod
    def of(cls, outcome: records.Outcome) -> Outcome:
        """Return the same results as an outcome that a notebook can show."""
        return cls(**{field.name: getattr(outcome, field.name) for field in fields(outcome)})

    def __repr__(self) -> str:
        return f"<Outcome of sweep {self.name}: {len(self.searched)} trials; {winner_text(self)}>"

    def _repr_html_(self) -> str:
        """Return what `transfersweep show` prints as HTML."""
        from search.report.page import outcome_html  # imports Plotly

        return outcome_html(self)
