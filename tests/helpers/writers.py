"""Tiny random models with a decoder, a tokenizer for them, and a translation that they learn in seconds."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

GERMAN = {"red": "rot", "blue": "blau", "small": "klein", "cat": "Katze", "dog": "Hund", "house": "Haus"}
COMMON = {"vocab_size": 16, "d_model": 32, "pad_token_id": 0, "eos_token_id": 1}


def translations(file: Path, rows: int, seed: int = 0) -> Path:
    """Write rows of one to three words and their translation, word by word."""
    generator, lines = np.random.default_rng(seed), []
    for _ in range(rows):
        words = [str(word) for word in generator.choice(list(GERMAN), int(generator.integers(1, 4)))]
        lines.append(json.dumps({"text": " ".join(words), "target": " ".join(GERMAN[word] for word in words)}))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _tokenizer() -> PreTrainedTokenizerFast:
    known = ["<pad>", "</s>", "<unk>", *GERMAN, *GERMAN.values()]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, model_input_names=["input_ids", "attention_mask"], model_max_length=64
    )


def save_writer(kind: str, folder: Path) -> str:
    """Write a random T5 or BART with two layers in the encoder and one in the decoder."""
    torch.manual_seed(0)
    model: T5ForConditionalGeneration | BartForConditionalGeneration
    if kind == "t5":
        sizes = {"d_kv": 16, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2}
        model = T5ForConditionalGeneration(T5Config(**COMMON, **sizes, decoder_start_token_id=0))
    else:
        sizes = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
        sizes |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "decoder_layers": 1}
        ends = {"bos_token_id": 1, "decoder_start_token_id": 1, "forced_eos_token_id": 1}
        model = BartForConditionalGeneration(BartConfig(**COMMON, **sizes, **ends, init_std=0.1))
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return str(folder)
