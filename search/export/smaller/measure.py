"""Score, size and times of an exported folder on the validation rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.export.classifier import Classifier
from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf, folder_format
from search.wording import format_score
from trainable.data.examples import Examples
from trainable.inputs.prepare import TokenizedSplit, tokenized_dataset_of
from trainable.inputs.span_inputs import stage_inputs
from trainable.inputs.split import Inputs, Split
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Target
from trainable.tasks.registry import TASKS, read_splits
from trainable.tasks.task import Task
from trainable.workspace import Workspace

BATCHES = (1, 32)
"""Rows of a call whose time is measured."""
_CALLS = 64
"""Most calls of each size that are timed."""
_SAMPLE = 512
"""Most rows that decide what is removed."""


@dataclass(frozen=True)
class ValidationRows:
    """The rows on which a change is measured."""

    task: Task
    metric: str
    examples: Examples
    """As the data files have them."""
    tokenized: TokenizedSplit
    """As a model takes them."""
    stage: Target

    def __str__(self) -> str:
        """Return how many they are, and whether the model was trained on them, too."""
        seen = ", on which it was also trained" if self.stage.fold is None else ""
        return f"{len(self.examples)} validation rows{seen}"

    @classmethod
    def of(cls, config: TrialConfig, workspace: Workspace, metric: str) -> ValidationRows:
        """Read the validation rows of a trial.

        Raises:
            ConfigError: if its data cannot be read any more.
        """
        dataset = config.dataset_of(config.target)
        examples = read_splits(dataset, workspace.roots).validation
        tokenized = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
        return cls(TASKS[dataset.task], metric, examples, tokenized, config.target)

    def sample(self) -> Split:
        """Return some of them, which decide what matters least."""
        chosen = np.linspace(0, len(self.examples) - 1, min(_SAMPLE, len(self.examples))).round().astype(np.int64)
        return stage_inputs(self.tokenized, self.stage, chosen)


@dataclass(frozen=True)
class Measured:
    """An exported folder on the validation rows."""

    score: float
    """The metric on all of them."""
    bytes: int
    """Size of the folder."""
    milliseconds: dict[int, tuple[float, float]]
    """Median and 95th percentile of a call, by the number of its rows; tokenisation is not included."""

    def __str__(self) -> str:
        """Return score, size and times for a person."""
        times = ", ".join(f"{rows} rows {p50:.1f} / {p95:.1f} ms" for rows, (p50, p95) in self.milliseconds.items())
        return f"{format_score(self.score)}, {self.bytes / 1e6:.1f} MB, {times}".replace("1 rows", "1 row")


def measure(folder: Path, facts: FolderFacts, rows: ValidationRows) -> Measured:
    """Measure a folder as `predict` uses it.

    Args:
        folder: the exported folder.
        facts: what its trial.json will say.
        rows: the validation rows.
    """
    outputs = Classifier.load(folder, facts).outputs(rows.examples)
    score = rows.task.scores(outputs, rows.examples.labels, facts.label_names)[rows.metric]
    logits_of, times = folder_format(facts.format).load(folder, facts), dict[int, tuple[float, float]]()
    for size in BATCHES:
        starts = range(0, len(rows.examples), size)[:_CALLS]
        parts = [np.arange(start, min(start + size, len(rows.examples))) for start in starts]
        times[size] = _call_times(logits_of, [stage_inputs(rows.tokenized, rows.stage, part).inputs for part in parts])
    return Measured(score, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), times)


def _call_times(logits_of: LogitsOf, calls: Sequence[Inputs]) -> tuple[float, float]:
    """Return median and 95th percentile of the calls' times, in milliseconds."""
    logits_of(calls[0])  # the first call allocates memory
    times = []
    for inputs in calls:
        begin = time.perf_counter()
        logits_of(inputs)
        times.append(1000 * (time.perf_counter() - begin))
    median, slow = np.percentile(times, (50, 95)).tolist()
    return median, slow
