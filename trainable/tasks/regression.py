"""Regression: one number for each text or pair of texts, such as the similarity of two sentences (STS)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.check_results import CheckResults
from trainable.data.examples import LocatedExamples
from trainable.data.label_reader import EMPTY, Labels, ReaderDefaults
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.metrics.bootstrap import mean_interval, rows_interval
from trainable.metrics.regression import SCORES, scores
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.tasks.linear_head import HeadFit, LinearHead
from trainable.tasks.task import Head, LabelSummary, OutputScale, TaskDefaults

_BINS = 10
"""Ranges of values of about equal size, of which every split gets its share."""
_QUARTILES = ("lowest", "lower quartile", "median", "upper quartile", "highest")


class Regression(TaskDefaults):
    """The task; see `trainable.tasks.task.Task` for its methods."""

    name = "regression"

    @property
    def reader(self) -> NumberReader:
        return NumberReader()

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, "regression")

    def output_scale(self, labels: NDArray[np.float32]) -> OutputScale:
        spread = float(labels.std())
        return OutputScale(float(labels.mean()), spread if spread > 0 else 1.0)

    def strata(self, labels: NDArray[np.float32]) -> NDArray[np.int64]:
        return _bins(labels, _edges(labels))

    def summary(self, labels: NDArray[np.float32], names: Sequence[str]) -> LabelSummary:
        values = np.quantile(labels.astype(np.float64), np.linspace(0, 1, len(_QUARTILES))).tolist()
        return LabelSummary({}, dict(zip(_QUARTILES, values, strict=True)))

    def linear_head(
        self, features: NDArray[np.float64], labels: NDArray[np.float32], outputs: int, fit: HeadFit
    ) -> LinearHead | None:
        from sklearn.linear_model import Ridge  # see `linear_head.py`

        scale = self.output_scale(labels)
        model = Ridge(alpha=1 / fit.strength, fit_intercept=fit.bias)
        model.fit(features, (labels.astype(np.float64) - scale.mean) / scale.spread)
        return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)

    def loss(self, labels: NDArray[np.float32], head: Head, stage: Stage, device: torch.device) -> SquaredError:
        return SquaredError(self.output_scale(labels))

    def scores(self, logits: torch.Tensor, labels: NDArray[np.float32], names: Sequence[str] = ()) -> dict[str, float]:
        predicted, true = _numbers(logits, labels)
        return {"loss": float(((predicted - true) ** 2).mean())} | {
            name: float(value) for name, value in scores(predicted, true).items()
        }

    def interval(
        self, logits: torch.Tensor, labels: NDArray[np.float32], metric: str, names: Sequence[str] = ()
    ) -> tuple[float, float]:
        predicted, true = _numbers(logits, labels)
        if metric == "loss":
            return mean_interval((predicted - true) ** 2)
        return rows_interval(len(true), lambda rows: SCORES[metric](predicted[rows], true[rows]))

    def difference_interval(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        labels: NDArray[np.float32],
        metric: str,
        names: Sequence[str] = (),
    ) -> tuple[float, float]:
        (ours, true), (theirs, _) = _numbers(first, labels), _numbers(second, labels)
        if metric == "loss":
            return mean_interval((ours - true) ** 2 - (theirs - true) ** 2)
        score = SCORES[metric]
        return rows_interval(len(true), lambda rows: score(ours[rows], true[rows]) - score(theirs[rows], true[rows]))

    def row_losses(
        self, logits: torch.Tensor, labels: NDArray[np.float32], names: Sequence[str]
    ) -> NDArray[np.float64]:
        predicted, true = _numbers(logits, labels)
        return np.asarray(np.abs(predicted - true))


@dataclass(frozen=True)
class SquaredError:
    """Squared error of outputs in units of the labels' standard deviation."""

    scale: OutputScale

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(labels))

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return ((logits[:, 0] - (labels - self.scale.mean) / self.scale.spread) ** 2).sum()


class NumberReader(ReaderDefaults):
    """Reads a column of numbers; see `trainable.data.label_reader.LabelReader` for its methods."""

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        return (dataset.label,)

    def read(self, dataset: Dataset, raws: Mapping[str, RawTable], results: CheckResults) -> Labels:
        if dataset.labels is not None:
            results.problems.append("labels: names classes, and a regression has none; leave it out")
        values = {split: _values(dataset.label, raw, results) for split, raw in raws.items()}
        train = values["train"][np.isfinite(values["train"])]
        edges = _edges(train) if len(train) else np.zeros(0)
        strata = {split: _bins(numbers, edges) for split, numbers in values.items()}
        return Labels((dataset.label,), {s: v.astype(np.float32) for s, v in values.items()}, strata)

    def check_splits(
        self, dataset: Dataset, splits: Mapping[str, LocatedExamples], names: Sequence[str], results: CheckResults
    ) -> None:
        for split, part in splits.items():
            numbers = part.examples.labels
            if len(numbers) > 1 and numbers.min() == numbers.max() and not part.refused_classes:
                results.problems.append(
                    f"{part.raw.source}: all {len(numbers)} {split} rows have the number {numbers[0]:g}; "
                    "there is nothing to learn or to measure"
                )


def _values(column: str, raw: RawTable, results: CheckResults) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN where there is none; add a problem for each kind of wrong cell."""
    cells = raw.cells(column)
    values = np.array([_number(cell) for cell in cells], dtype=np.float64)
    blank = [_is_blank(cell) for cell in cells]
    missing = np.flatnonzero(blank).tolist()
    wrong = np.flatnonzero(~np.isfinite(values) & ~np.array(blank, dtype=bool)).tolist()
    if missing:
        results.problems.append(rows_with(raw, missing, f"no number in column {column!r}") + "; fill or remove them")
    if wrong:
        cell = cells[wrong[0]]
        comma = isinstance(cell, str) and math.isfinite(_number(cell.replace(",", ".")))
        advice = "write a point in place of the comma" if comma else "a regression needs finite numbers"
        what = rows_with(raw, wrong, f"no number in column {column!r}")
        results.problems.append(f"{what}: {shortened(str(cell))}; {advice}")
    return values


def _edges(values: NDArray[Any]) -> NDArray[Any]:
    """Return the borders between ranges with about equally many values."""
    return np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))


def _bins(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Return the range of each value, shape (N,); `EMPTY` for one that is no finite number."""
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), EMPTY).astype(np.int64)


def _is_blank(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def _number(cell: Any) -> float:
    """Return the number in a cell; NaN if there is none. A truth value is no number."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return math.nan
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.nan


def _numbers(logits: torch.Tensor, labels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return logits[:, 0].double().numpy(), labels.astype(np.float64)


REGRESSION = Regression()
