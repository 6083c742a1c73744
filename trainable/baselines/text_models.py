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

from trainable.baselines.regression import Regression, log_probabilities
from trainable.baselines.results import TEXT_MODEL_FILE
from trainable.data.examples import Examples
from trainable.errors import ConfigError

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
    """The rows of a split as a model over words reads them."""

    texts: list[str]
    """One text for each row; the texts of a pair are joined by a space."""
    labels: NDArray[np.int64]
    """Index into `names` of each row's class, shape (N,)."""
    names: tuple[str, ...]
    """All classes of the data set."""

    @classmethod
    def of(cls, examples: Examples, names: tuple[str, ...]) -> "LabelledTexts":
        """Return the rows of a split."""
        texts = [text if other is None else f"{text} {other}" for text, other in examples.text_pairs()]
        return cls(texts, examples.labels, names)

    def label_names(self) -> NDArray[np.str_]:
        """Return the name of each row's class, shape (N,)."""
        return np.array(self.names)[self.labels]


def train_majority(train: LabelledTexts) -> DummyClassifier:
    """Return a model that gives each text the shares of the classes in the training rows."""
    return DummyClassifier(strategy="prior").fit(train.texts, train.label_names())


def train_tfidf(train: LabelledTexts, validation: LabelledTexts, metric: str) -> Pipeline:
    """Return TF-IDF of words and pairs of words with logistic regression.

    C is the best of `STRENGTHS` on the validation split by the metric.

    Raises:
        ValueError: if no text has a word, or all texts have the same class.
    """
    names = train.names
    words = min(MOST_WORDS, MOST_WEIGHTS // len(names))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_TOKEN, max_features=words)
    features, held_out = vectorizer.fit_transform(train.texts), vectorizer.transform(validation.texts)
    regression = Regression(features, train.label_names(), held_out, validation.labels, names)
    return Pipeline([("tfidf", vectorizer), ("regression", regression.best(STRENGTHS, metric))])


def text_logits(model: Any, texts: Sequence[str], names: tuple[str, ...]) -> torch.Tensor:
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
