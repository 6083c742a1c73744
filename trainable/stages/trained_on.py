"""Fingerprints of the data, tokenizers and encoder of a trial, stored in its checkpoint: the files may change later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

if TYPE_CHECKING:  # it imports torch, which a reader of checkpoints does not need
    from trainable.inputs.prepare import TokenizedDataset

TRIAL_FILE = "trial.json"
"""File of a checkpoint that says what its trial was."""
MOST_NAMED = 4
"""Modules that a sentence names; of more it says how many."""


@dataclass(frozen=True)
class StageData:
    """The data of one stage, without file paths. The fingerprints are SHA-256 (hex)."""

    name: str
    fingerprint: str
    """Fingerprint of data and tokenizer; it names the token ids in the cache."""
    data: str
    """Fingerprint of texts, labels, label names and the split only."""
    tokenizer: str
    """Fingerprint of everything in the tokenizer that decides the ids of a text."""
    rows: dict[str, int]
    """Number of rows by split."""
    text_columns: tuple[str, ...]

    @classmethod
    def of(cls, tokenized: "TokenizedDataset") -> "StageData":
        """Return the description of a tokenised data set."""
        rows = {split: len(encoded.labels) for split, encoded in tokenized.splits.items()}
        fingerprints = tokenized.fingerprint, tokenized.data_fingerprint, tokenized.tokenizer_fingerprint
        return cls(tokenized.name, *fingerprints, rows, tokenized.text_columns)


@dataclass(frozen=True)
class Moved:
    """What the target's model began with. Modules are named as in the target's model, `left` as in the source's."""

    weights: int
    """Number of weights that the source stages have trained and that moved; 0 without a source."""
    made_anew: tuple[str, ...]
    """Modules with weights that neither the encoder's folder nor the source has, drawn from the seed."""
    head_kept: bool = False
    """Whether the head is that of the source."""
    left: tuple[str, ...] = ()
    """Modules that the source stages have trained and the target's model does not take."""

    @property
    def sentence(self) -> str:
        """Return all of it in words."""
        parts = ["The model began with the encoder's pretrained weights."]
        if self.weights:
            head = "with the source's head" if self.head_kept else "without its head"
            parts = [f"{self.weights:,} weights moved from the source to the target, {head}."]
        parts += [f"Made anew: {_listed(self.made_anew)}."] if self.made_anew else ["Nothing was made anew."]
        return " ".join([*parts, *([f"Left behind: {_listed(self.left)}."] if self.left else [])])


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class TrainedOn:
    """Everything that decides a trial's results besides its settings and this program."""

    encoder: str
    """Fingerprint of the encoder's configuration and weights."""
    stages: Mapping[str, StageData]
    """Data by name of the stage, in the order of training."""
    moved: Moved | None = None
    """What the target began with; None before the target, and in checkpoints of older versions."""


def trained_on(checkpoint: Path) -> TrainedOn | None:
    """Read what the trial of a checkpoint was trained on; return None if an older version wrote the checkpoint."""
    facts = json.loads((checkpoint / TRIAL_FILE).read_text(encoding="utf-8")).get("trained_on")
    return _TRAINED_ON.validate_python(facts) if facts else None


def to_json(facts: TrainedOn) -> object:
    """Return plain values for trial.json, from which `trained_on` reads them."""
    return _TRAINED_ON.dump_python(facts, mode="json")


_TRAINED_ON = TypeAdapter(TrainedOn)
