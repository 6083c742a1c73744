"""The vectors that the head of a classifier reads, as the model computes them."""

from types import TracebackType

import torch
from transformers import PreTrainedModel

from trainable.model.encoder import output_layer


class HeadInput:
    """Catches what the head reads in a forward pass inside a `with` block; gradients flow through it.

    Args:
        network: a classifier of transformers, or a view of one.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        self._head = output_layer(network)[1]
        self._read = self._output = torch.empty(0)

    def __enter__(self) -> "HeadInput":
        self._hook = self._head.register_forward_hook(self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hook.remove()

    def _catch(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self._read, self._output = given[0], output

    @property
    def tokens(self) -> torch.Tensor:
        """Return the vectors of a head that reads every token, shape (B, T, H)."""
        return self._read

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the vectors from which the forward pass made these logits, shape (B, H).

        Decoders such as GPT-2 apply the head to every token, shape (B, T, H), and take the logits of the last real one.
        """
        if self._read.ndim == 2:
            return self._read
        same = (self._output.float() == logits.float().unsqueeze(1)).all(-1)  # (B, T)
        return self._read[torch.arange(len(self._read), device=self._read.device), same.float().argmax(1)]
