"""The output of frozen layers: computed once for each split, then reused by every epoch and trial with the same layers.

Frozen layers run without dropout, so their output for a text is a constant: it depends on the frozen weights, the
text, its truncation and the arithmetic, not on learning rate, batch size, epochs or seed (Nautilus, SIGMOD 2022;
AutoFreeze, 2021). It is stored without padding, in memory-mapped files that all slots of a node share (a slot is the
process that runs one trial after another). The operating system decides which parts stay in memory. Before a file is
written, logits computed from it are compared with logits of the whole model. If they differ, nothing is cached.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import PreTrainedModel

from trainable.compute.device import autocast
from trainable.compute.forward import REAL_TOKENS, encoder_inputs, forward, real_tokens
from trainable.compute.kernels import kernels
from trainable.compute.memory import none_if_out_of_memory, out_of_memory, split_to_fit
from trainable.inputs.batches import padded_width
from trainable.inputs.frozen_output_check import TOLERANCE, sample_rows
from trainable.inputs.split import Inputs, Split, batches_of, with_places
from trainable.model.layers import drops_above_layers, layers_of
from trainable.model.pooled import one_token, pooling_of, reads_one_vector
from trainable.model.views import layers_between
from trainable.store.checksums import digest_of_json, is_undamaged, save_tensors
from trainable.store.files import CACHE_BYTES, longest_unused, write_file

FORMAT = 3
LARGEST_BYTES = 2 * 2**30
"""A larger output of a split is not stored."""
TOUCH_SECONDS = 3600.0
"""Shortest time between two updates of a file's modification time, which marks its last use."""


@dataclass(frozen=True)
class FrozenOutputInputs:
    """The rows of a split as the output of the frozen layers."""

    states: torch.Tensor
    """Shape (sum of widths, H), memory-mapped."""
    widths: NDArray[np.int64]
    """Stored tokens of each row, shape (N,): all of them, or one that stands for them (see `one_token`)."""
    lengths: NDArray[np.int64]
    """Tokens of each row in the input of the whole model, shape (N,); they decide the batches."""
    identity: str = ""
    places: NDArray[np.int64] | None = None
    """See `Inputs.places`."""
    name: str = "inputs_embeds"
    """The argument of the model that takes the states, see `states_name`."""

    varies = False

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Return where each row begins in `states`, shape (N,)."""
        return np.cumsum(self.widths) - self.widths

    @cached_property
    def _widest(self) -> int:
        return int(self.widths.max())

    @property
    def answers(self) -> tuple[int, ...]:
        """Return the shape of a row's answers; see `Inputs.answers`."""
        return () if self.places is None else self.places.shape[1:]

    def used_ids(self) -> None:
        """Return None: the embeddings are below the stored output."""

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> None:
        """Return None: all rows count the same."""

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return the states, shape (B, T, H), which of them are no padding, shape (B, T), and the places of words."""
        widths = self.widths[rows]
        column = np.arange(padded_width(widths, multiple, self._widest))
        real = column < widths[:, None]  # (B, T)
        # Padding may point at any state, as it is masked.
        index = np.where(real, self.starts[rows][:, None] + column, 0)
        mask = "attention_mask" if self.name == "inputs_embeds" else REAL_TOKENS
        batch = {self.name: self.states[torch.from_numpy(index)], mask: torch.from_numpy(real.astype(np.int64))}
        return batch if self.places is None else with_places(batch, self.places[rows])

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs as they are."""
        return outputs


