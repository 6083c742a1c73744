"""Checks that the exported folder gives the same logits as the checkpoint on sample texts."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.formats.about import Format
from search.export.formats.folders import folder_format
from search.export.smaller.change import Changed
from search.export.texts_in import logits_of_rows
from trainable.answers.answer import Answers
from trainable.answers.registry import ANSWERS
from trainable.data.examples import Examples
from trainable.errors import ConfigError, TrialError
from trainable.inputs.prepare import TokenizedSplit, tokenized_dataset_of, tokenizer_fingerprint
from trainable.inputs.span_inputs import stage_inputs
from trainable.inputs.split import Inputs
from trainable.inputs.token_cache import cached_tokens
from trainable.inputs.tokens import Tokens
from trainable.inputs.tokens_apart import tokenize_for
from trainable.loop.evaluate import compute_logits
from trainable.model.limits import name_or_path
from trainable.model.pretrained import load_tokenizer
from trainable.settings.config import TrialConfig
from trainable.stages.trained_on import StageData
from trainable.tasks.registry import read_splits
from trainable.workspace import Workspace

TOLERANCE = 1e-4
"""Largest difference of an output of size 1 between checkpoint and export that can come from rounding."""
MAX_ROWS = 256
"""Most rows that are compared. They are spread evenly over all lengths, from the shortest to the longest."""
_CPU = torch.device("cpu")
_CHANGED = "validation rows of the current data, which differ from the data of the training"


@dataclass(frozen=True)
class Verification:
    """The comparison of the exported folder with the checkpoint."""

    rows: int
    """Number of rows that both models were given."""
    description: str
    """Description of the rows, for the user."""
    max_difference: float
    """Largest absolute difference of an output."""
    allowed: float = TOLERANCE
    """Largest difference that can come from rounding."""
    changes: tuple[Changed, ...] = ()
    """What made the model smaller after this comparison, in order."""


@dataclass(frozen=True)
class SampleRows:
    """Rows on which the two models are compared: as token ids or pixels for the checkpoint, as given for the export."""

    inputs: Inputs
    table: Examples
    description: str


def sample_rows(config: TrialConfig, trained: StageData, workspace: Workspace) -> SampleRows:
    """Choose the rows to compare: of the validation split, or the best substitute if it has changed or is gone.

    Args:
        config: of the trial.
        trained: the target's data when the trial was trained.
        workspace: where data and cached token ids are.

    Raises:
        ConfigError: if the tokenizer is not the one that was used in training, or if there are no rows.
    """
    if config.dataset_of(config.target).has_images:
        return _sample_images(config, trained, workspace)
    tokenizer = load_tokenizer(name_or_path(config.encoder))
    if tokenizer_fingerprint(tokenizer) != trained.tokenizer:
        encoder = f"encoder: {config.encoder!r}"
        way_out = "restore the tokenizer that was used in training"
        raise ConfigError(f"{encoder}: its tokenizer has changed since the trial was trained; {way_out}")
    tokens = cached_tokens(workspace, trained.fingerprint, "validation")
    try:
        splits = read_splits(config.dataset_of(config.target), workspace.roots)
    except ConfigError:
        if tokens is None:
            raise
        return _rows_of_tokens(config, tokens, tokenizer, "cannot be read any more")
    if splits.fingerprint == trained.data:
        return _rows_of_current_data(config, splits.validation, workspace, "validation rows")
    if tokens is not None:
        return _rows_of_tokens(config, tokens, tokenizer, "have changed")
    return _rows_of_current_data(config, splits.validation, workspace, _CHANGED)


def _sample_images(config: TrialConfig, trained: StageData, workspace: Workspace) -> SampleRows:
    """Choose the images to compare; pixels in the cache cannot stand for them, as the export resizes the files itself.

    Raises:
        ConfigError: if the image processor is not the one that was used in training, or the data cannot be read.
    """
    prepared = tokenized_dataset_of(config, config.target, workspace)
    if prepared.tokenizer_fingerprint != trained.tokenizer:
        way_out = "restore the image processor that was used in training"
        raise ConfigError(f"encoder: {config.encoder!r}: its image processor has changed since the trial; {way_out}")
    validation = read_splits(config.dataset_of(config.target), workspace.roots).validation
    description = "validation rows" if prepared.data_fingerprint == trained.data else _CHANGED
    return _rows_of_current_data(config, validation, workspace, description)


def _rows_of_current_data(
    config: TrialConfig, validation: Examples, workspace: Workspace, description: str
) -> SampleRows:
    tokenized = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    stage = config.target.model_copy(update={"long_texts": "cut"})  # other tools read no windows as they are here
    chosen = _spread_over_lengths(stage_inputs(tokenized, stage).inputs.lengths)
    split = stage_inputs(tokenized, stage, chosen)
    return SampleRows(split.inputs, validation.take(chosen), description)


def _rows_of_tokens(config: TrialConfig, tokens: Tokens, tokenizer: PreTrainedTokenizerBase, why: str) -> SampleRows:
    """Decode texts from cached token ids; their blanks and rare characters may differ from those of the data.

    Raises:
        ConfigError: if the model answers for words or choices, which the ids do not tell apart.
    """
    kind = ANSWERS[config.dataset_of(config.target).task]
    if kind.head or kind.lists_choices:
        raise ConfigError(f"the data files {why}; restore them: this export is verified on their words or choices")
    chosen = _spread_over_lengths(tokens.lengths(config.target.padding_length))
    columns = [
        [str(tokenizer.decode(ragged.ids[ragged.offsets[row] : ragged.offsets[row + 1]].tolist())) for row in chosen]
        for ragged in tokens.sequences
    ]
    table = Examples(columns[0], columns[1] if len(columns) > 1 else None, np.zeros(len(chosen), dtype=np.int64))
    made = tokenize_for(config.pooling, tokenizer, table)
    inputs = stage_inputs(TokenizedSplit(made, table.labels, table.strata), config.target).inputs
    description = f"validation texts decoded from cached token ids, because the data files {why}"
    return SampleRows(inputs, table, description)


def verify_export(
    folder: Path, format: Format, model: PreTrainedModel, rows: SampleRows, answers: Answers
) -> Verification:
    """Load an exported folder as its users do, and compare its logits from texts with those of the trained model.

    Both run in float32 on the CPU. The export uses its own tokenizer; the model gets the token ids of the trial.

    Args:
        folder: the exported folder.
        format: its format.
        model: the model of the checkpoint.
        rows: the rows to compare.
        answers: what the outputs mean.

    Raises:
        TrialError: if an output differs by more than rounding explains.
    """
    if answers.outputs == "texts":
        from search.export.formats.seq2seq_folder import ids_of_rows

        expected = ids_of_rows(model, rows.inputs)
    else:
        expected = compute_logits(model, rows.inputs, _CPU)
    found = logits_of_rows(answers, partial(folder_format(format).logits_of_texts, folder), rows.table)
    unit = answers.unit(expected.numpy())
    expected, found = (torch.from_numpy(answers.compared(each.numpy())) for each in (expected, found))
    return compared(expected, found, rows.description, unit, answers.outputs)


def compared(
    expected: torch.Tensor, found: torch.Tensor, description: str, unit: float = 1.0, outputs: str = "logits"
) -> Verification:
    """Compare the logits of an exported folder with those of the checkpoint.

    Args:
        expected: of the checkpoint, shape (N, C).
        found: of the folder, shape (N, C).
        description: of the rows.
        unit: the size of the outputs, to which rounding is proportional.
        outputs: `logits`, or `texts`, whose token ids must be equal.

    Raises:
        TrialError: if an output differs by more than `TOLERANCE` units.
    """
    difference, count, allowed = float((found - expected).abs().max()), len(expected), TOLERANCE * unit
    if not difference <= allowed:  # also true for NaN
        raise TrialError(
            f"the exported model does not give the checkpoint's {outputs}: a number differs by {difference:.2g} "
            f"on {count} {description}, more than {allowed:g}; nothing was exported"
        )
    return Verification(count, description, difference, allowed)


def _spread_over_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(lengths, kind="stable")
    positions = np.linspace(0, len(order) - 1, min(MAX_ROWS, len(order))).round().astype(np.int64)
    return np.sort(order[positions])
