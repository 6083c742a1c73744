"""The source stage, trained once for each distinct setting and shared by every trial that needs it.

A finished stage lies under its content address. An unfinished one stands on its ladder
(`trainable/stages/epoch_checkpoints.py`), where whoever holds the ladder's lease next goes on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from trainable.inputs.prepare import Prepared
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint
from trainable.progress import Report, Setting
from trainable.settings.config import TrialConfig
from trainable.stages.epoch_checkpoints import Ladder, trunk_of
from trainable.store.checksums import digest_of_json, intact, write_sealed

FORMAT = 5
"""Raise when the meaning of a stored stage, or the mathematics of training, changes."""

DONE = "stage.json"
"""The file whose presence says that a stage is complete."""

_IRRELEVANT = {"enabled", "dataset"}


@dataclass(frozen=True)
class TrainedSource:
    """What a source stage leaves: its best weights and how good they were."""

    weights: dict[str, torch.Tensor]
    """By parameter name, only what was trained."""
    label_names: tuple[str, ...]
    metrics: dict[str, float]
    """Of its best evaluation, by dotted name."""
    key: str = ""
    """The content address of the stage, see `source_key`."""


def source_key(config: TrialConfig, prepared: Prepared, setting: Setting) -> str:
    """The content address of a source stage: everything that decides its weights."""
    assert config.source is not None
    facts = {
        "format": FORMAT,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "encoder": fingerprint(config.encoder),
        "data": prepared.fingerprint,
        "stage": config.source.model_dump(mode="json", exclude=_IRRELEVANT),
        "subset_seed": config.source.train_rows and config.dataset_of(config.source).split_seed,
        "metric": config.metric,
        "seed": config.seed,
        "precision": setting.precision,
        "device": setting.device.type,
        "micro_batches": setting.micro_batches,
    }
    return digest_of_json(facts)[:32]


def trunk_key(config: TrialConfig, prepared: Prepared, setting: Setting) -> str:
    """The content address of a source stage's ladder: the same for stages that share their first epochs."""
    assert config.source is not None
    return source_key(config.model_copy(update={"source": trunk_of(config.source)}), prepared, setting)


def train_once(training: StageTraining, label_names: tuple[str, ...], folder: Path, trunk: Path) -> Iterator[Report]:
    """Make sure that `folder` holds the trained stage; yields reports if it is trained here and now.

    Gives signs of life while another process trains the same, or another stage of the same trunk. Of several
    ranks the first one holds the lease and writes.

    Args:
        training: the stage, at its beginning.
        label_names: of its classes.
        folder: named by `source_key`.
        trunk: the ladder's folder, named by `trunk_key`.
    """
    ranks, ladder = training.setting.ranks, Ladder(trunk, folder.name, training)
    try:
        while not ranks.broadcast_flag(ranks.rank == 0 and ladder.take()):
            yield Report("source", training.progress.step, 0.0, 0.0, {})
        if ranks.broadcast_flag(ranks.rank == 0 and is_done(folder)):
            return
        ladder.climb()
        for report in training.evaluations():
            if ranks.rank == 0:
                ladder.keep(report)
            if report.last:
                training.finish()
                if ranks.rank == 0:
                    write_sealed(folder, lambda into: _save(training, label_names, into))
                    ladder.clear()
                ranks.broadcast_flag(True)  # nobody reads before it is written
            yield report
    finally:
        ladder.release()


def is_done(folder: Path) -> bool:
    """Whether the trained stage lies there whole; a damaged one is told of in the log and counts as absent."""
    return (folder / DONE).exists() and intact(folder, "the source stage is trained again") is not None


def load_source(folder: Path) -> TrainedSource:
    """Read a stage that `train_once` has made."""
    facts = json.loads((folder / DONE).read_text(encoding="utf-8"))
    weights = load_file(folder / "weights.safetensors")
    return TrainedSource(weights, tuple(facts["label_names"]), facts["metrics"], folder.name)


def _save(training: StageTraining, label_names: tuple[str, ...], folder: Path) -> None:
    weights = {name: p.detach().cpu().contiguous() for name, p in training.trained.items()}
    save_file(weights, folder / "weights.safetensors")
    facts = {"label_names": label_names, "metrics": training.progress.best_metrics}
    (folder / DONE).write_text(json.dumps(facts), encoding="utf-8")
