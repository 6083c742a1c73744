"""Gradual unfreezing (Howard & Ruder 2018): the layers of a stage begin to train one after another, from the top.

At each step a stage with `unfreeze_fraction` trains as with a number of frozen layers that falls from the encoder's
depth to `frozen_layers`: layers that wait have no gradient, no weight decay and no dropout.
"""

from torch import Tensor, nn
from transformers import PreTrainedModel

from trainable.model.freezing import freeze, own_rates
from trainable.model.layers import encoder_of, encoder_parts, layers_of
from trainable.settings.stage import Stage


class Unfreezing:
    """Lets the layers of a stage begin to train, each at its step; the result depends on the number of the step alone.

    Args:
        model: the whole model, prepared for the stage.
        stage: its settings.
        total: optimiser steps of the stage.
        trained: the weights that train in the stage, by name, all of them with a gradient now.
        frozen: the modules that are frozen during the whole stage.
    """

    def __init__(
        self, model: PreTrainedModel, stage: Stage, total: int, trained: dict[str, Tensor], frozen: list[nn.Module]
    ) -> None:
        self._model, self._stage, self._total, self._trained = model, stage, total, trained
        self.frozen = frozen
        """The modules that are frozen at the present step; they must stay in evaluation mode."""
        self._count = stage.frozen_layers
        self._depth = len(layers_of(model))
        # With frozen layers, these rates are 0 during the whole stage.
        changes = stage.unfreeze_fraction > 0 and not stage.frozen_layers
        self._rates = own_rates(encoder_parts(model)) if changes else []

    def frozen_layers(self, step: int) -> int:
        """Return how many of the lowest layers are frozen at a step."""
        return frozen_layers_at(step, self._total, self._depth, self._stage)

    def begin(self, step: int, network: PreTrainedModel) -> bool:
        """Prepare a step; return whether other weights train than in the step before.

        Args:
            step: optimiser steps done before this one.
            network: the model, or the view of it, that computes.
        """
        count = self.frozen_layers(step)
        if count == self._count:
            return False
        for weight in self._trained.values():
            weight.requires_grad_(True)
        self.frozen, self._count = freeze(self._model, count), count
        for module, rate, value in self._rates:
            setattr(encoder_of(network).get_submodule(module), rate, 0.0 if count else value)
        return True


def frozen_layers_at(step: int, total: int, depth: int, stage: Stage) -> int:
    """Return how many of the lowest layers are frozen at a step of a stage.

    With n layers above `frozen_layers`, the first n-th part of the share `unfreeze_fraction` of the steps trains no
    layer, the second the top layer, and so on. With few steps, several layers begin at the same step.

    Args:
        step: optimiser steps done before this one, 0 to `total` - 1.
        total: optimiser steps of the stage.
        depth: the encoder's number of layers.
        stage: holds `frozen_layers` and `unfreeze_fraction`.
    """
    layers = depth - stage.frozen_layers
    begins = (int(stage.unfreeze_fraction * total * place / layers) for place in range(1, layers + 1))
    return depth - sum(begin <= step for begin in begins)
