"""The result of a baseline, and the folder in which the results of a sweep are stored. This module loads no torch."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from trainable.settings.config import TrialConfig, build_config
from trainable.store.files import write_file

WEIGHTS_FILE = "model.safetensors"
"""File of a model with an encoder, in a checkpoint."""
TEXT_MODEL_FILE = "model.skops"
"""File of a model over words; a checkpoint with this file has no encoder."""
NAMES_BY_TASK = {
    "classification": ("majority", "tfidf", "features"),
    "image_classification": ("majority", "features"),
    "regression": ("mean", "tfidf_ridge", "features_ridge"),
    "multi_label": ("label_shares", "tfidf_labels", "features_labels"),
    "tagging": ("word_tags", "token_features"),
    "multiple_choice": ("frequent_place", "similar_choice"),
    "question_answering": ("no_answer", "similar_sentence"),
    "sequence_to_sequence": ("same_text", "first_words"),
}
"""The baselines of each task, the simplest first; a task without an entry has none."""
NAMES = tuple(dict.fromkeys(name for names in NAMES_BY_TASK.values() for name in names))
"""All baselines that are trained."""
NEVER_WIN = frozenset({"word_tags"}).union(
    *(NAMES_BY_TASK[task] for task in ("multiple_choice", "question_answering", "sequence_to_sequence"))
)
"""Baselines that are shown and never chosen, as no export can hold them; they have no model in their folder."""
NEEDS_ENCODER = frozenset({"features", "features_ridge", "features_labels", "token_features"})
"""Baselines with the features of an encoder; the others are small models over words."""
MOST_BEGINS = 2
"""A baseline whose process ended this often is not tried again; memory may have run out."""
INTERRUPTED = "its process ended before it was done; memory may have run out"


@dataclass(frozen=True)
class BaselineResult:
    """The result of one baseline."""

    name: str
    """One of `NAMES`."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Scores on held-out rows of the target, by the metric's name: the means over folds; empty until it is done."""
    folds: tuple[dict[str, float], ...] = ()
    """The scores of each fold, see `trainable.inputs.folds`; the first one is the target's own validation split."""
    seconds: float = 0.0
    rows: int = 0
    """Training rows that were used."""
    notes: tuple[str, ...] = ()
    """Facts that the user should know, one sentence each."""
    error: str | None = None
    """Why there is no model."""
    begun: int = 0
    """How often a process has begun to train it."""

    @property
    def done(self) -> bool:
        """Return whether nothing is left to compute: there is a model, or there can be none."""
        return bool(self.metrics) or self.error is not None


@dataclass(frozen=True)
class BaselineFolder:
    """The folder of a sweep's baselines: a result file and a checkpoint for each."""

    path: Path

    def checkpoint(self, name: str) -> Path:
        """Return the folder of a baseline's model; it exists once the baseline has scores."""
        return self.path / name

    def read(self) -> list[BaselineResult]:
        """Return the results so far, also of baselines that were begun and are not done."""
        files = [self._file(name) for name in NAMES]
        return [_RESULT.validate_json(file.read_bytes()) for file in files if file.is_file()]

    def missing(self, task: str) -> list[str]:
        """Return the baselines of a target's task that are still to be computed."""
        done = {result.name for result in self.read() if result.done}
        return [name for name in NAMES_BY_TASK.get(task, ()) if name not in done]

    def write(self, result: BaselineResult) -> None:
        """Store a result, in place of an earlier one of the same name."""
        text = json.dumps(_RESULT.dump_python(result, mode="json"), indent=1)
        write_file(self._file(result.name), lambda into: into.write_text(text, encoding="utf-8"))

    def begin(self, name: str) -> BaselineResult | None:
        """Store that a baseline is begun and return it; None if its process has ended too often."""
        begun = next((result.begun for result in self.read() if result.name == name), 0)
        result = BaselineResult(name, begun=begun + 1)
        if begun >= MOST_BEGINS:
            self.write(BaselineResult(name, error=INTERRUPTED, begun=begun))
            return None
        self.write(result)
        return result

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json"


def mean_metrics(folds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over folds; a fold without a cut has 0."""
    names = dict.fromkeys(name for fold in folds for name in fold)
    return {name: statistics.fmean(fold.get(name, 0.0) for fold in folds) for name in names}


def config_of(checkpoint: Path) -> TrialConfig:
    """Return the settings that are stored in a checkpoint."""
    config = json.loads((checkpoint / "trial.json").read_text(encoding="utf-8"))["config"]
    return build_config({"pooling": "first", **config})  # as `load_trained` reads older checkpoints


def label_names_of(checkpoint: Path) -> tuple[str, ...]:
    """Return the label names that are stored in a checkpoint, in the order of the classes."""
    return tuple(json.loads((checkpoint / "trial.json").read_text(encoding="utf-8"))["label_names"])


_RESULT = TypeAdapter(BaselineResult)
