"""Baselines for tags of words: the most frequent tag of each word, and a regression on the features of its token."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainable.baselines.regression import MOST_ITERATIONS, FoldPlan, Regression, log_probabilities
from trainable.baselines.text_models import LabelledTexts
from trainable.data.checks.texts import SEPARATOR
from trainable.inputs.folds import Fold
from trainable.tasks.linear_head import fit_regression

MOST_WORDS = 20_000
"""Most training words of the regression, so that it takes less than a minute."""


def score_word_tags(rows: LabelledTexts, plan: FoldPlan) -> list[dict[str, float]]:
    """Return the scores in each fold of giving each word its most frequent tag, or the most frequent one of all."""
    words = [text.split(SEPARATOR) for text in rows.texts]
    return [_score_fold(words, rows, fold) for fold in plan.folds]


def _score_fold(words: list[list[str]], rows: LabelledTexts, fold: Fold) -> dict[str, float]:
    counts: dict[str, NDArray[np.int64]] = {}
    total = np.zeros(len(rows.names), dtype=np.int64)
    for row in fold.train:
        for word, tag in zip(words[row], rows.labels[row], strict=False):  # labels go on after the last word
            if tag >= 0:
                counts.setdefault(word, np.zeros_like(total))[tag] += 1
                total[tag] += 1
    labels = rows.labels[fold.held_out]
    shares = np.tile(np.log1p(total / total.sum()), (*labels.shape, 1))
    for number, row in enumerate(fold.held_out):
        for place, word in enumerate(words[row]):
            if word in counts:
                shares[number, place] = np.log((counts[word] + 1e-3) / (counts[word].sum() + 1e-3 * len(total)))
    return rows.task.scores(torch.from_numpy(shares).float(), labels, rows.names)


@dataclass(frozen=True, kw_only=True)
class WordRegression(Regression):
    """The data of a logistic regression on words; labels have the shape (N, W)."""

    places: NDArray[np.int64]
    """Row and number in its row of each word that has features, shape (K, 2), by rows; `features` has K rows."""

    def score(self, strength: float, fold: Fold, metric: str) -> dict[str, float]:
        """Return the scores of a fold; words without features have zeros, as in `trainable.compute.forward`."""
        model, held_out = self.fit(strength, fold.train), self._words_of(fold.held_out)
        outputs = torch.zeros(*self.labels.shape, len(self.names))
        given = log_probabilities(model.predict_proba(self.features[held_out]), model.classes_, self.names)
        outputs[tuple(self.places[held_out].T)] = given
        return self.task.scores(outputs[fold.held_out], self.labels[fold.held_out], self.names)

    def fit(self, strength: float, rows: NDArray[np.int64]) -> Any:
        """Return the regression that is trained on the words of some rows, at most `MOST_WORDS` of them."""
        words = self._words_of(rows)
        if len(words) > MOST_WORDS:
            words = np.sort(np.random.default_rng(0).choice(words, MOST_WORDS, replace=False))
        labels = self.labels[tuple(self.places[words].T)].astype(np.int64)
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
        return fit_regression(model, self.features[words], labels, self.names)

    def _words_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.places[:, 0], rows))
