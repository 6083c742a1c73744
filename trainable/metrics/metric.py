"""The metrics of each task: their names, and whether high or low values are better."""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np


class Direction(StrEnum):
    """The direction in which values of a metric are better."""

    MAX = "max"
    MIN = "min"

    def cost(self, value: float) -> float:
        """Return the value, negated if higher is better: a lower cost is always better."""
        return -value if self is Direction.MAX else value


def _task(default: str, *others: str, low: tuple[str, ...] = ()) -> Mapping[str, Direction]:
    """Return the metrics of a task, the default one first; every task has a loss."""
    return dict.fromkeys((default, *others), Direction.MAX) | dict.fromkeys((*low, "loss"), Direction.MIN)


_OF_CLASSES = _task(
    *("macro_f1", "accuracy", "weighted_f1", "macro_precision", "macro_recall", "balanced_accuracy", "mcc"),
    *("auroc", "average_precision", "f1", "f2", "f05"),
    low=("brier", "calibration_error"),
)
TASK_METRICS: Mapping[str, Mapping[str, Direction]] = {
    "classification": _OF_CLASSES,
    "image_classification": _OF_CLASSES,
    "tagging": _task("entity_f1", "entity_precision", "entity_recall", "accuracy", "macro_f1"),
    "regression": _task("pearson", "spearman", "r2", low=("rmse", "mae")),
    "masked_language": _task("loss", "masked_accuracy", low=("perplexity",)),
    "multiple_choice": _task("accuracy"),
    "question_answering": _task("answer_f1", "exact_match"),
    "sequence_to_sequence": _task("chrf", "bleu", "rouge1", "rouge2", "rougeL"),
    "multi_label": _task("micro_f1", "mean_label_f1", "subset_accuracy", "map"),
}
"""The metrics that can select a model, by task. The first one of a task is its default."""
METRICS: Mapping[str, Direction] = {name: way for metrics in TASK_METRICS.values() for name, way in metrics.items()}
"""Every metric of any task."""
HUB_NAMES: Mapping[str, str] = {
    **{name: name for name in METRICS},
    **dict.fromkeys(("answer_f1", "macro_f1", "weighted_f1", "micro_f1", "mean_label_f1"), "f1"),
    **dict.fromkeys(("f2", "f05"), "f_beta"),
    **{f"macro_{name}": name for name in ("precision", "recall")},
    **{"mcc": "matthews_correlation", "auroc": "roc_auc", "brier": "brier_score"},
    **{"calibration_error": "expected_calibration_error"},
    **{"pearson": "pearsonr", "spearman": "spearmanr", "r2": "r_squared"},
    **{"bleu": "sacrebleu", "rouge1": "rouge", "rouge2": "rouge", "rougeL": "rouge"},
}
"""The names of the metrics on the Hugging Face hub, which has one name for every kind of F1."""
ONE_CLASS_A_ROW = frozenset({"classification", "image_classification"})
"""Tasks in which each row has one class, which class weights and rows of each class need."""
TAG_A_WORD = frozenset({"tagging"})
"""Tasks in which each word has an answer, which windows over long texts need."""
SOURCE_ONLY = frozenset({"masked_language"})
"""Tasks that prepare an encoder for another task, and have no use of their own as the target."""
OF_IMAGES = frozenset({"image_classification"})
"""Tasks whose rows are images instead of texts."""
LABELS_A_ROW = frozenset({"multi_label"})
"""Tasks in which each row has any number of labels, which `label_separator` and `label_columns` are for."""
CHOICES_A_ROW = frozenset({"multiple_choice"})
"""Tasks in which each row has several choices, which the setting `choices` names."""
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "multiple_choice": {"text": "question"},
    "question_answering": {"text": "question", "text_b": "context", "label": "answers"},
}
"""The columns of a task where the settings name none, and the table has no column of the usual name."""
GENERATES = frozenset({"sequence_to_sequence"})
"""Tasks whose answers are texts that a model with a decoder generates."""
AUTO = "auto"
"""The value of `metric` that stands for the default of the target's task."""


def metric_of(task: str, setting: str) -> str:
    """Return the metric of a stage: the one that the settings name if its task has it, else the task's default."""
    metrics = TASK_METRICS[task]
    return setting if setting in metrics else next(iter(metrics))


def is_better(value: float, best: float | None, metric: str) -> bool:
    """Return whether a value is better than the best so far; NaN never is."""
    if best is None:
        return not np.isnan(value)
    direction = METRICS[metric]
    return direction.cost(value) < direction.cost(best)
