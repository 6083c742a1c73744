"""What tells whether two trials would train the same source stage, or begin it with the same epochs."""

from typing import NamedTuple

from trainable.settings.config import TrialConfig
from trainable.stages.epoch_checkpoints import shared_settings


class SourceKeys(NamedTuple):
    """Texts that identify the source stages of a trial."""

    stage_key: str
    """The encoder, seed and settings of the stages; stages with the same key are the same."""
    shared_epochs_key: str
    """The part of them that decides the first epochs of the first stage. Stages with the same key are not trained at
    the same time."""
    last: str
    """The dotted name of the last stage."""


def source_keys(config: TrialConfig) -> SourceKeys | None:
    """Return the keys of a trial's source stages, or None if it has none."""
    stages = config.source_stages()
    if not stages:
        return None
    begin, (first, *others) = f"{config.encoder} {config.seed}", stages.values()
    whole = " ".join([begin, *(stage.model_dump_json() for stage in (first, *others))])
    return SourceKeys(whole, f"{begin} {shared_settings(first).model_dump_json()}", [*stages][-1])
