"""Scores of a sweep as plain values: over seeds, on the test split, with and without a source, beside baselines."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from trainable.metrics.classification import ClassScores


class AsJson:
    """A value that is stored as JSON."""

    # JSON has no NaN and infinity. They are written as strings, which pydantic reads back as numbers.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")


@dataclass(frozen=True)
class Score(AsJson):
    """A validation score over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation; None for one seed."""
    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float]) -> Score:
        """Return mean and standard deviation of at least one value, one for each seed."""
        values = tuple(values)
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, values)


@dataclass(frozen=True)
class TestScore(AsJson):
    """Score of the winner on the test split, which is read only once."""

    __test__: ClassVar[bool] = False  # else pytest takes this class for tests because of its name

    metrics: dict[str, float]
    """Value by the metric's name; includes the sweep's metric."""
    low: float
    high: float
    """95 % bootstrap interval of the sweep's metric."""
    rows: int
    per_class: list[ClassScores]
    never_predicted: tuple[str, ...] = ()
    """Labels of the split that the model predicts for no row."""


@dataclass(frozen=True)
class PassedOver(AsJson):
    """The trial with the best validation score, if another one won because it is cheaper to use."""

    number: int
    difference: float
    """By how much its mean score is better, 0 or more, in the metric's unit."""
    sentence: str
    """Why it did not win."""


@dataclass(frozen=True)
class Comparison(AsJson):
    """Whether the source stage helped, on the target's validation split."""

    source: str
    with_source: Score
    without_source: Score
    difference: float
    """Mean with the source minus mean without, also if lower values are better."""
    low: float | None
    high: float | None
    """95 % interval from `low` to `high` of the difference; None if the seeds are too few or all equal."""
    sentence: str
    """The result of the comparison in words."""


@dataclass(frozen=True)
class Baseline(AsJson):
    """One of the obvious answers, which a search must beat."""

    name: str
    """`source`, or one of `trainable.baselines.results.NAMES`."""
    metrics: dict[str, float]
    """Scores on the target's validation split, by the metric's name."""
    value: float
    """The sweep's metric among them."""
    seconds: float = 0.0
    """Time that it took; 0 for `source`, which is a part of a trial."""
    rows: int = 0
    """Training rows that were used."""
    checkpoint: str | None = None
    """Path of its model relative to the sweep's folder; None for one that cannot win, such as `source`."""

    @property
    def title(self) -> str:
        """Return its name in texts."""
        return BASELINE_TITLES[self.name]


BASELINE_TITLES = {
    "majority": "majority class",
    "tfidf": "TF-IDF + logistic regression",
    "features": "features + logistic regression",
    "mean": "mean of the training rows",
    "tfidf_ridge": "TF-IDF + ridge regression",
    "features_ridge": "features + ridge regression",
    "label_shares": "most frequent labels",
    "tfidf_labels": "TF-IDF + logistic regression of each label",
    "features_labels": "features + logistic regression of each label",
    "word_tags": "most frequent tag of each word, only shown",
    "token_features": "token features + logistic regression",
    "frequent_place": "most frequent place of the right choice, only shown",
    "similar_choice": "choice most similar to the question, only shown",
    "no_answer": "no answer to any question, only shown",
    "similar_sentence": "sentence most similar to the question, only shown",
    "same_text": "the text as it is, only shown",
    "first_words": "first words of the text, only shown",
    "source": "the source's model as it stands",
}
"""Names in texts, the simplest baseline first."""


@dataclass(frozen=True)
class Gain(AsJson):
    """What the search added to the best baseline."""

    baseline: str
    """Name of the best baseline."""
    difference: float
    """The search's best value minus that of the baseline, also if lower values are better."""
    split: Literal["validation", "test"]
    low: float | None
    high: float | None
    """95 % interval from `low` to `high` of the difference, over rows of the split; None if there is none."""
    sentence: str
    """The result in words."""
