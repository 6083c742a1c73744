"""A finished trial as a folder that transformers loads, proven to be the same model before it appears."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as chatter

from search.card import Described, Proof, StageData, model_card, public_settings
from search.exportable import Chosen, choose
from search.records import Outcome, Role, Score, TestScore, TrialRecord
from search.selection import score_of
from trainable.checks import choose_columns
from trainable.config import TrialConfig
from trainable.errors import ConfigError, TrialError
from trainable.evaluate import predict
from trainable.files import write_folder
from trainable.inputs import token_inputs
from trainable.limits import locate
from trainable.prepare import stage_data
from trainable.pretrained import load_classifier, load_tokenizer
from trainable.reading import read_raw
from trainable.tables import Table, read_splits
from trainable.trial import load_trained
from trainable.workspace import Workspace

TOLERANCE = 1e-4
"""Largest difference of a logit between checkpoint and export that rounding explains."""
PROOF_ROWS = 256
"""Validation rows that are compared at most: of all lengths, evenly, the shortest and the longest among them."""
_BATCH = 32
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Exported:
    """What was exported, and how well it was proven."""

    name: str
    folder: Path
    trial: int
    proof: Proof
    bytes: int
    metric: str
    validation: Score | None
    """Over the seeds of the trial's settings."""
    test: TestScore | None
    """Only of the sweep's winner; no other trial has seen the test split."""

    def to_json(self) -> dict[str, Any]:
        """Only what `json.dumps` takes."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "trial": self.trial,
            **asdict(self.proof),
            "bytes": self.bytes,
            "metric": self.metric,
            "validation": asdict(self.validation) if self.validation else None,
            "test": asdict(self.test) if self.test else None,
        }

    def print(self, console: Console) -> None:
        """Say what was written and proven, and what to type to use it."""
        lines = [
            f"Trial {self.trial} of {self.name} exported to {self.folder} ({self.bytes / 1e6:.1f} MB)",
            f"Proven: loaded back, it gives the checkpoint's logits on {self.proof.rows} validation rows "
            f"(largest difference {self.proof.max_difference:.1e}, allowed {TOLERANCE:.0e})",
            "",
            "In Python",
            "  from transformers import pipeline",
            f'  classify = pipeline("text-classification", model={json.dumps(str(self.folder))}, truncation=True)',
            '  classify("Your text")',
            "",
            "On a file",
            f"  transfersweep predict {shlex.quote(str(self.folder))} FILE.csv",
        ]
        for line in lines:
            # Never wrapped: a line is copied as it stands.
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def export_trial(
    name: str, storage: Path, to: Path, trial: int | None = None, overrides: Mapping[str, str] | None = None
) -> Exported:
    """Write the model of a finished trial to a new folder; it appears whole and proven, or not at all.

    Args:
        name: the sweep.
        storage: the folder of all sweeps.
        to: a folder that does not exist yet, or is empty.
        trial: the trial's number; none means the winner, by the best of its seeds on validation.
        overrides: settings of the sweep that are to hold for the choice, as `current_outcome` takes them.

    Raises:
        PlanError: if there is no such sweep.
        ConfigError: if the trial has no model, its data cannot be read any more, or `to` is taken.
        TrialError: if the exported model is not the checkpoint's.
    """
    return export_chosen(choose(name, storage, to, trial, overrides), to)


def export_chosen(chosen: Chosen, to: Path) -> Exported:
    """The same for a trial that has been chosen.

    Raises:
        ConfigError: if its data cannot be read any more.
        TrialError: if the exported model is not the checkpoint's.
    """
    chatter.disable_progress_bar()
    outcome, record = chosen.outcome, chosen.record
    workspace = chosen.plan.workspace(chosen.storage)
    model, config = load_trained(chosen.checkpoint)
    tokenizer = _tokenizer(config)
    described = _describe(outcome, record, config, model, workspace)
    proofs: list[Proof] = []

    def write(folder: Path) -> None:
        save_model(model, tokenizer, folder)
        proofs.append(prove(folder, model, config, workspace))
        (folder / "trial.json").write_text(json.dumps(described.to_json(), indent=1))
        (folder / "README.md").write_text(model_card(described, proofs[0]), encoding="utf-8")

    write_folder(to.resolve(), write)
    size = sum(file.stat().st_size for file in to.iterdir())
    return Exported(
        outcome.name, to, record.number, proofs[0], size, outcome.metric, described.validation, described.test
    )


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):  # written for their owner alone
        file.chmod((folder / "config.json").stat().st_mode)


def prove(folder: Path, model: PreTrainedModel, config: TrialConfig, workspace: Workspace) -> Proof:
    """Load an exported folder and compare its logits, from raw validation texts, with those of the trained model.

    Both in float32 on the CPU. The export tokenises with its own tokenizer, the model gets the trial's tokens.

    Raises:
        TrialError: if a logit differs by more than `TOLERANCE`.
    """
    encoded = stage_data(config, config.target, workspace)
    whole = token_inputs(encoded.splits["validation"], config.target)
    rows = _of_all_lengths(whole.inputs.lengths)
    expected = predict(model, token_inputs(encoded.splits["validation"], config.target, rows).inputs, _CPU)
    found = _logits(folder, read_splits(config.dataset_of(config.target), workspace.roots).validation.take(rows))
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE:  # a NaN is no proof
        raise TrialError(
            f"the exported model is not the checkpoint's: a logit differs by {difference:.2g} on {len(rows)} "
            f"validation rows, more than {TOLERANCE:g}; nothing was exported"
        )
    return Proof(len(rows), difference)


@torch.inference_mode()
def _logits(folder: Path, table: Table) -> torch.Tensor:
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


def _tokenizer(config: TrialConfig) -> PreTrainedTokenizerBase:
    """The encoder's tokenizer, set to cut as the target stage did, and without the place it came from."""
    tokenizer = load_tokenizer(locate(config.encoder))
    length = config.target.padding_length
    tokenizer.model_max_length = length  # what `truncation=True` cuts to
    tokenizer.init_kwargs["max_length"] = length
    # For readers of tokenizer.json other than transformers, which cuts only when told.
    tokenizer.backend_tokenizer.enable_truncation(length, direction=tokenizer.truncation_side)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs.pop("name_or_path", None)
    return tokenizer


