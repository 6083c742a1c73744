"""BERT encoders with random weights, made on this machine: they take as long as trained ones of the same size."""

from importlib.resources import files
from pathlib import Path

from common import ENCODER

SIZES = {
    "base": {},  # BERT-base: 12 layers, 110 million weights
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
}
"""What differs from BERT-base, by size."""
CHOICES = ("minilm", *SIZES)


def encoder_of_size(size: str, folder: Path) -> str:
    """Return the encoder setting of a size; one with random weights is written into the folder first.

    Its tokenizer is MiniLM's, which has BERT's vocabulary.
    """
    if size == "minilm":
        return ENCODER
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(files(ENCODER.removeprefix("package:")) / "model")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), **SIZES[size])).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder.absolute())
