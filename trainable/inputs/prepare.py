"""Data sets as token ids: read, checked and tokenised once, then kept for later trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from trainable.data.read_splits import read_splits
from trainable.data.reading.read_tables import find_files
from trainable.errors import ConfigError
from trainable.inputs.embedding_check import check_embeddings
from trainable.inputs.tokenizer_check import check_tokenizer
from trainable.inputs.tokens import Piece, Ragged, Template, Tokens, tokenize
from trainable.model.encoder import check_runs
from trainable.model.limits import name_or_path
from trainable.model.pretrained import load_config, load_tokenizer
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.store.checksums import digest_of, digest_of_json
from trainable.store.files import write_file
from trainable.workspace import Workspace

_TRIED_TOKENS = 8
"""Padding length of the two rows on which an encoder is tried with the output of its tokenizer."""
_FORMAT = 1  # of the cache file; increase it when the content of the file changes


@dataclass(frozen=True)
class Encoded:
    """One split, ready for batches."""

    tokens: Tokens
    labels: NDArray[np.int64]
    """Index into the label names, shape (N,)."""


@dataclass(frozen=True)
class Prepared:
    """A data set as a trial needs it, without its texts."""

    splits: dict[str, Encoded]
    """`train`, `validation` and, if there is one, `test`."""
    label_names: tuple[str, ...]
    name: str
    fingerprint: str
    """SHA-256 (hex) over data, tokenizer and the format in which this version keeps token ids."""
    data_fingerprint: str
    """SHA-256 (hex) over texts, labels, label names and the split only."""
    tokenizer_fingerprint: str
    """SHA-256 (hex) over the parts of the tokenizer that decide a text's ids only."""
    text_columns: tuple[str, ...]
    notes: tuple[str, ...]
    """Facts about the data that are worth knowing and no error, one sentence each."""
    warnings: tuple[str, ...]
    """Problems of the data that a person should look at before a sweep, one sentence each."""


def prepare(dataset: Dataset, encoder_folder: str, roots: Sequence[Path], cache: Path | None = None) -> Prepared:
    """Read, check and tokenise a data set; a second call with unchanged files takes almost no time.

    Args:
        dataset: the settings of the data.
        encoder_folder: a folder, or a hub name, with the tokenizer.
        roots: folders in which relative file names are looked up.
        cache: folder in which token ids are kept for other processes.

    Raises:
        ConfigError: lists all mistakes in the data, or says why the tokenizer cannot be used.
    """
    files = [*find_files(dataset, roots).values(), Path(encoder_folder)]
    stamps = tuple(stamp for path in files for stamp in _stamps(path))
    return _prepare(dataset.model_dump_json(by_alias=True), encoder_folder, tuple(roots), cache, stamps)


def stage_data(config: TrialConfig, stage: Stage, workspace: Workspace) -> Prepared:
    """Return a stage's data as token ids, from the cache if they are in it.

    Raises:
        ConfigError: lists all mistakes in the data.
    """
    return prepare(config.dataset_of(stage), name_or_path(config.encoder), workspace.roots, workspace.cache / "tokens")