def _describe(
    outcome: Outcome, record: TrialRecord, config: TrialConfig, model: PreTrainedModel, workspace: Workspace
) -> Described:
    """Everything the card and trial.json say; reads the data again for their fingerprints."""
    data = {}
    for name, stage in (("source", config.source), ("target", config.target)):
        if stage is None or not getattr(stage, "enabled", True):
            continue
        dataset = config.dataset_of(stage)
        made = stage_data(config, stage, workspace)
        rows = {split: len(encoded.labels) for split, encoded in made.splits.items()}
        data[name] = StageData(made.name, made.fingerprint, rows, stage.train_rows)
    assert model.config.id2label is not None  # `load_trained` sets it
    labels = tuple(str(name) for name in model.config.id2label.values())
    if made.label_names != labels:
        raise ConfigError(
            f"trial {record.number}: the data have changed since it was trained: its labels are {list(labels)}, "
            f"now they are {list(made.label_names)}; bring the old data back"
        )
    columns = choose_columns(dataset, read_raw(dataset, workspace.roots)["train"])
    own = record.of if record.of is not None else record.number
    role: Role = "no_source" if record.role == "no_source" else "confirm"
    return Described(
        outcome=outcome,
        record=record,
        encoder=config.encoder,
        settings=public_settings(config, data),
        labels=labels,
        text_columns=tuple(columns.texts()),
        data=data,
        validation=score_of(outcome.trials, own, role),
        test=outcome.test if record.number == outcome.exported else None,
    )
