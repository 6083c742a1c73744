"""The format `bi-encoder`: an encoder for sentence-transformers, and beside it the head that compares two vectors.

`SentenceTransformer` loads the folder and gives the vector of each text. The head is a weight and a bias in
head.safetensors; it reads u, v, |u - v| and u * v.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from search.export.formats.sentence_folder import load_with_head, save_modules
from trainable.data.examples import Examples
from trainable.errors import TrialError
from trainable.model.pooled import BiEncoderClassifier

HEAD_FILE = "head.safetensors"


def save(model: PreTrainedModel, preprocessor: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write encoder and pooling, the head, the label names in config.json, and the tokenizer.

    Raises:
        TrialError: if the model does not encode the texts of a pair apart.
    """
    if not isinstance(model, BiEncoderClassifier):
        raise TrialError("this format is for models that encode the texts of a pair apart; nothing was exported")
    save_modules(model, preprocessor, folder)
    save_file({name: tensor.contiguous() for name, tensor in model.head.state_dict().items()}, folder / HEAD_FILE)


def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the logits of pairs from what `SentenceTransformer.encode` gives for their texts, shape (N, C)."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert table.text_b is not None  # only a model of pairs has this format
    u, v = (
        model.encode(texts, convert_to_tensor=True, show_progress_bar=False) for texts in (table.text, table.text_b)
    )
    head = load_file(folder / HEAD_FILE)
    logits: torch.Tensor = torch.cat([u, v, (u - v).abs(), u * v], dim=1) @ head["weight"].T + head["bias"]
    return logits


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Load the encoder and the head of a folder.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    return load_with_head(folder, facts, HEAD_FILE)
