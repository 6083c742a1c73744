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

from trainable.compute.forward import encoder_inputs
from trainable.data.examples import Examples
from trainable.data.reading.read_tables import find_files
from trainable.inputs.choices import ChoiceTokens, tokenize_choices
from trainable.inputs.embedding_check import check_embeddings
from trainable.inputs.targets import Targets, check_decoder, first_targets, from_left
from trainable.inputs.tokenizer_check import check_tokenizer
from trainable.inputs.tokens import Piece, Ragged, Template, Tokens, tokenize
from trainable.inputs.tokens_apart import encoded_apart
from trainable.inputs.windows import ContextTokens, tokenize_contexts
from trainable.inputs.words import WordTokens, with_words
from trainable.model.encoder import check_runs
from trainable.model.limits import name_or_path
from trainable.model.pooling import BI_ENCODER, for_texts, head_kind, with_pooling
from trainable.model.pretrained import load_config, load_tokenizer
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.store.checksums import digest_of, digest_of_json
from trainable.store.files import write_file
from trainable.tasks.registry import TASKS, read_splits
from trainable.tasks.task import Reads
from trainable.workspace import Workspace

_TEST_BATCH_TOKENS = 8
"""Padding length of the two-row batch with which we test that the encoder accepts its tokenizer's output."""
_FORMAT = 1  # of the cache file; increase it when the content of the file changes


@dataclass(frozen=True)
class TokenizedSplit:
    """One split, ready for batches."""

    tokens: Tokens
    labels: NDArray[Any]
    """What the model learns, shape (N, ...); of a classification the index into the label names."""
    strata: NDArray[np.int64]
    """What parts of the rows keep in proportion, such as the class, shape (N,)."""
    groups: NDArray[np.int64] | None = None
    """Number of each row's group, the same in all splits, shape (N,); None if rows have none."""
    targets: Targets | None = None
    """The target texts of a task that generates texts."""


@dataclass(frozen=True)
class TokenizedDataset:
    """A data set as token ids and labels, without its texts."""

    task: str
    splits: dict[str, TokenizedSplit]
    """`train`, `validation` and, if there is one, `test`."""
    label_names: tuple[str, ...]
    name: str
    fingerprint: str
    """SHA-256 (hex) of the data, the tokenizer and the format of the cached token ids."""
    data_fingerprint: str
    """SHA-256 (hex) of texts, labels, label names and splits; the tokenizer has no effect on it."""
    tokenizer_fingerprint: str
    """SHA-256 (hex) of the parts of the tokenizer that decide the ids of a text."""
    text_columns: tuple[str, ...]
    notes: tuple[str, ...]
    """Facts about the data that are worth knowing and are no errors, one sentence each."""
    warnings: tuple[str, ...]
    """Problems of the data that a person should look at before a sweep, one sentence each."""
    cuts_validation: bool = False
    """Whether the validation rows were taken from the training table here."""


def prepare(
    dataset: Dataset,
    encoder_folder: str,
    data_folders: Sequence[Path],
    cache: Path | None = None,
    pooling: str = "first",
) -> TokenizedDataset:
    """Read, check and tokenise a data set; a second call with unchanged files takes almost no time.

    Args:
        dataset: the settings of the data.
        encoder_folder: a folder, or a hub name, with the tokenizer.
        data_folders: folders in which relative file names are looked up.
        cache: folder in which token ids are kept for other processes.
        pooling: the setting, without `auto`; the encoder with this head must accept the tokens. For `bi_encoder` the
            texts of a pair are encoded apart.

    Raises:
        ConfigError: lists all mistakes in the data, or says why the tokenizer cannot be used.
    """
    files = [*find_files(dataset, data_folders).values(), Path(encoder_folder)]
    file_versions = tuple(version for path in files for version in _file_versions(path))
    settings = dataset.model_dump_json(by_alias=True)
    return _prepare(settings, encoder_folder, tuple(data_folders), cache, file_versions, pooling)


def tokenized_dataset_of(config: TrialConfig, stage: Stage, workspace: Workspace) -> TokenizedDataset:
    """Return a stage's data as token ids, from the cache if they are in it.

    Raises:
        ConfigError: lists all mistakes in the data.
    """
    encoder, pooling = name_or_path(config.encoder), with_pooling(config).pooling
    return prepare(config.dataset_of(stage), encoder, workspace.roots, workspace.cache / "tokens", pooling)


