"""What a trial leaves in a folder, with checksums: the finished model, or what a resume needs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from trainable.errors import ConfigError
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint, new_model
from trainable.progress import Progress
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.trained_on import TrainedOn, to_json, trained_on
from trainable.stages.transfer import copy_weights
from trainable.store.checksums import check, seal

FINISHED = "model.safetensors"
"""The file of a checkpoint that holds the model of a finished trial."""


def write_checkpoint(
    folder: Path,
    config: TrialConfig,
    target: StageTraining | None,
    from_source: Iterable[str],
    metrics: Mapping[str, float],
    finished: bool,
    used: TrainedOn,
) -> None:
    """Write the finished model, as the tensors that differ from the pretrained encoder, or what a resume needs.

    During the source stage there is nothing to write: it keeps its own state in the cache.

    Args:
        folder: exists and is empty.
        config: the settings of the trial.
        target: its target stage; none before it has begun.
        from_source: names of the weights that the source stage has trained.
        metrics: what the trial has reached, by dotted name.
        finished: whether it ran to its end.
        used: data, tokenizers and encoder.
    """
    if target is not None and finished:
        changed = {*target.trained, *from_source}
        tensors = {n: p.detach().cpu().contiguous() for n, p in target.model.named_parameters() if n in changed}
        save_file(tensors, folder / FINISHED)
        target.progress.write(folder)
    elif target is not None and target.progress.step:
        target.save(folder)
    facts = {
        "config": config.model_dump(mode="json", by_alias=True),
        "label_names": list((target.model.config.id2label or {}).values()) if target else [],
        "metrics": metrics,
        "finished": finished,
        "trained_on": to_json(used),
    }
    (folder / "trial.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    seal(folder)


def resume_target(target: StageTraining, folder: Path) -> bool:
    """Let a target stage go on from a checkpoint; returns whether the checkpoint had begun that stage."""
    if (folder / FINISHED).exists():
        target.finish()  # with the whole vocabulary, as it was stored
        copy_weights(target.model, load_file(folder / FINISHED))
        target.progress = Progress.read(folder)  # at its end: there is nothing to train
    elif (folder / "progress.json").exists():
        target.load(folder)
    else:
        return False
    return True


def best_value(folder: Path | None, metric: str) -> float | None:
    """The best validation value so far of the trial that a checkpoint belongs to; none without either."""
    if folder is None or not (file := folder / "trial.json").exists():
        return None
    value: float | None = json.loads(file.read_text(encoding="utf-8"))["metrics"].get(f"target.validation.{metric}")
    return value


def load_trained(folder: Path, encoder: str | None = None) -> tuple[PreTrainedModel, TrialConfig]:
    """The model of a finished trial's checkpoint, on the CPU in evaluation mode, and its settings.

    Args:
        folder: the checkpoint.
        encoder: where its encoder lies now; none means where it lay in training.

    Raises:
        DamagedError: if the checkpoint is not what was written.
        ConfigError: if the trial has not finished, or the encoder is no longer the one that it was trained on.
    """
    check(folder)
    facts = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    if not facts["finished"]:
        raise ConfigError(f"{folder}: the trial has not finished, so there is no model to load")
    config, trained = build_config(facts["config"]), trained_on(folder)
    config = config.model_copy(update={"encoder": encoder or config.encoder})
    if trained and trained.encoder != fingerprint(config.encoder):
        raise ConfigError(
            f"encoder: {config.encoder!r}: its weights or its config.json have changed since {folder} was trained, "
            "which keeps only what it changed in them; put back what was there"
        )
    model = new_model(config.encoder, tuple(facts["label_names"]), config.seed, config.target.dropout)
    copy_weights(model, load_file(folder / FINISHED))
    return model.eval(), config
