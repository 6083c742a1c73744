"""What the settings of a trial mean for its encoder: the pooling, and what trains."""

from typing import Any, TypeVar

from trainable.model.limits import depth_of
from trainable.model.pooling import with_pooling
from trainable.settings.config import TrialConfig
from trainable.settings.stage import ATTENTION, LORA_RANK, Stage

StageKind = TypeVar("StageKind", bound=Stage)


def resolved(config: TrialConfig) -> TrialConfig:
    """Return the settings with what they mean for the encoder in the place of `auto`, `head` and null.

    `pooling: auto` becomes a pooling; `tuning: head` freezes all layers during the whole stage; `tuning: lora` gets
    its rank, alpha and targets. Settings that are resolved already stay as they are.

    Raises:
        ConfigError: if there is no such encoder, or its file on pooling is damaged.
    """
    config = with_pooling(config)
    sources = {name: _resolved_stage(stage, config.encoder) for name, stage in config.source_stages().items()}
    target = _resolved_stage(config.target, config.encoder)
    return config.with_sources(sources).model_copy(update={"target": target})


def _resolved_stage(stage: StageKind, encoder: str) -> StageKind:
    update: dict[str, Any] = {}
    if stage.tuning == "head":
        update = {"frozen_layers": depth_of(encoder), "unfreeze_fraction": 0.0}
    if stage.tuning == "lora":
        rank = stage.lora_rank or LORA_RANK
        alpha, targets = stage.lora_alpha or 2.0 * rank, stage.lora_targets or ATTENTION
        update = {"lora_rank": rank, "lora_alpha": alpha, "lora_targets": targets}
    return stage.model_copy(update=update) if update else stage
