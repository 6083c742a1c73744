"""The proof that an exported folder is the checkpoint's model: the same logits, from texts as users give them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainable.data.examples import Examples
from trainable.data.read_splits import read_splits
from trainable.errors import ConfigError, TrialError
from trainable.inputs.prepare import Encoded, cached_tokens, stage_data, tokenizer_fingerprint
from trainable.inputs.split import Inputs
from trainable.inputs.token_inputs import token_inputs
from trainable.inputs.tokens import Tokens, tokenize
from trainable.loop.evaluate import compute_logits
from trainable.model.limits import name_or_path
from trainable.model.pretrained import load_classifier, load_tokenizer
from trainable.settings.config import TrialConfig
from trainable.stages.trained_on import StageData
from trainable.workspace import Workspace

TOLERANCE = 1e-4
"""Largest difference of a logit between checkpoint and export that can come from rounding."""
PROOF_ROWS = 256
"""Most rows that are compared. They are spread evenly over all lengths, from the shortest to the longest."""
_BATCH = 32
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Proof:
    """How the exported folder compares with the checkpoint."""

    rows: int
    """Number of rows that both models were given."""
    what: str
    """Which rows they are, in words."""
    max_difference: float
    """Largest absolute difference of a logit."""


@dataclass(frozen=True)
class ProofRows:
    """Rows as the trial reads them and as texts."""

    inputs: Inputs
    table: Examples
    what: str


def proof_rows(config: TrialConfig, trained: StageData, workspace: Workspace) -> ProofRows:
    """Rows on which to prove a model: its validation split, or the best substitute if that has changed or is gone.

    Args:
        config: of the trial.
        trained: the target's data when the trial was trained.
        workspace: where data and cached token ids are.

    Raises:
        ConfigError: if the tokenizer is not the one of the training, or if there are no rows at all.
    """
    tokenizer = load_tokenizer(name_or_path(config.encoder))
    if tokenizer_fingerprint(tokenizer) != trained.tokenizer:
        encoder = f"encoder: {config.encoder!r}"
        raise ConfigError(f"{encoder}: its tokenizer has changed since the trial was trained; put back what was there")
    kept = cached_tokens(workspace, trained.fingerprint, "validation")
    try:
        splits = read_splits(config.dataset_of(config.target), workspace.roots)
    except ConfigError:
        if kept is None:
            raise
        return _rows_of_tokens(config, kept, tokenizer, "cannot be read any more")
    if splits.fingerprint == trained.data:
        return _rows_of_today(config, splits.validation, workspace, "validation rows")
    if kept is not None:
        return _rows_of_tokens(config, kept, tokenizer, "have changed")
    what = "validation rows of today's data, which are not those that it was trained on"
    return _rows_of_today(config, splits.validation, workspace, what)


def _rows_of_today(config: TrialConfig, validation: Examples, workspace: Workspace, what: str) -> ProofRows:
    encoded = stage_data(config, config.target, workspace).splits["validation"]
    chosen = _of_all_lengths(token_inputs(encoded, config.target).inputs.lengths)
    return ProofRows(token_inputs(encoded, config.target, chosen).inputs, validation.take(chosen), what)


def _rows_of_tokens(config: TrialConfig, kept: Tokens, tokenizer: PreTrainedTokenizerBase, why: str) -> ProofRows:
    """Texts decoded from token ids in the cache; their blanks and rare characters may differ from the data's."""
    chosen = _of_all_lengths(kept.lengths(config.target.padding_length))
    columns = [
        [str(tokenizer.decode(ragged.ids[ragged.offsets[row] : ragged.offsets[row + 1]].tolist())) for row in chosen]
        for ragged in kept.sequences
    ]
    table = Examples(columns[0], columns[1] if len(columns) > 1 else None, np.zeros(len(chosen), dtype=np.int64))
    inputs = token_inputs(Encoded(tokenize(tokenizer, table), table.labels), config.target).inputs
    what = f"rows put together from the tokens of its validation split, as the data files {why}"
    return ProofRows(inputs, table, what)


def prove(folder: Path, model: PreTrainedModel, rows: ProofRows) -> Proof:
    """Load an exported folder and compare its logits, from texts, with those of the trained model.

    Both in float32 on the CPU. The export tokenises with its own tokenizer, the model gets the trial's tokens.

    Raises:
        TrialError: if a logit differs by more than `TOLERANCE`.
    """
    expected, found = compute_logits(model, rows.inputs, _CPU), _logits(folder, rows.table)
    difference, count = float((found - expected).abs().max()), len(rows.table)
    if not difference <= TOLERANCE:  # also true for NaN
        raise TrialError(
            f"the exported model is not the checkpoint's: a logit differs by {difference:.2g} on {count} {rows.what}, "
            f"more than {TOLERANCE:g}; nothing was exported"
        )
    return Proof(count, rows.what, difference)


@torch.inference_mode()
def _logits(folder: Path, table: Examples) -> torch.Tensor:
    """Logits of texts by the folder alone, as any user of transformers would get them, shape (N, C)."""
    tokenizer, (model, _) = load_tokenizer(str(folder)), load_classifier(str(folder), f"{folder}: the exported model")
    model.eval()
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    parts = []
    for start in range(0, len(table), _BATCH):
        texts = [column[start : start + _BATCH] for column in columns]
        parts.append(model(**tokenizer(*texts, truncation=True, padding=True, return_tensors="pt")).logits)
    return torch.cat(parts).float()


def _of_all_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(lengths, kind="stable")
    places = np.linspace(0, len(order) - 1, min(PROOF_ROWS, len(order))).round().astype(np.int64)
    return np.sort(order[places])
