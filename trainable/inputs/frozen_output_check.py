"""Checks on a few rows whether the output of a model's frozen layers may be stored and reused.

A stored output is exact only under three conditions: it depends on no weight that trains, it does not depend on the
other rows of the batch, and it does not change while the stage trains. Each condition is checked on the model itself.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.forward import encoder_inputs, on_device, real_tokens
from trainable.compute.kernels import kernels
from trainable.inputs.batches import PADDED_TO
from trainable.inputs.split import Inputs
from trainable.model.freezing import train_mode
from trainable.model.layers import layers_of
from trainable.model.pooled import one_token, pooling_of
from trainable.progress import StageContext

SAMPLE_ROWS = 8
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest difference that rounding may make between two ways to compute the same, as a share of the largest value."""


class FrozenOutputCheck:
    """Computes the output of a model's frozen layers for some rows at creation, and compares it later.

    Args:
        model: the whole model; it is left in training mode.
        frozen: its frozen modules.
        inputs: the rows of the training split, as token ids.
        count: number of frozen layers, 1 to all.
        context: device and precision.
    """

    def __init__(
        self, model: PreTrainedModel, frozen: list[nn.Module], inputs: Inputs, count: int, context: StageContext
    ) -> None:
        self._model, self._frozen, self._count, self._context = model, frozen, count, context
        self._rows = sample_rows(inputs.lengths)
        batch = inputs.batch(self._rows, PADDED_TO[context.device.type])
        self._batch, self._real = encoder_inputs(batch), real_tokens(batch).bool()
        states = self._run()
        self._at_creation = states.detach()
        trained_below = _trained_weights_below(states, model) if states.requires_grad else []
        self.obstacle = f"it depends on weights that train: {', '.join(trained_below):.200}" if trained_below else ""
        """Why the output must not be stored; empty if it may."""
        if states.ndim == 4:
            self.obstacle = "it is a map of features, not a vector for each token"

    def matches(self, stored: Inputs, name: str) -> bool:
        """Return whether the stored output, of all tokens or of one that stands for them, equals the model's own.

        Args:
            stored: gives the stored output in the place of the model's inputs.
            name: the argument of the model that takes it.
        """
        batch = stored.batch(self._rows)
        real = real_tokens(batch).bool()  # (B, T)
        for row, states in enumerate(self._at_creation.float().cpu()):  # (T, H), padded on either side
            expected = states[self._real[row]]
            if len(expected) != int(real[row].sum()):
                expected = one_token(expected, np.array([len(expected)]), pooling_of(self._model))
            difference = (batch[name][row][real[row]].float() - expected).abs().max()
            if not difference <= TOLERANCE[self._context.precision] * expected.abs().max():
                return False
        return True

    def is_unchanged(self) -> bool:
        """Return whether the output is still the same, bit for bit."""
        return torch.equal(self._run(), self._at_creation)

    def _run(self) -> torch.Tensor:
        """Return the output of the last frozen layer, shape (B, T, H); empty if the layer is not called as a module."""

        def stop(module: nn.Module, given: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            raise _ReachedError(output[0] if isinstance(output, tuple) else output)

        device, precision = self._context.device, self._context.precision
        train_mode(self._model, self._frozen)
        hook = layers_of(self._model)[self._count - 1].register_forward_hook(stop)
        try:
            with torch.enable_grad(), autocast(precision, device), kernels(device):
                self._model.base_model(**on_device(self._batch, device))
        except _ReachedError as reached:
            return reached.states
        finally:
            hook.remove()
        return torch.empty(0)


def _trained_weights_below(states: torch.Tensor, model: PreTrainedModel) -> list[str]:
    """Return the names of the trained weights on which `states` depends."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(states.sum(), list(trained.values()), allow_unused=True)
    return [name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None]


class _ReachedError(Exception):
    """Ends a forward pass at the layer whose output is needed."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def sample_rows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `SAMPLE_ROWS` row numbers with lengths spread from the shortest to the longest row."""
    order = np.argsort(lengths, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(SAMPLE_ROWS, len(order))).astype(np.int64)]
