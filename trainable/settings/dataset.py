"""The settings of one data set: its files, its columns and how it is split."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from trainable.settings.class_names import class_names
from trainable.settings.strict import Strict
from trainable.settings.values import Nested

Fraction = Annotated[float, Field(ge=0, le=1)]


SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Separators by name: some of the characters mean something else in YAML and in a shell."""

Empty = Literal["keep", "drop", "error"]
Split = Literal["train", "validation", "test"]
LEFT_OUT = "none"
"""Stands in place of a split's name for one that shall not be used."""


def _separator(value: str) -> str:
    character = SEPARATORS.get(value, value)
    if len(character) != 1 or character in '"\r\n\0\ufeff':
        raise ValueError(f"must be {', '.join(SEPARATORS)} or another single character, got {value!r:.80}")
    return character


def _encoding(value: str) -> str:
    try:
        "".encode(value)  # refuses what is no encoding of text, such as base64
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise ValueError(f"no such encoding: {value!r:.80}; for instance utf-8, gb18030 or windows-1252") from None


class Dataset(Strict):
    """A labelled table on disk or on the hub, and which of its columns hold what.

    Either one table that is split here (`csv`, `json`, `parquet`, `folder`, `hub`), or given
    splits (`train`, `validation`, `test`: files whose suffix tells the kind).
    """

    csv: str | None = None
    """A CSV file (or TSV, by its suffix) with a header line."""
    json_: str | None = Field(None, alias="json")
    """A file with one JSON object a line, or with one JSON array of objects."""
    parquet: str | None = None
    """A Parquet file."""
    folder: str | None = None
    """A folder written by `datasets` (`save_to_disk`); its own splits are used where it has them."""
    hub: str | None = None
    """The name of a data set on the Hugging Face hub, as `datasets.load_dataset` takes it."""
    train: str | None = None
    """The training file, where the splits are given."""
    validation: str | None = None
    """The validation file; without it, validation rows are taken from `train`."""
    test: str | None = None
    """The test file; without it there is no test score, unless `test_fraction` is set. `none`: no test score,
    whatever the data hold."""
    splits: dict[Split, str] | None = None
    """Which of the splits of a folder or hub data set is which, such as `{validation: dev}`; `none` leaves one out.
    Default: those of these names, or of one common other name, such as `dev`."""

    separator: Annotated[str, AfterValidator(_separator)] | None = None
    """What stands between two cells of a CSV file: `comma`, `semicolon`, `tab`, `pipe` or another single character;
    default a tab for a name that ends in .tsv, a comma otherwise."""
    quoting: Literal["double", "none"] | None = None
    """What a double quote means in a CSV file. `double`: a cell between two of them may hold separators and line
    breaks. `none`: it is a character like any other. Default `double`, but refused where quotes seem to join rows."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """The encoding of CSV and JSON files, such as `gb18030`, `windows-1252` or `utf-16`."""

    text: str | None = None
    """The column with the (first) text; default `text`, or `text_a` where there is a `text_b`."""
    text_b: str | None = None
    """The column with the second text of a pair; default `text_b` where the table has `text_a`."""
    label: str = "label"
    """The column with the label."""
    labels: Annotated[dict[str, str] | list[str] | None, BeforeValidator(class_names)] = None
    """Label names: a mapping from the cell's value to the name shown, or a list that names 0, 1, 2...
    Their order is the order of the classes; without it, the values as they are, sorted."""
    empty: Empty = "error"
    """What becomes of a row with an empty text, of a pair too: it is used as it is, left out, or refused. The first two
    are counted in a note."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the rows that becomes the validation split where none is given."""
    test_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the rows that becomes the test split where none is given; default 0.1 for one table
    that is split here, 0 for given splits."""
    split_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split and of the subsets that `train_rows` takes."""
    max_overlap: Fraction = 0.01
    """Highest share of a validation or test split whose texts may stand in training too; 1 allows all."""

    def asks_for(self, split: Split) -> bool:
        """Whether a setting names what is to be this split."""
        return getattr(self, split) is not None or split in (self.splits or {})

    def saved_splits(self) -> Mapping[Split, str]:
        """Which splits of a folder or hub data set the settings name, or leave out."""
        return dict(self.splits or {}) | ({"test": LEFT_OUT} if self.test == LEFT_OUT else {})

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """There is one origin of the rows, and some are left to train on."""
        tables = [name for name in ("csv", "json", "parquet", "folder", "hub") if given.get(name)]
        splits = [name for name in ("train", "validation", "test") if given.get(name)]
        splits = [name for name in splits if (name, given[name]) != ("test", LEFT_OUT)]
        if given.get("splits") and not (given.get("folder") or given.get("hub")):
            yield "splits", "only data sets with `folder` or `hub` have splits of their own"
        if given.get("test") == LEFT_OUT and given.get("test_fraction"):
            yield "test", f"{LEFT_OUT} and a test_fraction are given; remove one"
        if len(tables) + bool(splits) != 1:
            named = ", ".join(tables + splits) or "nothing"
            ways = "give either one of csv, json, parquet, folder, hub, or train (with validation, test)"
            yield "", f"{ways}; there is {named}"
        elif splits and "train" not in splits:
            yield "", f"{' and '.join(splits)} given without train"
        shares = [given.get("validation_fraction", cls.model_fields["validation_fraction"].default)]
        shares += [given.get("test_fraction") or 0]
        if all(isinstance(share, int | float) and 0 <= share < 1 for share in shares) and sum(shares) >= 1:
            yield "", "validation_fraction and test_fraction together leave nothing to train on"
        if given.get("encoding", "utf-8") != "utf-8" and any(given.get(name) for name in ("parquet", "folder", "hub")):
            yield "encoding", "only CSV and JSON files have one"
        for name in ("separator", "quoting"):
            if given.get(name) and tables not in ([], ["csv"]):
                yield name, "only CSV files have one"
