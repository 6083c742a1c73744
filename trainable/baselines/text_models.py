"""Baselines that read words: the majority class, and TF-IDF with logistic regression, as scikit-learn pipelines.

They are stored with `skops`, which reads no pickle and builds no type that scikit-learn does not have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

from trainable.baselines.regression import FoldPlan, Regression, log_probabilities, put_cut_in
from trainable.baselines.results import TEXT_MODEL_FILE, mean_metrics
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.settings.stage import AUTO_THRESHOLD, Threshold
from trainable.tasks.classification import CLASSIFICATION

STRENGTHS = (1.0, 10.0, 100.0)
"""Values of C to try; a higher one regularises less."""
MOST_WEIGHTS = 1_000_000
"""Most weights of the regression over words: words and pairs of words, times classes."""
MOST_WORDS = 50_000
# Languages that are written without spaces get one token for each character.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = rf"[{_ALONE}]|[^\W{_ALONE}]+"


@dataclass(frozen=True)
class LabelledTexts:
    """Rows as a model over words reads them."""

    texts: list[str]
    """One text for each row; the texts of a pair are joined by a space."""
    labels: NDArray[np.int64]
    """Index into `names` of each row's class, shape (N,)."""
    names: tuple[str, ...]
    """All classes of the data set."""

    @classmethod
    def of(cls, examples: Examples, names: tuple[str, ...]) -> "LabelledTexts":
        """Return the rows of examples."""
        texts = [text if other is None else f"{text} {other}" for text, other in examples.text_pairs()]
        return cls(texts, examples.labels, names)

    def label_names(self) -> NDArray[np.str_]:
        """Return the name of each row's class, shape (N,)."""
        return np.array(self.names)[self.labels]


def train_majority(rows: LabelledTexts, plan: FoldPlan) -> tuple[DummyClassifier, list[dict[str, float]]]:
    """Return a model that gives each text the shares of the classes, and its score in each fold."""

    def fit(chosen: NDArray[np.int64]) -> DummyClassifier:
        return DummyClassifier(strategy="prior").fit(chosen, rows.label_names()[chosen])

    scores = [
        CLASSIFICATION.scores(text_logits(fit(fold.train), fold.held_out, rows.names), rows.labels[fold.held_out])
        for fold in plan.folds
    ]
    return fit(plan.final), scores


def train_tfidf(
    rows: LabelledTexts, plan: FoldPlan, metric: str, threshold: Threshold = AUTO_THRESHOLD
) -> tuple[Pipeline, list[dict[str, float]]]:
    """Return TF-IDF of words and pairs of words with logistic regression, and its score in each fold.

    C is the best of `STRENGTHS` on held-out rows by the metric. The words are those of the final rows.

    Raises:
        ValueError: if no text has a word, or all texts have the same class.
    """
    words = min(MOST_WORDS, MOST_WEIGHTS // len(rows.names))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_TOKEN, max_features=words)
    features = vectorizer.fit([rows.texts[row] for row in plan.final]).transform(rows.texts)
    model, scores = Regression(features, rows.labels, rows.names, plan, threshold).best(STRENGTHS, metric)
    put_cut_in(model, mean_metrics(scores).get("cut", 0.0), rows.names)
    return Pipeline([("tfidf", vectorizer), ("regression", model)]), scores


def text_logits(model: Any, texts: Sequence[str] | NDArray[np.int64], names: tuple[str, ...]) -> torch.Tensor:
    """Return the logarithms of a model's probabilities, shape (N, C), in the order of the names."""
    return log_probabilities(model.predict_proba(texts), model.classes_, names)


def save_text_model(model: Any, folder: Path) -> None:
    """Write a pipeline into a folder."""
    skops.io.dump(model, folder / TEXT_MODEL_FILE)


def load_text_model(folder: Path) -> Any:
    """Read a pipeline from a folder; nothing in the file is executed.

    Raises:
        ConfigError: if the file is damaged, or holds a type that is not scikit-learn's or NumPy's.
    """
    try:
        return skops.io.load(folder / TEXT_MODEL_FILE)
    except Exception as error:  # `skops` lets errors of zip, JSON and NumPy through
        raise ConfigError(f"{folder / TEXT_MODEL_FILE}: cannot be read: {error!s:.200}") from None
