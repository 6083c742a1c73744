"""The settings of one data set: its files, its columns and how it is split."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """A frozen value that refuses unknown fields."""

    # The docstrings below the fields become the descriptions of the JSON Schema.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Dataset(Strict):
    """A labelled table on disk or on the hub, and which of its columns hold what.

    Either one table that is split here (`csv`, `json`, `parquet`, `folder`, `hub`), or given
    splits (`train`, `validation`, `test`: files whose suffix tells the kind).
    """

    csv: str | None = None
    """A CSV file (or TSV, by its suffix) with a header line, UTF-8."""
    json_: str | None = Field(None, alias="json")
    """A file with one JSON object a line."""
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
    """The test file; without it there is no test score, unless `test_fraction` is set."""

    text: str | None = None
    """The column with the (first) text; default `text`, or `text_a` where there is a `text_b`."""
    text_b: str | None = None
    """The column with the second text of a pair; default `text_b` where the table has `text_a`."""
    label: str = "label"
    """The column with the label."""
    labels: dict[str, str] | list[str] | None = None
    """Label names: a mapping from the cell's value to the name shown, or a list that names 0, 1, 2...
    Their order is the order of the classes; without it, the values as they are, sorted."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the rows that becomes the validation split where none is given."""
    test_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the rows that becomes the test split where none is given; default 0.1 for one table
    that is split here, 0 for given splits."""
    split_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split and of the subsets that `train_rows` takes."""
    max_overlap: Fraction = 0.01
    """Highest share of a validation or test split whose texts may stand in training too; 1 allows all."""

    @model_validator(mode="after")
    def _one_origin(self) -> Dataset:
        tables = [n for n in ("csv", "json", "parquet", "folder", "hub") if getattr(self, {"json": "json_"}.get(n, n))]
        given = [n for n in ("train", "validation", "test") if getattr(self, n)]
        if len(tables) + bool(given) != 1:
            named = ", ".join(tables + given) or "nothing"
            raise ValueError(
                "give either one of csv, json, parquet, folder, hub, or train (with validation, test); "
                f"there is {named}"
            )
        if given and not self.train:
            raise ValueError(f"{' and '.join(given)} given without train")
        if self.validation_fraction + (self.test_fraction or 0) >= 1:
            raise ValueError("validation_fraction and test_fraction together leave nothing to train on")
        return self