def _file_versions(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of each file, to notice a change while this process runs."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.exists() else []
    return [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


@lru_cache(maxsize=8)
def _prepare(
    dataset: str,
    encoder_folder: str,
    data_folders: tuple[Path, ...],
    cache: Path | None,
    file_versions: tuple[object, ...],
    pooling: str,
) -> TokenizedDataset:
    settings = Dataset.model_validate_json(dataset)
    splits = read_splits(settings, data_folders)
    tokenizer = load_tokenizer(encoder_folder)
    check_embeddings(encoder_folder, tokenizer, load_config(encoder_folder), min(2, len(splits.text_columns)))
    fingerprint = hashlib.sha256((splits.fingerprint + _versioned_fingerprint(tokenizer)).encode()).hexdigest()
    tables = splits.by_name()
    file = _file(cache, fingerprint) if cache else None
    stored = _load(file, list(tables)) if file else None
    reads = TASKS[settings.task].head(splits.label_names).reads
    if reads == "decoder":
        check_decoder(encoder_folder, tokenizer, load_config(encoder_folder))
    joint = stored or {split: _tokenized(tokenizer, table, reads) for split, table in tables.items()}
    tokens = joint
    if head_kind(reads, pooling) == BI_ENCODER:
        tokens = {split: encoded_apart(joint[split], tokenizer, table) for split, table in tables.items()}
    if stored is None:
        first = tokens["train"]
        kind = head_kind(reads, for_texts(pooling, len(splits.text_columns)))
        batch = encoder_inputs(first.batch(np.arange(2), _TEST_BATCH_TOKENS))
        check_runs(encoder_folder, batch, first.template.pad_id, kind)
        if file:
            _save(file, joint)
    targets = _targets(encoder_folder, tokenizer, tables, cache, fingerprint) if reads == "decoder" else {}
    tokenized_splits = {
        split: TokenizedSplit(tokens[split], table.labels, table.strata, table.groups, targets.get(split))
        for split, table in tables.items()
    }
    return TokenizedDataset(
        settings.task,
        tokenized_splits,
        splits.label_names,
        splits.name,
        fingerprint,
        splits.fingerprint,
        tokenizer_fingerprint(tokenizer),
        splits.text_columns,
        splits.notes,
        tuple(filter(None, [check_tokenizer(tokenizer, tables, tokens).warning()])),
        splits.cuts_validation,
    )


def _tokenized(tokenizer: PreTrainedTokenizerBase, table: Examples, reads: Reads) -> Tokens:
    """Tokenise a table as the head of its task needs it."""
    if reads == "choices":
        return tokenize_choices(tokenizer, table)
    if reads == "spans":
        return tokenize_contexts(tokenizer, table)
    tokens = tokenize(tokenizer, table)
    return with_words(tokens, tokenizer, table) if reads == "every_token" else tokens


def _targets(
    encoder: str,
    tokenizer: PreTrainedTokenizerBase,
    tables: Mapping[str, Examples],
    cache: Path | None,
    fingerprint: str,
) -> dict[str, Targets]:
    """Return the target texts of each split, as token ids; they have a cache file of their own."""
    file = _file(cache, hashlib.sha256(f"{fingerprint} targets".encode()).hexdigest()) if cache else None
    tokens = _load(file, list(tables)) if file else None
    if tokens is None:
        tokens = {split: tokenize(tokenizer, first_targets(table)) for split, table in tables.items()}
        if file:
            _save(file, tokens)
    return {split: Targets(from_left(each), encoder) for split, each in tokens.items()}


def cached_tokens(workspace: Workspace, fingerprint: str, split: str) -> Tokens | None:
    """Return the token ids of the data set with this fingerprint if the cache has them; the data files are not read."""
    tokens = _load(_file(workspace.cache / "tokens", fingerprint), [split])
    return tokens[split] if tokens else None


def _file(cache: Path, fingerprint: str) -> Path:
    return cache / f"tokens-{fingerprint}.safetensors"


def _versioned_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 (hex) of everything that decides the ids of a text, with the version of the library."""
    facts = [_FORMAT, tokenizers.__version__, *_tokenizer_content(tokenizer)]
    return digest_of_json(facts)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 (hex) of everything that decides the ids of a text, without the version of the library."""
    return digest_of_json(_tokenizer_content(tokenizer))


def _tokenizer_content(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
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


def _load(file: Path, splits: Sequence[str]) -> dict[str, Tokens] | None:
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
