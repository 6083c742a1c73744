"""The ranking of sources and encoders as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from search.record.scores import AsJson

SCORES = ("log_me", "h_score", "knn")
"""Names of the scores; higher is better for each."""


@dataclass(frozen=True)
class RankedCandidate(AsJson):
    """One encoder, as it is or after one source, and how well its features fit the target's labels."""

    encoder: str
    source: str | None
    """Name of the data set; None for the pretrained encoder."""
    log_me: float | None = None
    """See `trainable.ranking.scores`, as the next two; None if there is an error."""
    h_score: float | None = None
    knn: float | None = None
    seconds: float = 0.0
    error: str | None = None
    """Why it has no scores."""

    @property
    def title(self) -> str:
        """Return the name of its source in texts."""
        return self.source or "no source"


@dataclass(frozen=True)
class Ranking(AsJson):
    """All candidates, best first."""

    target: str
    rows: int
    """Rows of the target whose features were scored."""
    classes: int
    """Classes that these rows have."""
    source_rows: int
    """Most training rows of a source that were used, for one epoch."""
    candidates: tuple[RankedCandidate, ...]

    def to_json(self) -> str:
        """Return the ranking as one line of JSON."""
        return _RANKING.dump_json(self).decode()

    @classmethod
    def from_values(cls, values: object) -> Ranking:
        """Read a ranking from the values in its JSON."""
        return _RANKING.validate_python(values)

    def place(self, source: str | None) -> int | None:
        """Return the place of the best candidate with a source, from 1; None if it has no scores."""
        places = [i for i, each in enumerate(self.candidates, 1) if each.source == source and each.error is None]
        return places[0] if places else None

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources by their best candidate, best first."""
        return tuple(dict.fromkeys(each.source for each in self.candidates if each.source and each.error is None))


def best_first(candidates: Sequence[RankedCandidate]) -> tuple[RankedCandidate, ...]:
    """Return candidates by the mean of their places in the orders of the scores; those without scores come last.

    Of two equal means, the higher LogME comes first.
    """
    scored = [each for each in candidates if each.error is None]

    def place(of: RankedCandidate) -> tuple[float, float]:
        above = [sum(getattr(each, name) > getattr(of, name) for each in scored) for name in SCORES]
        return sum(above), -(of.log_me or 0.0)

    return (*sorted(scored, key=place), *(each for each in candidates if each.error is not None))


_RANKING = TypeAdapter(Ranking)