@dataclass(frozen=True)
class FrozenOutputStore:
    """The cache folder of frozen layers' outputs, and what an output depends on.

    Args:
        folder: the cache.
        weights: fingerprint of the frozen weights.
        data: fingerprint of data set and tokenizer.
        precision: `fp32` or `bf16`.
        device: the device that computes.
    """

    folder: Path
    weights: str
    data: str
    precision: str
    device: torch.device

    def get(self, model: PreTrainedModel, split: Split, count: int) -> Split | str:
        """Return the split as the output of the lowest `count` layers, or the reason why that is not possible.

        Args:
            model: the whole model, its lowest layers frozen.
            split: the same rows as token ids.
            count: number of frozen layers, 1 to all.
        """
        lengths = split.inputs.lengths
        if lengths.sum() * model.config.hidden_size * 4 > LARGEST_BYTES:
            return f"it would take more than {LARGEST_BYTES / 2**30:.0f} GiB"
        folder = self.folder / self._key(split, pooling_of(model))
        file = folder / f"{count}.safetensors"
        if not is_undamaged(file):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{count}.lock"):
                if not is_undamaged(file):
                    tensors = none_if_out_of_memory(lambda: self._to_store(model, split.inputs, count, folder))
                    if tensors is None:
                        return "memory has no room for it"
                    for unused in longest_unused(self.folder.glob("*/*.safetensors"), CACHE_BYTES):
                        unused.unlink(missing_ok=True)
                    write_file(file, lambda into: save_tensors(tensors, into))
        stored = _load(file, lengths)
        if stored is None:
            return "with it the logits differ from those of the whole model"
        return Split(replace(stored, places=split.inputs.places, name=states_name(model)), split.labels)

    def _key(self, split: Split, pooling: str) -> str:
        facts = [FORMAT, version("torch"), version("transformers"), self.weights, self.data, self.precision]
        facts += [self.device.type, split.inputs.identity]
        facts += [] if pooling == "first" else [pooling]  # `first` is left out: older files are still found
        return digest_of_json(facts)[:32]

    def _to_store(
        self, model: PreTrainedModel, inputs: Inputs, count: int, folder: Path
    ) -> dict[str, torch.Tensor] | None:
        """Return the tensors to store: empty if the output cannot be reused, None if memory has no room."""
        try:
            states = self._compute(model, inputs, count, folder)
            return None if states is None else self._one_token_or_all(model, inputs, states, count)
        except Exception as error:  # an encoder that cannot continue from a layer's output may raise any exception
            if out_of_memory(error):
                raise
            return {}

    def _compute(self, model: PreTrainedModel, inputs: Inputs, count: int, folder: Path) -> torch.Tensor | None:
        """Return the output of layer `count`, shape (sum of lengths, H); None if memory has no room for a single row.

        The computation starts from the stored output of the highest layer below `count`, if there is one.
        """
        depths = [int(file.stem) for file in folder.glob("*.safetensors") if is_undamaged(file)]
        start = max((depth for depth in depths if depth < count), default=0)
        lower = _load(folder / f"{start}.safetensors", inputs.lengths) if start else None
        source: Inputs = replace(lower, name=states_name(model)) if lower else inputs
        part = layers_between(model, start if lower else 0, count).base_model.eval()
        caught: list[torch.Tensor] = []
        hook = layers_of(model)[count - 1].register_forward_hook(
            lambda module, given, output: caught.append(output[0] if isinstance(output, tuple) else output)
        )
        starts = np.cumsum(inputs.lengths) - inputs.lengths
        states: torch.Tensor | None = None

        def compute(rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
            """Return hidden states, shape (B, T, H), and which of their tokens are real, shape (B, T)."""
            caught.clear()
            batch = source.batch(rows)
            inputs = {name: tensor.to(self.device) for name, tensor in encoder_inputs(batch).items()}
            with torch.inference_mode(), autocast(self.precision, self.device), kernels(self.device):
                part(**inputs)
            return caught.pop().cpu(), real_tokens(batch).bool()

        try:
            for rows, part_output in split_to_fit(batches_of(inputs, self.device), inputs.lengths, compute):
                if part_output is None:
                    return None
                hidden, real = part_output
                if hidden.shape[:2] != real.shape:
                    raise ValueError(f"layers of {type(model).__name__} give states of another shape than (B, T, H)")
                if states is None:
                    states = torch.empty(int(inputs.lengths.sum()), hidden.shape[-1], dtype=hidden.dtype)
                index = np.concatenate([starts[row] + np.arange(inputs.lengths[row]) for row in rows])
                states[torch.from_numpy(index)] = hidden[real]
        finally:
            hook.remove()
        assert states is not None  # a split is never empty
        return states

    def _one_token_or_all(
        self, model: PreTrainedModel, inputs: Inputs, states: torch.Tensor, count: int
    ) -> dict[str, torch.Tensor]:
        """Return the tensors to store: one token of each row if all layers are frozen and the head needs no more.

        The mean of one token is that token, so the mean or maximum of a row's tokens can stand for them. The result
        is empty if the logits differ from those of the whole model.
        """
        lengths = inputs.lengths
        rows = sample_rows(lengths)
        upper = layers_between(model, count).eval()
        with torch.inference_mode():
            expected = forward(model.eval(), inputs.batch(rows), self.device, self.precision)
            for kept, widths in self._candidates(model, states, lengths, count):
                stored = FrozenOutputInputs(kept, widths, lengths, "", inputs.places, states_name(model))
                from_stored = forward(upper, stored.batch(rows), self.device, self.precision)
                if (from_stored - expected).abs().max() <= TOLERANCE[self.precision] * expected.abs().max():
                    return {"states": kept.contiguous()}
        return {}

    def _candidates(
        self, model: PreTrainedModel, states: torch.Tensor, lengths: NDArray[np.int64], count: int
    ) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
        """Yield the tokens that may be enough, the fewest first, with the number of tokens of each row."""
        pooling = pooling_of(model)
        if (
            reads_one_vector(model)
            and count == len(layers_of(model))
            and (pooling == "first" or not drops_above_layers(model))
        ):
            yield one_token(states, lengths, pooling), np.ones_like(lengths)
        yield states, lengths


def states_name(model: PreTrainedModel) -> str:
    """Return the argument of a model without its lowest layers that takes their output.

    An encoder of images has only the one for pixels; the view of it passes the states on to the first layer.
    """
    return "pixel_values" if model.main_input_name == "pixel_values" else "inputs_embeds"


def _load(file: Path, lengths: NDArray[np.int64]) -> FrozenOutputInputs | None:
    """Return a stored output; None if the file is empty, which means that the output cannot be reused."""
    if time.time() - file.stat().st_mtime > TOUCH_SECONDS:
        file.touch()  # the modification time marks the last use
    with safe_open(file, framework="pt") as stored:
        if "states" not in stored.keys():  # noqa: SIM118  (not a mapping)
            return None
        states = stored.get_tensor("states")
    widths = lengths if len(states) == lengths.sum() else np.ones_like(lengths)
    assert len(states) == widths.sum(), f"{file}: holds other rows"
    return FrozenOutputInputs(states, widths, lengths)
