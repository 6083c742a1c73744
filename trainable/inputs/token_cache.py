"""The token ids of data sets in files, so that other processes and later sweeps need not tokenise again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainable.inputs.choices import ChoiceTokens
from trainable.inputs.ragged import Ragged
from trainable.inputs.tokens import Piece, Template, Tokens
from trainable.inputs.windows import ContextTokens
from trainable.inputs.words import WordTokens
from trainable.store.checksums import digest_of
from trainable.store.files import write_file
from trainable.workspace import Workspace


def cached_tokens(workspace: Workspace, fingerprint: str, split: str) -> Tokens | None:
    """Return the token ids of the data set with this fingerprint if the cache has them; the data files are not read."""
    tokens = load_tokens(tokens_file(workspace.cache / "tokens", fingerprint), [split])
    return tokens[split] if tokens else None


def tokens_file(cache: Path, fingerprint: str) -> Path:
    """Return the file for the data set with this fingerprint."""
    return cache / f"tokens-{fingerprint}.safetensors"


def save_tokens(file: Path, tokens: Mapping[str, Tokens]) -> None:
    """Write a cache file atomically."""
    arrays = {
        f"{split}.{i}.{part}": torch.from_numpy(array)
        for split, split_tokens in tokens.items()
        for i, ragged in enumerate(split_tokens.sequences)
        for part, array in (("ids", ragged.ids), ("offsets", ragged.offsets))
    }
    for split, split_tokens in tokens.items():
        if isinstance(split_tokens, WordTokens):
            arrays[f"{split}.words"] = torch.from_numpy(split_tokens.first)
        if isinstance(split_tokens, ChoiceTokens):
            arrays[f"{split}.choices"] = torch.from_numpy(split_tokens.ends)
        if isinstance(split_tokens, ContextTokens):
            arrays[f"{split}.characters"] = torch.from_numpy(split_tokens.characters)
    template = json.dumps(asdict(tokens["train"].template))
    metadata = json.dumps({"template": template, "digest": digest_of(arrays, template)})
    # A single entry, because safetensors writes several entries in any order.
    write_file(file, lambda into: save_file(arrays, into, metadata={"head": metadata}))


def load_tokens(file: Path, splits: Sequence[str]) -> dict[str, Tokens] | None:
    """Return the tokens in a cache file, memory-mapped; None if the file is missing or damaged."""
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get("head", "{}"))
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError):
        return None
    if metadata.get("digest") != digest_of(arrays, metadata.get("template", "")):
        return None
    fields = json.loads(metadata["template"])
    template = Template(**fields | {"pieces": tuple(Piece(**piece) for piece in fields["pieces"])})
    sequences = 1 + any(piece.sequence for piece in template.pieces)
    tokens: dict[str, Tokens] = {}
    for split in splits:
        ragged = [
            Ragged(*(arrays[f"{split}.{i}.{part}"].numpy() for part in ("ids", "offsets"))) for i in range(sequences)
        ]
        tokens[split] = _with_parts(Tokens(tuple(ragged), template), split, arrays)
    return tokens


def _with_parts(tokens: Tokens, split: str, arrays: Mapping[str, torch.Tensor]) -> Tokens:
    """Return the tokens of a split as tokens of words, choices or contexts if the file has them."""
    parts = tokens.sequences, tokens.template
    if (words := arrays.get(f"{split}.words")) is not None:
        return WordTokens(*parts, words.numpy())
    if (choices := arrays.get(f"{split}.choices")) is not None:
        return ChoiceTokens(*parts, choices.numpy())
    if (characters := arrays.get(f"{split}.characters")) is not None:
        return ContextTokens(*parts, characters.numpy())
    return tokens
