"""Data sets as token ids or pixels: read, checked and tokenised or decoded once, then kept for later trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainable.compute.forward import encoder_inputs
from trainable.data.examples import Examples
from trainable.data.read_splits import Splits
from trainable.data.reading.read_tables import find_files
from trainable.errors import ConfigError
from trainable.inputs.choices import tokenize_choices
from trainable.inputs.decode import pixels_of
from trainable.inputs.embedding_check import check_embeddings
from trainable.inputs.split import Split, StoredRows
from trainable.inputs.targets import TargetInputs, Targets, check_decoder, first_targets, from_left
from trainable.inputs.token_cache import load_tokens, save_tokens, tokens_file
from trainable.inputs.tokenizer_check import check_tokenizer
from trainable.inputs.tokens import Tokens, tokenize
from trainable.inputs.tokens_apart import encoded_apart
from trainable.inputs.windows import tokenize_contexts
from trainable.inputs.word_windows import with_windows
from trainable.inputs.words import with_words
from trainable.model.encoder import check_runs
from trainable.model.image_processor import image_processor
from trainable.model.limits import name_or_path
from trainable.model.pooling import BI_ENCODER, for_texts, head_kind, with_pooling
from trainable.model.pretrained import load_config, load_tokenizer, reads_images
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Stage
from trainable.store.checksums import digest_of_json
from trainable.tasks.registry import TASKS, read_splits
from trainable.tasks.task import Reads
from trainable.workspace import Workspace

_TEST_BATCH_TOKENS = 8
"""Padding length of the two-row batch with which we test that the encoder accepts its tokenizer's output."""
_FORMAT = 1  # of the cache file; increase it when the content of the file changes


@dataclass(frozen=True)
class TokenizedSplit:
    """One split, ready for batches."""

    tokens: StoredRows
    """Token ids, or pixels."""
    labels: NDArray[Any]
    """What the model learns, shape (N, ...); of a classification the index into the label names."""
    strata: NDArray[np.int64]
    """What parts of the rows keep in proportion, such as the class, shape (N,)."""
    groups: NDArray[np.int64] | None = None
    """Number of each row's group, the same in all splits, shape (N,); None if rows have none."""
    targets: Targets | None = None
    """The target texts of a task that generates texts."""

    def for_stage(self, stage: Stage, rows: NDArray[np.int64] | None = None) -> Split:
        """Return the split, or some rows of it, as the input of a stage."""
        rows = np.arange(len(self.labels)) if rows is None else rows
        labels, stored = self.labels[rows], with_windows(self.tokens, stage.long_texts)
        inputs = stored.inputs(rows, stage)
        if self.targets is not None:
            inputs = TargetInputs(inputs, self.targets, rows, stage.longest_target, labels)
        return Split(inputs, labels)


@dataclass(frozen=True)
class TokenizedDataset:
    """A data set as token ids or pixels, and labels, without its texts or files."""

    task: str
    splits: dict[str, TokenizedSplit]
    """`train`, `validation` and, if there is one, `test`."""
    label_names: tuple[str, ...]
    name: str
    fingerprint: str
    """SHA-256 (hex) of the data, the tokenizer or image processor, and the format of the cache."""
    data_fingerprint: str
    """SHA-256 (hex) of texts, labels, label names and splits; the tokenizer has no effect on it."""
    tokenizer_fingerprint: str
    """SHA-256 (hex) of the parts of the tokenizer, or of the image processor, that decide the ids or the pixels."""
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
    image_size: int | None = None,
) -> TokenizedDataset:
    """Read, check and tokenise or decode a data set; a second call with unchanged files takes almost no time.

    Args:
        dataset: the settings of the data.
        encoder_folder: a folder, or a hub name, with the tokenizer.
        data_folders: folders in which relative file names are looked up.
        cache: folder in which token ids are kept for other processes.
        pooling: the setting, without `auto`; the encoder with this head must accept the tokens. For `bi_encoder` the
            texts of a pair are encoded apart.
        image_size: the setting of a stage; only for images.

    Raises:
        ConfigError: lists all mistakes in the data, or says why the tokenizer cannot be used.
    """
    files = [*find_files(dataset, data_folders).values(), Path(encoder_folder)]
    file_versions = tuple(version for path in files for version in _file_versions(path))
    settings = dataset.model_dump_json(by_alias=True)
    if dataset.has_images:
        return _prepare_images(settings, encoder_folder, tuple(data_folders), cache, file_versions, image_size)
    return _prepare(settings, encoder_folder, tuple(data_folders), cache, file_versions, pooling)


