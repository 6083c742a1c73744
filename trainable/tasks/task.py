"""What the rest of the program asks of a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.label_reader import LabelReader
from trainable.metrics.classification import ClassScores
from trainable.settings.stage import AUTO_THRESHOLD, Stage, Threshold
from trainable.tasks.linear_head import HeadFit, LinearHead

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
Reads = Literal["text", "choices", "image", "every_token", "masked_tokens", "masked_pairs", "spans", "decoder"]
"""What a head reads. `text`: one vector for each row, as the setting `pooling` says, logits (B, C); `choices`: one such
vector for each choice of a row, as a pair with its question, logits (B, K, C); `image`: one vector of an image, with
the architecture's own head, logits (B, C); `every_token`: each token, with a linear layer, logits (B, T, C);
`masked_tokens`: hidden tokens, with the encoder's masked-language-model head, which is pretrained where its folder has
it; the logits are the sums of `trainable/model/masked_tokens.py`; `masked_pairs`: the same, and the first token of a
pair of sentences, with a new linear layer; `spans`: each token of a context, with the encoder's
question-answering head; the logits are the numbers of `trainable/model/spans.py`; `decoder`: the states of a decoder,
which generates a text, with the pretrained head of the model; the logits are the numbers of
`trainable/inputs/targets.py`."""


@dataclass(frozen=True)
class Head:
    """The head that a data set needs; the head of a source is kept for a target with an equal one."""

    task: str
    names: tuple[str, ...]
    """Names of the outputs, in their order: of a classification the labels."""
    problem_type: ProblemType | None = None
    """What transformers calls such a head in config.json."""
    reads: Reads = "text"


@dataclass(frozen=True)
class OutputScale:
    """What the model's outputs are during training: labels minus their mean, in units of their spread.

    Outputs near 0 and 1 need no other learning rate than a classifier's. At the end the scale becomes a part of the
    output layer, so that the model gives the labels' own units (`trainable/loop/output_scale.py`).
    """

    mean: float = 0.0
    spread: float = 1.0


NO_SCALE = OutputScale()


@dataclass(frozen=True)
class LabelSummary:
    """What the labels of a split are, for `transfersweep inspect`."""

    rows: dict[str, int]
    """Number of rows by label name; empty for numbers."""
    numbers: dict[str, float]
    """Lowest and highest number and the quartiles between them; empty for labels with names."""


class Loss(Protocol):
    """The training loss of a stage."""

    def weights(self, labels: torch.Tensor) -> torch.Tensor:
        """Return what each row counts in the mean of a batch, shape (B,), on the CPU."""

    def sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the rows' losses, each times its weight, a scalar."""


class Task(Protocol):
    """A task. Logits have the shape (N, C) or what its head gives; labels are those of its `LabelReader`."""

    @property
    def name(self) -> str:
        """Return its name in the settings."""

    @property
    def most_scored_rows(self) -> int | None:
        """Return the most validation rows of an evaluation, unless the stage sets `validation_rows`; None: all."""

    @property
    def reader(self) -> LabelReader:
        """Return what reads and checks its labels."""

    def head(self, names: tuple[str, ...]) -> Head:
        """Return the head for a data set with these label names."""

    def output_scale(self, labels: NDArray[Any]) -> OutputScale:
        """Return the scale of the outputs of a model that trains on rows with these labels."""

    def threshold_problem(self, threshold: Threshold, metric: str, names: Sequence[str]) -> str:
        """Return why a model of this task cannot have the setting `threshold`; empty if it can."""

    def cut(self, logits: torch.Tensor, labels: NDArray[Any], metric: str, threshold: Threshold) -> float:
        """Return the log-odds from which on a label is given, as the setting says; 0 where nothing is decided.

        A number needs no rows. Otherwise validation rows choose it. At the end it becomes a part of the output layer,
        so that a probability of 0.5 decides in every tool.
        """

    def subtracted(self, cut: float) -> torch.Tensor:
        """Return what a cut subtracts from the outputs of a model, of the shape () or (C,)."""

    def strata(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return a number of 0 or more for each label, shape (N,), whose shares a part of the rows keeps."""

    def summary(self, labels: NDArray[Any], names: Sequence[str]) -> LabelSummary:
        """Return what a person should know of at least one label."""

    def linear_head(
        self, features: NDArray[np.float64], labels: NDArray[Any], outputs: int, fit: HeadFit
    ) -> LinearHead | None:
        """Return a regression of the labels on features (N, H) as a head; None if these labels allow none."""

    def loss(self, labels: NDArray[Any], head: Head, stage: Stage, device: torch.device) -> Loss:
        """Return the loss of a stage that trains on rows with these labels."""

    def scores(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]) -> dict[str, float]:
        """Return every metric of the task, also the plain mean loss, without weights and smoothing."""

    def interval(
        self, logits: torch.Tensor, labels: NDArray[Any], metric: str, names: Sequence[str]
    ) -> tuple[float, float]:
        """Return the 95 % interval of a metric over resampled rows."""

    def difference_interval(
        self, first: torch.Tensor, second: torch.Tensor, labels: NDArray[Any], metric: str, names: Sequence[str]
    ) -> tuple[float, float]:
        """Return the 95 % interval of a metric's first value minus its second one, over the same resampled rows."""

    def per_class(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]) -> list[ClassScores]:
        """Return the scores of each class; empty for a task without classes."""

    def row_losses(
        self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]
    ) -> NDArray[np.float64] | None:
        """Return how wrong the answer to each row is, shape (N,), higher is worse; None if rows have no such number."""

    def chances(self, logits: torch.Tensor) -> NDArray[np.float64] | None:
        """Return the probability of each class, shape (N, C), if each row has exactly one class, else None."""


class TaskDefaults:
    """What most tasks answer: outputs in the labels' own units, nothing cut off them, no first head, no classes."""

    most_scored_rows: int | None = None

    def output_scale(self, labels: NDArray[Any]) -> OutputScale:
        return NO_SCALE

    def threshold_problem(self, threshold: Threshold, metric: str, names: Sequence[str]) -> str:
        return "" if threshold == AUTO_THRESHOLD else "there is nothing to decide in this task; leave it out"

    def cut(self, logits: torch.Tensor, labels: NDArray[Any], metric: str, threshold: Threshold) -> float:
        return 0.0

    def subtracted(self, cut: float) -> torch.Tensor:
        return torch.tensor(cut)

    def linear_head(
        self, features: NDArray[np.float64], labels: NDArray[Any], outputs: int, fit: HeadFit
    ) -> LinearHead | None:
        return None

    def per_class(self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]) -> list[ClassScores]:
        return []

    def row_losses(
        self, logits: torch.Tensor, labels: NDArray[Any], names: Sequence[str]
    ) -> NDArray[np.float64] | None:
        return None

    def chances(self, logits: torch.Tensor) -> NDArray[np.float64] | None:
        return None
