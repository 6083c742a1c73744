"""Writes the experiment file for a table: `transfersweep init`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from search.init.guess import Guess, check_given, guess_columns, split_files
from search.init.yaml_lines import line
from search.show.data_settings import dataset_of
from search.storage.sweep_name import similar_name
from trainable.data.reading.read_tables import read_tables
from trainable.errors import ConfigError
from trainable.metrics.metric import TASK_METRICS
from trainable.model.limits import name_or_path, read_limits

if TYPE_CHECKING:
    from trainable.preview.inspection import Inspection

FEW_ROWS = 1000
"""With fewer labelled rows, more epochs and contrastive training are worth a trial (docs/tune-a-classifier.md)."""
BALANCED = 1.5
"""With a most frequent class of at most this multiple of an equal share, the metric is accuracy."""
SOURCE_SETTING = "source."
"""Beginning of the names of settings that are about the source's table."""


@dataclass(frozen=True)
class Table:
    """A table that was looked at."""

    file: str
    guess: Guess
    seen: Inspection

    def notes(self) -> list[str]:
        """Return what a user should know of the data."""
        warning = self.seen.tokenizer_check.warning()
        return [*self.seen.notes, *([warning] if warning else [])]


@dataclass(frozen=True)
class Draft:
    """An experiment file before it is written."""

    text: str
    notes: tuple[str, ...]
    """What a user should know of the data."""


def draft_experiment(
    file: str, source: str | None, encoder: str, given: Mapping[str, str], folder: Path, name: str
) -> Draft:
    """Look at a table and return an experiment for it.

    Args:
        file: the target's table: CSV, TSV, JSON or Parquet.
        source: a table of another task with more labels; None for a sweep without a source.
        encoder: as in the setting `encoder`.
        given: settings of the data set as YAML text, such as `{"label": "kind"}`; those of the source's table begin
            with `source.`.
        folder: the folder of the experiment file, to which its file names are relative.
        name: what the sweep's name is made of.

    Raises:
        ConfigError: if the columns are not clear, or a trial could not use the rows.
    """
    own = {name: value for name, value in given.items() if not name.startswith(SOURCE_SETTING)}
    theirs = {name.removeprefix(SOURCE_SETTING): value for name, value in given.items() if name not in own}
    if theirs and source is None:
        raise ConfigError(f"--set source.{next(iter(theirs))}: there is no source; name its table with --source")
    target = _look(file, encoder, own)
    other = _look(source, encoder, theirs) if source else None
    lines = [*_sweep(target, name), "", *_trial(target, other, encoder, folder), "", *_space(target, other, encoder)]
    head = "# Written by `transfersweep init`. All settings: `transfersweep schema`, docs/experiment-file.md.\n\n"
    notes = [*target.notes(), *(other.notes() if other else ())]
    return Draft(head + "\n".join(lines) + "\n", tuple(notes))


def _look(file: str, encoder: str, given: Mapping[str, str]) -> Table:
    """Guess the columns of a table, and count its rows and tokens."""
    check_given(file, given)
    guess = guess_columns(read_tables(dataset_of(split_files(file), given), (Path(),))["train"], given)
    dataset, folder = dataset_of(split_files(file), guess.settings), name_or_path(encoder)
    from trainable.preview.inspection import inspect_dataset  # imports torch: only for columns that are clear

    seen = inspect_dataset(dataset, folder)
    if seen.problems:
        raise ConfigError(seen.problems)
    return Table(file, guess, seen)


def _sweep(target: Table, name: str) -> Iterator[str]:
    metric, why = _metric(target)
    yield "sweep:"
    yield line(2, "name", similar_name(name))
    yield line(2, "metric", metric, why)
    yield line(2, "minutes", 10, "the sweep ends after these, with the best model so far")


def _metric(target: Table) -> tuple[str, str]:
    """Return the metric and the reason for it."""
    task, rows = target.guess.settings.get("task", "classification"), target.seen.splits["train"].labels.rows
    if task != "classification":
        return next(iter(TASK_METRICS[task])), f"the usual one of a {task}"
    share = max(rows.values()) / sum(rows.values())
    if share > BALANCED / len(rows):
        return "macro_f1", f"the classes are not balanced: the most frequent has {share:.0%} of the rows"
    return "accuracy", f"the classes are about balanced: the most frequent has {share:.0%} of the rows"


def _trial(target: Table, source: Table | None, encoder: str, folder: Path) -> Iterator[str]:
    yield "trial:"
    yield line(2, "encoder", encoder, f"{read_limits(name_or_path(encoder)).depth} layers")
    if source:
        yield "  source:"
        yield from _dataset(source, folder)
        yield line(4, "epochs", 1)
        yield line(4, "padding_length", _lengths(source)[1], "covers 99 % of its texts")
    yield "  target:"
    yield from _dataset(target, folder)
    shortest, longest = _lengths(target)
    if shortest == longest:
        yield line(4, "padding_length", longest, "covers 99 % of the texts, and half of them are as long")


def _dataset(table: Table, folder: Path) -> Iterator[str]:
    """Yield the data set's block; file names are relative to the experiment's folder."""
    yield "    dataset:"
    for kind, file in split_files(table.file).items():
        yield line(6, kind, os.path.relpath(file, folder))
    for name, value in table.guess.settings.items():
        yield line(6, name, yaml.safe_load(value), table.guess.reasons.get(name, ""))


def _space(target: Table, source: Table | None, encoder: str) -> Iterator[str]:
    rows = sum(split.rows for name, split in target.seen.splits.items() if name != "test")
    few, tables = rows < FEW_ROWS, [target, *([source] if source else [])]
    classifies = target.guess.settings.get("task", "classification") == "classification"
    shortest, longest = _lengths(target)
    yield "space:"
    if source:
        yield "  source.enabled:        {choice: [true, false]}  # does the source help?"
    yield f"  target.learning_rate:  {{float: [{'2e-5' if few else '1e-5'}, 5e-4], log: true}}"
    yield "  target.batch_size:     {choice: [8, 16, 32]}"
    yield f"  target.epochs:         {{int: [{'4, 12' if few else '1, 5'}]}}  # for {rows:,} labelled rows"
    if shortest < longest:
        lengths = f"{{int: [{shortest}, {longest}], step: 8}}"
        yield f"  target.padding_length: {lengths}  # tokens; they cover half and 99 % of the texts"
    yield f"  target.frozen_layers:  {{int: [0, {read_limits(name_or_path(encoder)).depth}]}}"
    if few and classifies:
        yield "  target.objective:      {choice: [classification, contrastive]}  # there are few rows"
    if all("text_b" in table.guess.settings for table in tables):
        yield "  pooling:               {choice: [bi_encoder, mean]}  # the texts of a pair apart, or together"


def _lengths(table: Table) -> tuple[int, int]:
    """Return the padding lengths that cover half and 99 % of the texts: tokens, multiples of 8."""
    most = table.seen.positions or 512
    shortest, longest = (min(-(-table.seen.percentiles[percent] // 8) * 8, most) for percent in (50, 99))
    return max(shortest, 8), max(longest, 8)