def tokenized_dataset_of(config: TrialConfig, stage: Stage, workspace: Workspace) -> TokenizedDataset:
    """Return a stage's data as token ids or pixels, from the cache if they are in it.

    Raises:
        ConfigError: lists all mistakes in the data.
    """
    encoder, pooling = name_or_path(config.encoder), with_pooling(config).pooling
    dataset, cache = config.dataset_of(stage), workspace.cache / "tokens"
    return prepare(dataset, encoder, workspace.roots, cache, pooling, stage.image_size)


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
    tokenizer = _tokenizer_of(encoder_folder)
    check_embeddings(encoder_folder, tokenizer, load_config(encoder_folder), min(2, len(splits.text_columns)))
    fingerprint = hashlib.sha256((splits.fingerprint + _versioned_fingerprint(tokenizer)).encode()).hexdigest()
    tables = splits.by_name()
    file = tokens_file(cache, fingerprint) if cache else None
    stored = load_tokens(file, list(tables)) if file else None
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
            save_tokens(file, joint)
    targets = _targets(encoder_folder, tokenizer, tables, cache, fingerprint) if reads == "decoder" else {}
    warning = check_tokenizer(tokenizer, tables, tokens).warning()
    return _dataset(settings, splits, tokens, (fingerprint, tokenizer_fingerprint(tokenizer)), warning, targets)


@lru_cache(maxsize=8)
def _prepare_images(
    dataset: str,
    encoder_folder: str,
    data_folders: tuple[Path, ...],
    cache: Path | None,
    file_versions: tuple[object, ...],
    image_size: int | None,
) -> TokenizedDataset:
    settings = Dataset.model_validate_json(dataset)
    splits = read_splits(settings, data_folders)
    fingerprint = image_processor(encoder_folder, None).fingerprint  # of no particular size, as that of a tokenizer
    pixels = pixels_of(splits.by_name(), image_processor(encoder_folder, image_size), encoder_folder, cache)
    whole = hashlib.sha256((splits.fingerprint + fingerprint).encode()).hexdigest()
    return _dataset(settings, splits, pixels, (whole, fingerprint))


def _dataset(
    settings: Dataset,
    splits: Splits,
    rows: Mapping[str, StoredRows],
    fingerprints: tuple[str, str],
    warning: str | None = None,
    targets: Mapping[str, Targets] | None = None,
) -> TokenizedDataset:
    """Join the rows of each split with their labels.

    Args:
        settings: of the data set.
        splits: as they were read.
        rows: of each split, as token ids or pixels.
        fingerprints: of the data with the tokenizer or image processor, and of the latter alone.
        warning: what a person should look at, if anything.
        targets: the target texts of each split, of a task that generates texts.
    """
    tokenized = {
        split: TokenizedSplit(rows[split], table.labels, table.strata, table.groups, (targets or {}).get(split))
        for split, table in splits.by_name().items()
    }
    return TokenizedDataset(
        settings.task,
        tokenized,
        splits.label_names,
        splits.name,
        fingerprints[0],
        splits.fingerprint,
        fingerprints[1],
        splits.text_columns,
        splits.notes,
        (warning,) if warning else (),
        splits.cuts_validation,
    )


def _tokenizer_of(encoder: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of an encoder of texts.

    Raises:
        ConfigError: if it has none.
    """
    try:
        return load_tokenizer(encoder)
    except ConfigError:
        if reads_images(config := load_config(encoder, f"encoder: no tokenizer can be loaded from {encoder!r}")):
            raise ConfigError(
                f"encoder: {encoder!r} ({config.model_type}) reads images, and the data set has texts"
            ) from None
        raise


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
    file = tokens_file(cache, hashlib.sha256(f"{fingerprint} targets".encode()).hexdigest()) if cache else None
    tokens = load_tokens(file, list(tables)) if file else None
    if tokens is None:
        tokens = {split: tokenize(tokenizer, first_targets(table)) for split, table in tables.items()}
        if file:
            save_tokens(file, tokens)
    return {split: Targets(from_left(each), encoder) for split, each in tokens.items()}


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
