"""A few rows through the frozen layers as training computes them: proof that their output may be stored.

A stored output is exact only while no weight that trains lies below it, the layers give it whatever a row is batched
with, and it stays the same while the stage trains. Each is looked at on the model itself.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.forward import on_device
from trainable.compute.kernels import kernels
from trainable.inputs.batches import PADDED_TO
from trainable.inputs.split import Inputs
from trainable.model.encoder import train_mode
from trainable.model.layers import layers_of
from trainable.progress import Setting

SAMPLE_ROWS = 8
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest difference between two ways of computing the same, as a share of the largest value: rounding, no more."""


class FrozenOutputCheck:
    """The output of a model's frozen layers for some rows, now and as it was when this was made.

    Args:
        model: the whole model; it is left in training mode.
        frozen: its frozen modules.
        inputs: the rows of the training split, as token ids.
        count: frozen layers, 1 to the depth.
        setting: device and arithmetic.
    """

    def __init__(
        self, model: PreTrainedModel, frozen: list[nn.Module], inputs: Inputs, count: int, setting: Setting
    ) -> None:
        self._model, self._frozen, self._count, self._setting = model, frozen, count, setting
        self._rows = sample_rows(inputs.lengths)
        self._batch = inputs.batch(self._rows, PADDED_TO[setting.device.type])
        states = self._run()
        self._first = states.detach()
        self.trained_below = _weights_of(states, model) if states.requires_grad else []
        """Names of the weights that train and that the output depends on."""

    def agrees(self, stored: Inputs) -> bool:
        """Whether the stored output of all rows, or of their first tokens, is that of the probe."""
        batch = stored.batch(self._rows)
        there = batch["attention_mask"].bool()  # (B, T)
        for row, states in enumerate(self._first.float().cpu()):  # (T, H), padded on either side
            expected = states[self._batch["attention_mask"][row].bool()][: int(there[row].sum())]
            difference = (batch["inputs_embeds"][row][there[row]].float() - expected).abs().max()
            if not difference <= TOLERANCE[self._setting.precision] * expected.abs().max():
                return False
        return True

    def stays(self) -> bool:
        """Whether the output is still the same, to the bit."""
        return torch.equal(self._run(), self._first)

    def _run(self) -> torch.Tensor:
        """Output of the last frozen layer, shape (B, T, H); empty where that layer is not called as a module."""

        def stop(module: nn.Module, given: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            raise _ReachedError(output[0] if isinstance(output, tuple) else output)

        device, precision = self._setting.device, self._setting.precision
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


def _weights_of(states: torch.Tensor, model: PreTrainedModel) -> list[str]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(states.sum(), list(trained.values()), allow_unused=True)
    return [name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None]


class _ReachedError(Exception):
    """Ends a forward pass at the layer whose output is wanted."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def sample_rows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that stand for all: `SAMPLE_ROWS` at most, the shortest and the longest among them."""
    order = np.argsort(lengths, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(SAMPLE_ROWS, len(order))).astype(np.int64)]
