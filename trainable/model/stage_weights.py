"""The weights that a stage trains, by name, and the model's own weights again when the stage ends."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from trainable.model.freezing import freeze
from trainable.model.lora import Adapters
from trainable.model.vocabulary import cut_embeddings
from trainable.settings.stage import Stage


class StageWeights:
    """Changes a model so that only the weights that its stage trains get a gradient; `restore` undoes that.

    Args:
        model: the model, on the device that trains it.
        stage: frozen layers, tuning, optimiser.
        seed: seed of the trial.
        used: the token ids of each split; None for a split without ids.
    """

    def __init__(self, model: PreTrainedModel, stage: Stage, seed: int, *used: NDArray[np.int64] | None) -> None:
        self._model = model
        self.frozen = freeze(model, stage.frozen_layers)
        """Modules that must stay in evaluation mode."""
        self._adapters = Adapters(model, stage, seed) if stage.tuning == "lora" else None
        self.count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        """Number of weights that train."""
        # Only embeddings that train are cut, and the cut embeddings are a new parameter on the same device.
        self._cut = cut_embeddings(model, stage, *used)
        self.trained: dict[str, torch.Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
        """Parameters that train, by name; after `restore` those of the model that have been changed."""

    def restore(self, kept: Callable[[torch.Tensor], float]) -> dict[str, torch.Tensor]:
        """Merge adapters and put the whole embeddings back; return `trained`. A second call does nothing.

        Args:
            kept: returns the factor that weight decay leaves of a row without gradient of this parameter.
        """
        if (cut := self._cut) is not None:
            name = next(name for name, parameter in self.trained.items() if parameter is cut.weight)
            self.trained = {**self.trained, name: cut.restore(self._model, kept(cut.weight))}
        if self._adapters is not None:
            names = self._adapters.merge() | self.trained.keys()
            self.trained = {name: p for name, p in self._model.named_parameters() if name in names}
        self._cut = self._adapters = None
        return self.trained
