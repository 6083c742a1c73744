"""The source stage, trained once for each distinct setting and shared by every trial that needs it.

A finished stage lies under its content address; an unfinished one beside it, where whoever holds the
lease next goes on. The lease is a file lock, which the operating system frees when its holder dies.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file

from trainable.config import TrialConfig
from trainable.encoder import fingerprint
from trainable.prepare import Prepared
from trainable.progress import Report, Setting
from trainable.seal import intact, write_sealed
from trainable.training import PULSE_SECONDS, StageTraining

FORMAT = 1
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
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def train_once(training: StageTraining, label_names: tuple[str, ...], folder: Path) -> Iterator[Report]:
    """Make sure that `folder` holds the trained stage; yields reports if it is trained here and now.

    Gives signs of life while another process trains the same. Of several ranks the first one holds the lease
    and writes.
    """
    ranks = training.setting.ranks
    partial = folder.with_name(folder.name + ".partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lease = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        while not ranks.agree(ranks.rank == 0 and _taken(lease)):
            yield Report("source", training.progress.step, 0.0, 0.0, {})
        if ranks.agree(ranks.rank == 0 and is_done(folder)):
            return
        if ranks.agree(ranks.rank == 0 and partial.exists() and _can_go_on(partial)):
            training.load(partial)
        saved = time.monotonic()
        for report in training.reports():
            if ranks.rank == 0 and not report.last and time.monotonic() - saved > PULSE_SECONDS:
                write_sealed(partial, training.save)
                saved = time.monotonic()
            yield report
        if ranks.rank == 0:
            write_sealed(folder, lambda into: _save(training, label_names, into))
            shutil.rmtree(partial, ignore_errors=True)
        ranks.agree(True)  # nobody reads before it is written
    finally:
        lease.release()


def _taken(lease: FileLock) -> bool:
    try:
        lease.acquire(timeout=PULSE_SECONDS)
    except Timeout:
        return False
    return True


def is_done(folder: Path) -> bool:
    """Whether the trained stage lies there whole; a damaged one is told of in the log and counts as absent."""
    return (folder / DONE).exists() and intact(folder, "the source stage is trained again") is not None


def _can_go_on(partial: Path) -> bool:
    return intact(partial, "the source stage starts again") is not None


def load_source(folder: Path) -> TrainedSource:
    """Read a stage that `train_once` has made."""
    facts = json.loads((folder / DONE).read_text())
    weights = load_file(folder / "weights.safetensors")
    return TrainedSource(weights, tuple(facts["label_names"]), facts["metrics"])


def _save(training: StageTraining, label_names: tuple[str, ...], folder: Path) -> None:
    weights = {name: p.detach().cpu().contiguous() for name, p in training.trained.items()}
    save_file(weights, folder / "weights.safetensors")
    facts = {"label_names": label_names, "metrics": training.progress.best_metrics}
    (folder / DONE).write_text(json.dumps(facts))
