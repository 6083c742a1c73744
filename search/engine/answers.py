"""Keeps the winner's answers to the rows that it was scored on, for the report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search.engine.scoring import Predictions, WinnerScores
from search.record.row_answers import MOST_TEXTS, RowAnswer, RowAnswers, Shown
from search.storage.sweep_folder import SweepFolder
from trainable.answers.answer import Answers, without_missing
from trainable.answers.registry import answers_of
from trainable.baselines.results import config_of
from trainable.data.examples import Examples
from trainable.metrics.label_errors import likely_label_errors
from trainable.settings.config import TrialConfig
from trainable.tasks.registry import read_splits
from trainable.workspace import Workspace

_log = logging.getLogger(__name__)
_LONGEST = 600  # characters of a text that the report shows


def keep_answers(scores: WinnerScores, workspace: Workspace, folder: SweepFolder) -> None:
    """Write the winner's answers into the sweep's folder, or remove those of an earlier winner.

    Args:
        scores: of the winner, with its predictions if there are any.
        workspace: the folders of data and caches.
        folder: the sweep's folder.
    """
    folder.answers.unlink(missing_ok=True)
    if scores.predictions is None or scores.checkpoint is None:
        return
    try:
        answers = row_answers(scores.predictions, config_of(scores.checkpoint), workspace)
        if answers:
            answers.save(folder.answers)
    except Exception:  # only the report needs them, and the results of the search matter more
        _log.exception("the winner's answers were not kept")


def row_answers(predictions: Predictions, config: TrialConfig, workspace: Workspace) -> RowAnswers | None:
    """Return a model's answers to the rows of a split; None if the task has no score of a single row.

    Args:
        predictions: of the model.
        config: its settings, which say where the texts of the rows are.
        workspace: the folders of data and caches.
    """
    dataset = config.dataset_of(config.target)
    answers = answers_of(predictions.task.name, predictions.label_names, dataset.label_separator, dataset.choices)
    return answers_to_rows(
        predictions, answers, lambda: read_splits(dataset, workspace.roots).by_name()[predictions.split]
    )


def answers_to_rows(predictions: Predictions, answers: Answers, read_rows: Callable[[], Examples]) -> RowAnswers | None:
    """Return a model's answers to rows; None if the task has no score of a single row.

    Args:
        predictions: of the model.
        answers: what its outputs mean.
        read_rows: returns the rows; it is called only if they are needed.
    """
    task, logits, labels = predictions.task, predictions.logits, predictions.labels
    names, split = predictions.label_names, predictions.split
    losses = task.row_losses(logits, labels, names)
    if losses is None:
        return None
    examples = read_rows()
    shown = set(np.argsort(-losses, kind="stable")[:MOST_TEXTS].tolist())
    predicted, chances = _predicted(answers, logits, labels, examples), task.chances(logits)
    suspects = np.zeros(len(losses), dtype=bool) if chances is None else likely_label_errors(chances, labels)
    rows = tuple(
        RowAnswer(
            row,
            answers.true(labels[row]),
            predicted[row],
            float(losses[row]),
            None if chances is None else float(chances[row].max()),
            None if chances is None else float(chances[row, labels[row]]),
            bool(suspects[row]),
            _text(examples, row) if row in shown else None,
        )
        for row in range(len(losses))
    )
    return RowAnswers(split, () if chances is None else tuple(names), rows)


def _predicted(answers: Answers, logits: torch.Tensor, labels: NDArray[Any], examples: Examples) -> list[Shown | None]:
    """Return what the model says of each row; None for all where a trial keeps only scores of its answers."""
    if answers.outputs != "logits":
        return [None] * len(logits)
    columns = [examples.text, *([] if examples.text_b is None else [examples.text_b])]
    values = answers.read(without_missing(logits.float().numpy(), labels), columns).tolist()
    return [answers.cells(each)[0] for each in values]


def _text(examples: Examples, row: int) -> str:
    """Return the text or the texts of a row, or the name of its image, shortened."""
    if examples.images is not None:
        return examples.images[row].name
    parts = [examples.text[row], *([] if examples.text_b is None else [examples.text_b[row]])]
    whole = " | ".join(parts)
    return whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 1]}…"
