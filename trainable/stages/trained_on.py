"""Fingerprints of the data, tokenizers and encoder of a trial, stored in its checkpoint: the files may change later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from trainable.inputs.prepare import TokenizedDataset


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
    def of(cls, tokenized: TokenizedDataset) -> "StageData":
        """Return the description of a tokenised data set."""
        rows = {split: len(encoded.labels) for split, encoded in tokenized.splits.items()}
        fingerprints = tokenized.fingerprint, tokenized.data_fingerprint, tokenized.tokenizer_fingerprint
        return cls(tokenized.name, *fingerprints, rows, tokenized.text_columns)


@dataclass(frozen=True)
class TrainedOn:
    """Everything that decides a trial's results besides its settings and this program."""

    encoder: str
    """Fingerprint of the encoder's configuration and weights."""
    stages: Mapping[str, StageData]
    """Data by name of the stage, in the order of training."""


def trained_on(checkpoint: Path) -> TrainedOn | None:
    """Read what the trial of a checkpoint was trained on; return None if an older version wrote the checkpoint."""
    facts = json.loads((checkpoint / "trial.json").read_text(encoding="utf-8")).get("trained_on")
    return _TRAINED_ON.validate_python(facts) if facts else None


def to_json(facts: TrainedOn) -> object:
    """Return plain values for trial.json, from which `trained_on` reads them."""
    return _TRAINED_ON.dump_python(facts, mode="json")


_TRAINED_ON = TypeAdapter(TrainedOn)
