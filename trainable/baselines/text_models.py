"""Baselines that read words: a constant answer, and TF-IDF with a linear model, as scikit-learn pipelines.

They are stored with `skops`, which reads no pickle and builds no type that scikit-learn does not have.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

from trainable.baselines.regression import FoldPlan, Regression, outputs_of, put_cut_in
from trainable.baselines.results import TEXT_MODEL_FILE, mean_metrics
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.metrics.metric import ONE_CLASS_A_ROW
from trainable.settings.stage import AUTO_THRESHOLD, Threshold
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.task import Task

STRENGTHS = (1.0, 10.0, 100.0)
"""Values of C to try for a classification; a higher one regularises less."""
OTHER_STRENGTHS = (0.1, *STRENGTHS)
"""Values of C to try for other tasks; a ridge regression has 1 / C."""
MOST_WEIGHTS = 1_000_000
"""Most weights of the regression over words: words and pairs of words, times classes."""
MOST_WORDS = 50_000
# Languages that are written without spaces get one token for each character.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


@dataclass(frozen=True)
class LabelledTexts:
    """Rows as a model over words reads them."""

    texts: list[str]
    """One text for each row; the texts of a pair are joined by a space."""
    labels: NDArray[Any]
    """What the task's reader gives, such as the index into `names` of each row's class, shape (N, ...)."""
    names: tuple[str, ...]
    """All outputs of the task, such as the classes."""
    task: Task = CLASSIFICATION

    @classmethod
    def of(cls, examples: Examples, names: tuple[str, ...], task: Task = CLASSIFICATION) -> "LabelledTexts":
        """Return the rows of examples."""
        texts = [text if other is None else f"{text} {other}" for text, other in examples.text_pairs()]
        return cls(texts, examples.labels, names, task)

    def label_names(self) -> NDArray[np.str_]:
        """Return the name of each row's class, shape (N,)."""
        names: NDArray[np.str_] = np.array(self.names)[self.labels]
        return names


def train_constant(
    rows: LabelledTexts, plan: FoldPlan, metric: str, threshold: Threshold = AUTO_THRESHOLD
) -> tuple[Any, list[dict[str, float]]]:
    """Return a model that gives each text the same answer, and its score in each fold.

    The answer is the shares of the classes, the mean of the numbers, or the log-odds of each label.
    """
    if rows.task.name in ONE_CLASS_A_ROW:
        return _train_majority(rows, plan)
    nothing = np.zeros((len(rows.texts), 1))
    found = Regression(rows.task, nothing, rows.labels, rows.names, plan, threshold)
    model, scores = found.best((1.0,), metric)
    put_cut_in(model, mean_metrics(scores).get("cut", 0.0), rows.names)
    constant = np.reshape(model.intercept_, (1, -1))
    return DummyRegressor(strategy="constant", constant=constant[0]).fit([""], constant), scores


def _train_majority(rows: LabelledTexts, plan: FoldPlan) -> tuple[DummyClassifier, list[dict[str, float]]]:
    def fit(chosen: NDArray[np.int64]) -> DummyClassifier:
        return DummyClassifier(strategy="prior").fit(chosen, rows.label_names()[chosen])

    scores = [
        rows.task.scores(outputs_of(fit(fold.train), fold.held_out, rows.names), rows.labels[fold.held_out], rows.names)
        for fold in plan.folds
    ]
    return fit(plan.final), scores


def train_tfidf(
    rows: LabelledTexts, plan: FoldPlan, metric: str, threshold: Threshold = AUTO_THRESHOLD
) -> tuple[Pipeline, list[dict[str, float]]]:
    """Return TF-IDF of words and pairs of words with a linear model, and its score in each fold.

    Its regularisation is the best of some on held-out rows by the metric. The words are those of the final rows.

    Raises:
        ValueError: if no text has a word, or all texts have the same class.
    """
    words = min(MOST_WORDS, MOST_WEIGHTS // len(rows.names))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD.pattern, max_features=words)
    features = vectorizer.fit([rows.texts[row] for row in plan.final]).transform(rows.texts)
    strengths = STRENGTHS if rows.task.name in ONE_CLASS_A_ROW else OTHER_STRENGTHS
    model, scores = Regression(rows.task, features, rows.labels, rows.names, plan, threshold).best(strengths, metric)
    put_cut_in(model, mean_metrics(scores).get("cut", 0.0), rows.names)
    return Pipeline([("tfidf", vectorizer), ("regression", model)]), scores


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
