"""How a folder of each format is written, checked and read: one module for each format, imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from search.export.facts import FolderFacts
    from search.export.formats.about import Format
    from trainable.data.examples import Examples
    from trainable.inputs.split import Inputs

LogitsOf = Callable[["Inputs"], "torch.Tensor"]
"""Returns the logits of all rows in order, on the CPU, shape (N, C)."""


class FolderFormat(Protocol):
    """What the module of a format has."""

    def save(self, model: PreTrainedModel, preprocessor: Any, folder: Path) -> None:
        """Write weights, configuration, and tokenizer or image processor.

        Raises:
            TrialError: if the format cannot hold this model.
        """

    def logits_of_texts(self, folder: Path, table: Examples) -> torch.Tensor:
        """Return the logits that a folder gives for texts or images, as its users get them, shape (N, C).

        Of a model that generates texts, these are the token ids, shape (N, T).
        """

    def load(self, folder: Path, facts: FolderFacts) -> LogitsOf:
        """Load a folder that may be damaged.

        Raises:
            ConfigError: if it is.
        """


def folder_format(name: Format) -> FolderFormat:
    """Return the module of a format."""
    if name == "onnx":
        from search.export.formats import onnx_folder

        return onnx_folder
    if name == "sentence-transformers":
        from search.export.formats import sentence_folder

        return sentence_folder
    if name == "bi-encoder":
        from search.export.formats import bi_encoder_folder

        return bi_encoder_folder
    if name == "seq2seq":
        from search.export.formats import seq2seq_folder

        return seq2seq_folder
    from search.export.formats import hf_folder

    return hf_folder
