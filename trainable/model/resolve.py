"""What the settings of a trial mean for its encoder: the pooling, and what trains."""

from typing import Any

from trainable.model.limits import depth_of
from trainable.model.pooling import with_pooling
from trainable.settings.config import TrialConfig
from trainable.settings.stage import ATTENTION, LORA_RANK, Stage


def resolved(config: TrialConfig) -> TrialConfig:
    """Return the settings with what they mean for the encoder in the place of `auto`, `head` and null.

    `pooling: auto` becomes a pooling; `tuning: head` freezes all layers; `tuning: lora` gets its rank, alpha and
    targets. Settings that are resolved already stay as they are.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    config = with_pooling(config)
    stages = {"source": config.source, "target": config.target}
    changed = {name: _resolved_stage(stage, config.encoder) for name, stage in stages.items() if stage is not None}
    return config.model_copy(update=changed)


def _resolved_stage(stage: Stage, encoder: str) -> Stage:
    update: dict[str, Any] = {}
    if stage.tuning == "head":
        update = {"frozen_layers": depth_of(encoder)}
    if stage.tuning == "lora":
        rank = stage.lora_rank or LORA_RANK
        alpha, targets = stage.lora_alpha or 2.0 * rank, stage.lora_targets or ATTENTION
        update = {"lora_rank": rank, "lora_alpha": alpha, "lora_targets": targets}
    return stage.model_copy(update=update) if update else stage