def subset(labels: NDArray[np.int64], rows: int | None, seed: int) -> NDArray[np.int64]:
    """Choose rows so that every class keeps its share, and a smaller choice is part of every larger one.

    One row of every class is chosen first, then rows of each class in proportion.

    Args:
        labels: class of each row, shape (N,).
        rows: number of rows to choose; None means all.
        seed: decides which rows are chosen.

    Returns:
        The chosen rows, ascending.

    Raises:
        ConfigError: if there are fewer rows.
    """
    if rows is None:
        return np.arange(len(labels))
    if rows > len(labels):
        raise ConfigError(f"train_rows: {rows} is more than the {len(labels)} training rows; lower it")
    rng = np.random.default_rng(seed)
    due = np.empty(len(labels))  # share of all rows at which each row is chosen
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        due[members] = (np.arange(len(members)) + 0.5) / len(members)
        due[members[0]] = -1
    order = np.lexsort((rng.random(len(labels)), due))
    return np.sort(order[:rows])


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of each file, to notice a change while this process runs."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.exists() else []
    return [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


@lru_cache(maxsize=8)
def _prepare(
    dataset: str, encoder_folder: str, roots: tuple[Path, ...], cache: Path | None, stamps: tuple[object, ...]
) -> Prepared:
    splits = read_splits(Dataset.model_validate_json(dataset), roots)
    tokenizer = load_tokenizer(encoder_folder)
    check_embeddings(encoder_folder, tokenizer, load_config(encoder_folder), len(splits.text_columns))
    fingerprint = hashlib.sha256((splits.fingerprint + _versioned_fingerprint(tokenizer)).encode()).hexdigest()
    tables = splits.by_name()
    file = _file(cache, fingerprint) if cache else None
    tokens = _load(file, list(tables)) if file else None
    if tokens is None:
        tokens = {split: tokenize(tokenizer, table) for split, table in tables.items()}
        first = tokens["train"]
        check_runs(encoder_folder, first.batch(np.arange(2), _TRIED_TOKENS), first.template.pad_id)
        if file:
            _save(file, tokens)
    encoded = {split: Encoded(tokens[split], table.labels) for split, table in tables.items()}
    return Prepared(
        encoded,
        splits.label_names,
        splits.name,
        fingerprint,
        splits.fingerprint,
        tokenizer_fingerprint(tokenizer),
        splits.text_columns,
        splits.notes,
        tuple(filter(None, [check_tokenizer(tokenizer, tables, tokens).warning()])),
    )


def cached_tokens(workspace: Workspace, fingerprint: str, split: str) -> Tokens | None:
    """Return the token ids of the data set with this fingerprint if the cache has them; the data files are not read."""
    tokens = _load(_file(workspace.cache / "tokens", fingerprint), [split])
    return tokens[split] if tokens else None


def _file(cache: Path, fingerprint: str) -> Path:
    return cache / f"tokens-{fingerprint}.safetensors"


def _versioned_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 (hex) over all that decides a text's ids, with the version of the library."""
    facts = [_FORMAT, tokenizers.__version__, *_state(tokenizer)]
    return digest_of_json(facts)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 (hex) over all that decides a text's ids, without the version of the library."""
    return digest_of_json(_state(tokenizer))


def _state(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """Return the parts of a tokenizer that decide a text's ids, as JSON values."""
    content = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    state = {
        key: value for key, value in content.items() if key not in ("truncation", "padding")
    }  # these two depend on the last call
    sides = [tokenizer.padding_side, tokenizer.truncation_side, tokenizer.pad_token_id, tokenizer.pad_token_type_id]
    return [sides, list(tokenizer.model_input_names), state]


def _save(file: Path, tokens: Mapping[str, Tokens]) -> None:
    """Write a cache file atomically."""
    arrays = {
        f"{split}.{i}.{part}": torch.from_numpy(array)
        for split, split_tokens in tokens.items()
        for i, ragged in enumerate(split_tokens.sequences)
        for part, array in (("ids", ragged.ids), ("offsets", ragged.offsets))
    }
    template = json.dumps(asdict(tokens["train"].template))
    head = json.dumps({"template": template, "digest": digest_of(arrays, template)})
    # A single entry, since safetensors writes several entries in any order.
    write_file(file, lambda into: save_file(arrays, into, metadata={"head": head}))


def _load(file: Path, splits: Sequence[str]) -> dict[str, Tokens] | None:
    """Return the tokens in a cache file, memory-mapped; None if the file is missing or damaged."""
    try:
        with safe_open(file, framework="pt") as stored:
            head = json.loads((stored.metadata() or {}).get("head", "{}"))
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError):
        return None
    if head.get("digest") != digest_of(arrays, head.get("template", "")):
        return None
    fields = json.loads(head["template"])
    template = Template(**fields | {"pieces": tuple(Piece(**piece) for piece in fields["pieces"])})
    sequences = 1 + any(piece.sequence for piece in template.pieces)
    tokens = {}
    for split in splits:
        ragged = [
            Ragged(*(arrays[f"{split}.{i}.{part}"].numpy() for part in ("ids", "offsets"))) for i in range(sequences)
        ]
        tokens[split] = Tokens(tuple(ragged), template)
    return tokens
