"""The format `skops`: a scikit-learn model over words, the export of a baseline without an encoder."""

from collections.abc import Callable
from pathlib import Path

import torch

from search.export.facts import FolderFacts
from trainable.baselines.regression import outputs_of
from trainable.baselines.text_models import LabelledTexts, load_text_model
from trainable.data.examples import Examples
from trainable.errors import ConfigError

LogitsOfTexts = Callable[[Examples], torch.Tensor]
"""Returns the logits of all texts in order, on the CPU, shape (N, C)."""


def load_text_logits(folder: Path, facts: FolderFacts) -> LogitsOfTexts:
    """Load the model of a folder.

    Raises:
        ConfigError: if its file is missing or damaged, or belongs to another folder.
    """
    names, model = tuple(facts.label_names), load_text_model(folder)
    if not set(map(str, getattr(model, "classes_", names))) <= set(names):
        raise ConfigError(f"{folder}: the model has other labels than trial.json; export it again")

    def compute(table: Examples) -> torch.Tensor:
        return outputs_of(model, LabelledTexts.of(table, names).texts, names)

    return compute
