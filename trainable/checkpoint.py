"""Writes and reads the checkpoint of a trial, with checksums: the finished model, or the state that a resume needs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint, new_model
from trainable.model.generation import set_generation
from trainable.progress import Progress
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.trained_on import TrainedOn, to_json, trained_on
from trainable.stages.transfer import copy_weights, weights_in
from trainable.store.checksums import verify_checksums, write_checksums
from trainable.tasks.registry import TASKS

CheckpointState = Literal["running", "ended", "finished"]
MODEL_FILE = "model.safetensors"
"""File of the model of a trial that has ended; the checkpoint of a trial that may continue does not have it."""


def write_checkpoint(
    folder: Path,
    config: TrialConfig,
    target: StageTraining | None,
    from_source: Mapping[str, torch.Tensor],
    metrics: Mapping[str, float],
    state: CheckpointState,
    used: TrainedOn,
) -> None:
    """Write the model of a trial that has ended, or the state that a resume needs.

    Only tensors that differ from the pretrained encoder are written. The source stage needs nothing here, as it keeps
    its own checkpoints in the cache.

    Args:
        folder: an existing, empty folder.
        config: the settings of the trial.
        target: its target stage; None before that stage has begun.
        from_source: the parameters that the source stage has trained, by name.
        metrics: best scores of the trial so far, by dotted name.
        state: `finished` if the trial ran to its end, `ended` if it ends early, `running` if it may continue.
        used: fingerprints of its data, tokenizers and encoder.
    """
    if target is not None and state != "running":
        trained = {*target.trained, *weights_in(target.model, from_source)}
        tensors = {n: p.detach().cpu().contiguous() for n, p in target.model.named_parameters() if n in trained}
        save_file(tensors, folder / MODEL_FILE)
        target.progress.write(folder)
    elif target is not None and target.progress.step:
        target.save(folder)
    names = (target.model.config.id2label or {}).values() if target else ()
    write_facts(folder, config, names, metrics, state == "finished", used)


def write_facts(
    folder: Path,
    config: TrialConfig,
    label_names: Iterable[str],
    metrics: Mapping[str, float],
    finished: bool,
    used: TrainedOn,
) -> None:
    """Complete a checkpoint, which holds its tensors already: write `trial.json` and the checksums of all files.

    Args:
        folder: the checkpoint.
        config: see `write_checkpoint`, like the arguments after it.
        label_names: in the order of the classes; empty before the target stage has begun.
        metrics: see `write_checkpoint`.
        finished: whether the trial ran to its end.
        used: see `write_checkpoint`.
    """
    facts = {
        "config": config.model_dump(mode="json", by_alias=True),
        "label_names": list(label_names),
        "metrics": metrics,
        "finished": finished,
        "trained_on": to_json(used),
    }
    (folder / "trial.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    write_checksums(folder)


def resume_target(target: StageTraining, folder: Path) -> bool:
    """Continue a target stage from a checkpoint; return False if it has nothing from which the stage can continue."""
    if (folder / MODEL_FILE).exists():
        if not _facts(folder)["finished"]:
            return False  # a model of a trial that ended early: without the state of its optimiser
        target.finish()  # restores the whole embeddings, as the file contains them
        copy_weights(target.model, load_file(folder / MODEL_FILE))
        target.progress = Progress.read(folder)  # the end of the stage: nothing is left to train
    elif (folder / "progress.json").exists():
        target.load(folder)
    else:
        return False
    return True


def best_value(folder: Path | None, metric: str) -> float | None:
    """Return the best value of a metric in a checkpoint; None without a checkpoint or an evaluation of the target."""
    if folder is None or not (folder / "trial.json").exists():
        return None
    value: float | None = _facts(folder)["metrics"].get(f"target.validation.{metric}")
    return value


def load_trained(folder: Path, encoder: str | None = None) -> tuple[PreTrainedModel, TrialConfig]:
    """Return the model of an ended trial's checkpoint, on the CPU in evaluation mode, and the trial's settings.

    Args:
        folder: the checkpoint.
        encoder: the encoder's present folder or name; None means the same as in training.

    Raises:
        DamagedError: if files of the checkpoint are missing or altered.
        ConfigError: if the trial has not ended, or the encoder has changed since the training.
    """
    verify_checksums(folder)
    facts = _facts(folder)
    if not (folder / MODEL_FILE).exists():
        raise ConfigError(f"{folder}: the trial has not ended, so there is no model to load")
    # A checkpoint of a version without `pooling` has the architecture's own head.
    config, trained = build_config({"pooling": "first", **facts["config"]}), trained_on(folder)
    config = config.model_copy(update={"encoder": encoder or config.encoder})
    if trained and trained.encoder != fingerprint(config.encoder):
        raise ConfigError(
            f"encoder: {config.encoder!r}: its weights or its config.json have changed since {folder} was trained; "
            "the checkpoint contains only the weights that the training changed; restore the original encoder"
        )
    head = TASKS[config.dataset_of(config.target).task].head(tuple(facts["label_names"]))
    model = new_model(config.encoder, head, config.seed, config.target.dropout, config.pooling)
    set_generation(model, config.target)
    copy_weights(model, load_file(folder / MODEL_FILE))
    return model.eval(), config


def _facts(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's trial.json."""
    facts: dict[str, Any] = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    return facts
