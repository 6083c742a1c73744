"""The settings of one data set: its files, its columns and how it is split."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from trainable.metrics.metric import (
    CHOICES_A_ROW,
    COLUMNS,
    GENERATES,
    LABELS_A_ROW,
    OF_IMAGES,
    ONE_CLASS_A_ROW,
    SOURCE_ONLY,
    TASK_METRICS,
)
from trainable.settings.class_names import class_names
from trainable.settings.strict import Strict
from trainable.settings.values import Nested

Fraction = Annotated[float, Field(ge=0, le=1)]


SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Separators by name, as some of the characters have another meaning in YAML and in a shell."""

Empty = Literal["keep", "drop", "error"]
Split = Literal["train", "validation", "test"]
LEAST_VALIDATION, MOST_VALIDATION = 0.1, 0.25
"""Smallest and largest share of the rows for validation that is chosen by the number of rows."""
ENOUGH_VALIDATION_ROWS = 100
"""Validation rows that tell one trial from another; fewer rows than this are a chance result."""
LEFT_OUT = "none"
"""Value in place of a split's name, for a split that is not used."""


def _task(value: str) -> str:
    if value not in TASK_METRICS:
        raise ValueError(f"must be one of {', '.join(TASK_METRICS)}, got {value!r:.80}")
    return value


def _separator(value: str) -> str:
    character = SEPARATORS.get(value, value)
    if len(character) != 1 or character in '"\r\n\0\ufeff':
        raise ValueError(f"must be {', '.join(SEPARATORS)} or another single character, got {value!r:.80}")
    return character


