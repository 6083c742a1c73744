"""The cache of source stages: each distinct stage is trained once and shared by every trial that needs it.

A finished stage is stored under its key: a hash of everything that decides its weights. An unfinished stage has epoch
checkpoints (`trainable/stages/epoch_checkpoints.py`); the next process that gets their lock continues from them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainable.inputs.prepare import TokenizedDataset
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint
from trainable.model.pooling import with_pooling
from trainable.progress import Report, StageContext
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Source
from trainable.stages.epoch_checkpoints import EpochCheckpoints, shared_settings
from trainable.store.checksums import digest_of_json, verify_or_warn, write_with_checksums
from trainable.tasks.registry import TASKS
from trainable.tasks.task import Head

FORMAT = 5
"""Increase this number when the meaning of a stored stage, or how training computes, changes."""

STAGE_FILE = "stage.json"
"""A stage is complete if its folder has this file."""

_NOT_IN_KEY = {"enabled", "dataset"}
_ADDED = {"focal_gamma", "tuning", "lora_rank", "lora_alpha", "lora_targets", "stride", "validation_rows"}
_ADDED |= {"target_length", "num_beams", "length_penalty", "max_new_tokens"}
_ADDED |= {"image_size", "image_crop", "image_flip", "unfreeze_fraction"}
"""Settings of later versions. With their defaults they have no entry, so that older stages are still found."""


@dataclass(frozen=True)
class TrainedSource:
    """The result of a source stage: its best weights and their scores."""

    weights: dict[str, torch.Tensor]
    """The parameters that this stage and those before it have trained, by name."""
    head: Head
    metrics: dict[str, float]
    """Scores of the best evaluation of this stage and of those before it, by dotted name."""
    key: str = ""
    """The key of the stage, see `source_key`."""


def source_key(
    config: TrialConfig, stage: Source, tokenized: TokenizedDataset, context: StageContext, before: str = ""
) -> str:
    """Return the key of a source stage: a hash of everything that decides its weights.

    Args:
        config: settings of a trial that has the stage.
        stage: settings of the stage.
        tokenized: its data.
        context: its context.
        before: the key of the stage before it; empty if there is none.
    """
    facts = {
        "format": FORMAT,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "encoder": fingerprint(config.encoder),
        # `first` has no entry, so that stages of versions without this setting are still found.
        **({} if (pooling := with_pooling(config).pooling) == "first" else {"pooling": pooling}),
        "data": tokenized.fingerprint,
        "stage": _settings_in_key(stage),
        # The name decides the order of batches. Neither it nor `before` has an entry where versions without chains
        # have none.
        **({} if context.name == "source" else {"name": context.name}),
        **({"before": before} if before else {}),
        "subset_seed": stage.train_rows and config.dataset_of(stage).split_seed,
        "metric": config.metric_of(stage),
        "seed": config.seed,
        "precision": context.precision,
        "device": context.device.type,
        "micro_batches": context.micro_batches,
    }
    return digest_of_json(facts)[:32]


def _settings_in_key(stage: Source) -> dict[str, Any]:
    added = {name for name in _ADDED if getattr(stage, name) == Source.model_fields[name].default}
    return stage.model_dump(mode="json", exclude=_NOT_IN_KEY | added)


def shared_epochs_key(
    config: TrialConfig, stage: Source, tokenized: TokenizedDataset, context: StageContext, before: str = ""
) -> str:
    """Return the key of a stage's epoch checkpoints, the same for stages that share their first epochs."""
    return source_key(config, shared_settings(stage), tokenized, context, before)


def train_once(
    training: StageTraining, head: Head, earlier: Mapping[str, torch.Tensor], folder: Path, epochs_folder: Path
) -> Iterator[Report]:
    """Make sure that `folder` contains the trained stage; yield its reports if this process trains it.

    While another process trains this stage, or one with the same shared epochs, this function yields reports without
    scores, only to show that the trial is alive. With several ranks, rank 0 has the lock and writes.

    Args:
        training: the stage, before its first step.
        head: its head.
        earlier: the weights of the stages before it, by their names in its model.
        folder: the stage's folder, named by `source_key`.
        epochs_folder: the folder of its epoch checkpoints, named by `shared_epochs_key`.
    """
    ranks, checkpoints = training.context.ranks, EpochCheckpoints(epochs_folder, folder.name, training)
    try:
        while not ranks.broadcast_flag(ranks.rank == 0 and checkpoints.acquire()):
            yield Report(training.context.name, training.progress.step, 0.0, 0.0, {})
        if ranks.broadcast_flag(ranks.rank == 0 and is_done(folder)):
            return
        checkpoints.load_latest()
        for report in training.evaluations():
            if ranks.rank == 0:
                checkpoints.save_if_due(report)
            if report.last:
                training.finish()
                if ranks.rank == 0:
                    write_with_checksums(folder, lambda into: _save(training, head, earlier, into))
                    checkpoints.clean_up()
                ranks.broadcast_flag(True)  # the other ranks wait here until the stage is written
            yield report
    finally:
        checkpoints.release()


def is_done(folder: Path) -> bool:
    """Return whether the folder contains the trained stage, undamaged. Log a warning if it is damaged."""
    return (folder / STAGE_FILE).exists() and verify_or_warn(folder, "the source stage is trained again") is not None


def load_source(folder: Path) -> TrainedSource:
    """Read a stage that `train_once` has written."""
    facts = json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))
    weights = load_file(folder / "weights.safetensors")
    # A stage of a version without `task` is a classification.
    head = TASKS[facts.get("task", "classification")].head(tuple(facts["label_names"]))
    return TrainedSource(weights, head, facts["metrics"], folder.name)


def after(before: TrainedSource | None, stage: TrainedSource) -> TrainedSource:
    """Return a stage with the scores of the stages before it."""
    return replace(stage, metrics={**before.metrics, **stage.metrics}) if before else stage


def _save(training: StageTraining, head: Head, earlier: Mapping[str, torch.Tensor], folder: Path) -> None:
    weights = {name: p.detach().cpu().contiguous() for name, p in training.trained.items()}
    save_file({**earlier, **weights}, folder / "weights.safetensors")
    facts = {"task": head.task, "label_names": head.names, "metrics": training.progress.best_metrics}
    (folder / STAGE_FILE).write_text(json.dumps(facts), encoding="utf-8")
