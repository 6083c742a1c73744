"""The lengths of the target's training texts, and how many of them a padding length holds whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.advice.sweep import Sweep
from search.study.trial_settings import trial_config
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of

PADDING_LENGTH = "target.padding_length"


def covered(lengths: NDArray[np.int64], length: int) -> float:
    """Return the share of texts that are not longer."""
    return float((lengths <= length).mean())


def text_lengths(sweep: Sweep) -> NDArray[np.int64] | None:
    """Return the tokens of each training text of the target, shape (N,); None for images, or if it cannot be read."""
    records = sweep.finished or sweep.outcome.trials
    if not records:
        return None
    config = trial_config(sweep.plan, records[0])
    if config.dataset_of(config.target).has_images:
        return None
    try:
        split = tokenized_dataset_of(config, config.target, sweep.plan.workspace(sweep.folder.storage)).splits["train"]
    except (ConfigError, OSError):  # the data or the encoder are no longer where they were
        return None
    stage = config.target.model_copy(update={"padding_length": split.tokens.longest()})
    return split.tokens.inputs(np.arange(len(split.tokens)), stage).lengths