def _encoding(value: str) -> str:
    try:
        "".encode(value)  # fails for codecs that do not encode text, such as base64
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise ValueError(f"no such encoding: {value!r:.80}; for instance utf-8, gb18030 or windows-1252") from None


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Dataset(Strict):
    """A labelled table on disk or on the hub, and the meaning of its columns.

    Give either one table, which is split here (`csv`, `json`, `parquet`, `folder` or `hub`), or the splits themselves
    (`train`, `validation`, `test`).
    """

    task: Annotated[str, AfterValidator(_task), Field(json_schema_extra={"enum": list(TASK_METRICS)})] = (
        "classification"
    )
    """What the labels are. `classification`: one class for each text or pair of texts; `regression`: a number;
    `multi_label`: any number of labels; `tagging`: a tag for each word; `multiple_choice`: which of several choices
    answers a question; `question_answering`: which part of a context answers a question; `masked_language`: no labels,
    the model learns to predict hidden tokens, only as the source; `sequence_to_sequence`: a text, such as a
    translation or a summary; `image_classification`: one class for each image."""

    csv: str | None = None
    """A CSV file (TSV by its suffix) with a header line."""
    json_: str | None = Field(None, alias="json")
    """A file with one JSON object a line, or one array of objects."""
    parquet: str | None = None
    """A Parquet file."""
    conll: str | None = None
    """A CoNLL file, for `task: tagging`: a word and its tags on each line, a blank line between two sentences."""
    folder: str | None = None
    """A folder saved by `datasets` (`save_to_disk`); its own splits are used if it has any. With
    `task: image_classification` also a folder of images, with a sub-folder for each class."""
    hub: str | None = None
    """The name of a data set on the Hugging Face hub, such as `owner/name`."""
    train: str | None = None
    """A file with the training split; the suffix decides the format (`.txt`: one text on each line)."""
    validation: str | None = None
    """A file with the validation split; without it, rows are taken from `train`."""
    test: str | None = None
    """A file with the test split; without it, there is no test score unless `test_fraction` is set. `none`: no test
    score, even if the data have a test split."""
    splits: dict[Split, str] | None = None
    """Which saved split to use for what, such as `{validation: dev}`; `none` leaves one out. Default: the splits with
    these names, or with one other common name such as `dev`."""

    separator: Annotated[str, AfterValidator(_separator)] | None = None
    """Separator of the cells of a CSV file: `comma`, `semicolon`, `tab`, `pipe` or another single character; null: a
    tab for `.tsv`, a comma otherwise."""
    quoting: Literal["double", "none"] | None = None
    """Whether double quotes enclose cells of a CSV file. `double`: a cell between double quotes may contain separators
    and line breaks. `none`: a quote is an ordinary character. null: `double`, but refused if quotes seem to join
    rows."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """Encoding of CSV and JSON files, such as `gb18030`, `windows-1252` or `utf-16`."""

    text: str | None = None
    """The column with the text, or with the first text of a pair; null: `text`, or `text_a` if there is a `text_b`."""
    text_b: str | None = None
    """The column with the second text of a pair; null: `text_b` if there is a `text_a`."""
    choices: Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)] | None = None
    """Of `multiple_choice`: the columns with the choices, one for each, or one column with a list in each cell; null:
    `choices`. An empty cell is no choice."""
    image: str | None = None
    """The column with the image, of `image_classification`: the path of a file, relative to the table's folder, or the
    file's bytes as the hub stores them in Parquet; null: `image`."""
    label: str = "label"
    """The column with the label. Of `multiple_choice`: the place of the right choice from 0, its letter (A is the first
    one), or the name of its column. Of `question_answering`: texts and their beginnings as in SQuAD; the default is
    then `answers`."""
    target_column: str | None = None
    """Of `sequence_to_sequence`: the column with the target text, or with a list of several correct ones; null:
    `target`."""
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    """Of `multi_label`: what stands between the labels in a cell, such as `|`; an empty cell means no label."""
    label_columns: Annotated[list[str], Field(min_length=1)] | None = None
    """Of `multi_label`: columns of 0 and 1, one for each label, in place of `label`."""
    labels: Annotated[dict[str, str] | list[str] | None, BeforeValidator(class_names)] = None
    """Names of the classes: a mapping from the value in the file to the name of the class, or a list of names for 0,
    1, 2... Their order is the order of the classes; null: the values in the file, sorted."""
    positive: str | None = None
    """Of a classification with two labels: the one that f1, f2, f05, auroc, average_precision and the threshold are
    about. It becomes the second in order; null: the second one anyway."""
    group: str | None = None
    """The column with the customer, patient or document of each row: no group is in two splits. null: none."""
    next_sentence: bool = False
    """Of `masked_language`: rows are the sentences of documents in their order, and `group` is the column with the
    document. The model also learns whether a sentence follows another one there (BERT, Devlin et al. 2019)."""
    empty: Empty = "error"
    """What to do with rows that have an empty text (in a pair: either one): use, leave out, or refuse them. A note
    counts the rows that are used or left out. Rows without an image can only be left out, or refused."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the rows for validation, if no validation split is given; null: 0.1, but of fewer than 1,000 rows as
    much as gives 100 rows, at most 0.25."""
    test_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the rows for the test, if no test split is given; null: 0.1 for one table that is split here, 0 for
    given splits."""
    split_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split, and of the rows that `train_rows` takes."""
    max_overlap: Fraction = 0.01
    """Share of a split's rows whose texts may also be in another split; 1 allows all."""

    @property
    def has_images(self) -> bool:
        """Return whether the rows are images instead of texts."""
        return self.task in OF_IMAGES

    def validation_share(self, rows: int) -> float:
        """Return the share of a table's rows that is for validation, by the number of its rows."""
        if self.validation_fraction is not None:
            return self.validation_fraction
        share = min(max(ENOUGH_VALIDATION_ROWS / max(rows, 1), LEAST_VALIDATION), MOST_VALIDATION)
        return min(share, (1 - (self.test_fraction or 0.0)) / 2)

    def names_split(self, split: Split) -> bool:
        """Return whether a setting names the file or the saved split to use as this split."""
        return getattr(self, split) is not None or split in (self.splits or {})

    @property
    def label_column(self) -> str:
        """Return the column with the labels; where the settings name none, the usual one of the task."""
        named = "label" in self.model_fields_set and self.label != Dataset.model_fields["label"].default
        return self.label if named else COLUMNS.get(self.task, {}).get("label", self.label)

    @property
    def choice_columns(self) -> tuple[str, ...]:
        """Return the columns with the choices of a row; none for a task without choices."""
        return tuple(self.choices or ("choices",)) if self.task in CHOICES_A_ROW else ()

    def saved_splits(self) -> Mapping[Split, str]:
        """Return which splits of a folder or hub data set the settings name, or leave out."""
        return dict(self.splits or {}) | ({"test": LEFT_OUT} if self.test == LEFT_OUT else {})

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield mistakes if the rows do not come from one place, or if no rows are left for training."""
        for name in ("label_separator", "label_columns"):
            if given.get(name) and given.get("task") not in LABELS_A_ROW:
                yield name, f"rows have several labels only with `task: {' or '.join(LABELS_A_ROW)}`; set it too"
        has_choices = given.get("task") in CHOICES_A_ROW
        if given.get("choices") and not has_choices:
            yield "choices", f"rows have choices only with `task: {' or '.join(CHOICES_A_ROW)}`; set it too"
        if given.get("text_b") and has_choices:
            yield "text_b", "the second texts are the choices, which `choices` names; leave it out"
        if given.get("target_column") and given.get("task") not in GENERATES:
            yield "target_column", f"only `task: {' or '.join(GENERATES)}` has target texts; set it too"
        if given.get("label_separator") and given.get("label_columns"):
            yield "label_columns", "label_separator is for a single column; remove one of the two"
        if given.get("next_sentence"):
            yield from _next_sentence_clashes(given)
        if given.get("positive") is not None and given.get("task", "classification") not in ONE_CLASS_A_ROW:
            yield "positive", "only a classification has two labels; leave it out"
        yield from _image_clashes(given)
        tables = [name for name in ("csv", "json", "parquet", "conll", "folder", "hub") if given.get(name)]
        splits = [name for name in ("train", "validation", "test") if given.get(name)]
        splits = [name for name in splits if (name, given[name]) != ("test", LEFT_OUT)]
        if given.get("splits") and not (given.get("folder") or given.get("hub")):
            yield "splits", "only data sets with `folder` or `hub` have splits of their own"
        if given.get("test") == LEFT_OUT and given.get("test_fraction"):
            yield "test", f"{LEFT_OUT} and test_fraction are both set; remove one"
        if len(tables) + bool(splits) != 1:
            named = ", ".join(tables + splits) or "nothing"
            ways = "give either one of csv, json, parquet, conll, folder, hub, or train (with validation, test)"
            yield "", f"{ways}; there is {named}"
        elif splits and "train" not in splits:
            yield "", f"{' and '.join(splits)} given without train"
        shares = [given.get("validation_fraction") or LEAST_VALIDATION, given.get("test_fraction") or 0]
        if all(isinstance(share, int | float) and 0 <= share < 1 for share in shares) and sum(shares) >= 1:
            yield "", "validation_fraction and test_fraction leave no rows for training; lower one of them"
        if given.get("encoding", "utf-8") != "utf-8" and any(given.get(name) for name in ("parquet", "folder", "hub")):
            yield "encoding", "only CSV and JSON files have an encoding"
        for name in ("separator", "quoting"):
            if given.get(name) and tables not in ([], ["csv"]):
                yield name, f"only CSV files have the setting {name}"


def _next_sentence_clashes(given: Nested) -> Iterator[tuple[str, str]]:
    """Yield what the prediction of the next sentence lacks, or what it leaves no room for."""
    if given.get("task") not in SOURCE_ONLY:
        yield "next_sentence", f"only `task: {' or '.join(SOURCE_ONLY)}` predicts the next sentence; leave it out"
    if not given.get("group"):
        yield "next_sentence", "needs the column with the document of each sentence; name it with `group`"
    if given.get("text_b"):
        yield "text_b", "next_sentence makes the pairs itself, from the column `text`; leave it out"


def _image_clashes(given: Nested) -> Iterator[tuple[str, str]]:
    """Yield settings of texts for a data set of images, and the other way round."""
    task = " or ".join(OF_IMAGES)
    if str(given.get("task")) not in OF_IMAGES:
        if given.get("image"):
            yield "image", f"names a column of images, which only `task: {task}` reads; set it too"
        return
    for name in ("text", "text_b", "conll"):
        if given.get(name):
            yield name, f"is for texts, and the rows of `task: {task}` are images; leave it out"
    if given.get("empty") == "keep":
        yield "empty", "a row without an image cannot be used; take `drop` or `error`"
