"""What a trial was trained on, as its checkpoint keeps it: data, tokenizer and encoder may have changed since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from trainable.inputs.prepare import Prepared


@dataclass(frozen=True)
class StageData:
    """The data of one stage, without where they lie."""

    name: str
    fingerprint: str
    """SHA-256 (hex) over data and tokenizer; names the token ids in the cache."""
    data: str
    """Over texts, labels, label names and the split alone."""
    tokenizer: str
    """Over what decides the ids of a text alone."""
    rows: dict[str, int]
    """By split."""
    text_columns: tuple[str, ...]

    @classmethod
    def of(cls, made: Prepared) -> "StageData":
        """What there is to be known of prepared data."""
        rows = {split: len(encoded.labels) for split, encoded in made.splits.items()}
        prints = made.fingerprint, made.data_fingerprint, made.tokenizer_fingerprint
        return cls(made.name, *prints, rows, made.text_columns)


@dataclass(frozen=True)
class TrainedOn:
    """All that decides a trial's numbers beside its settings and this program."""

    encoder: str
    """Fingerprint of the encoder's configuration and weights."""
    stages: Mapping[str, StageData]
    """By the stage's name, in the order of training."""


def trained_on(checkpoint: Path) -> TrainedOn | None:
    """What the trial of a checkpoint was trained on; none where an older version wrote it."""
    facts = json.loads((checkpoint / "trial.json").read_text(encoding="utf-8")).get("trained_on")
    return _TRAINED_ON.validate_python(facts) if facts else None


def to_json(facts: TrainedOn) -> object:
    """As `trained_on` reads it in trial.json."""
    return _TRAINED_ON.dump_python(facts, mode="json")


_TRAINED_ON = TypeAdapter(TrainedOn)
