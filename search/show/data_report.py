"""Shows a data set before anything is trained on it: `transfersweep inspect`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from search.show.data_settings import dataset_of
from search.show.text_table import text_table
from trainable.data.message_text import quoted_if_unclear
from trainable.data.reading.read_tables import KINDS, find_files
from trainable.errors import ConfigError
from trainable.model.limits import name_or_path
from trainable.model.pooling import auto_pooling

if TYPE_CHECKING:
    from trainable.preview.inspection import Counts, Inspection, SplitCounts
    from trainable.settings.dataset import Dataset

_BAR = 30  # characters of the longest bar
_CLASSES = 12  # that are all shown; of more, only the most frequent and the rarest
_RAREST = 3


def print_inspection(file: str, encoder: str, settings: Mapping[str, str], console: Console) -> None:
    """Print what a data set holds: classes, and the lengths of its texts or the sizes of its images.

    Args:
        file: a table, a folder that `datasets` saved, or a hub name (`owner/name`). It is the training split if
            `settings` name validation or test files.
        encoder: its tokenizer counts the tokens.
        settings: fields of `Dataset`, as YAML text, such as `{"text": "message"}`.
        console: where to print.

    Raises:
        ConfigError: if the data cannot be read, or, after printing the rest, if a trial could not use them.
    """
    dataset, source = dataset_of({_kind(file, settings): file}, settings), name_or_path(encoder)
    if not dataset.hub:
        find_files(dataset, (Path(),))
    from transformers.utils import logging as chatter  # here, as it imports torch: mistakes in names are shown before

    chatter.set_verbosity_error()
    seen, warning = (_images if dataset.has_images else _texts)(dataset, source, encoder, file, console)
    for note in seen.notes:
        console.print(Text(f"Note: {note}", style="yellow"), soft_wrap=True)  # a user may copy settings from it
    if seen.problems:
        console.print(Text("A trial could not use these data:", style="bold red"))
        raise ConfigError(seen.problems)
    if warning or seen.notes:
        console.print(Text("A trial could use these data; read the notes above first.", style="yellow"))
    else:
        console.print(Text("No problem found.", style="green"))


def _print_counts(seen: Counts, file: str, noun: str, console: Console) -> None:
    """Print rows, classes and overlaps; `noun` is what a row is."""
    console.print(Text(file, style="bold"))
    console.print(_splits(seen, noun))
    labels = seen.splits["train"].labels
    if labels.rows or labels.numbers:
        console.print(_numbers(seen.splits) if labels.numbers else _classes(seen.splits))
    if seen.overlaps and any(seen.overlaps.values()):
        console.print(_overlaps(seen.overlaps, noun))


def _texts(dataset: Dataset, source: str, encoder: str, file: str, console: Console) -> tuple[Counts, str | None]:
    """Print what is known of texts; return it, and a warning if there is one."""
    from trainable.preview.inspection import inspect_dataset

    seen = inspect_dataset(dataset, source)
    _print_counts(seen, file, "text", console)
    limit = f"; the encoder takes {seen.positions}" if seen.positions else ""
    row = "question with one choice" if dataset.choice_columns else "text"
    console.print(f"Tokens of a training {row} by {encoder}{limit}", markup=False, highlight=False)
    pooling = auto_pooling(encoder)
    console.print(f"`pooling: auto` is `{pooling.mode}` for this encoder", markup=False, highlight=False)
    console.print(_lengths(seen))
    console.print("What truncation costs; compute is a share of what the same texts take uncut", highlight=False)
    console.print(_costs(seen))
    check = seen.tokenizer_check
    console.print(
        f"Unknown tokens: {check.unknown:.1%}; rows that become the same tokens: {check.merged:.1%}",
        highlight=False,
    )
    if warning := check.warning():
        console.print(Text(f"Warning: {warning}", style="bold yellow"), soft_wrap=True)
    return seen, warning


def _images(dataset: Dataset, source: str, encoder: str, file: str, console: Console) -> tuple[Counts, None]:
    """Print what is known of images, and return it."""
    from trainable.preview.image_inspection import inspect_images

    seen = inspect_images(dataset, source)
    _print_counts(seen, file, "image", console)
    table = text_table("percentile of the training images", "shorter side", "longer side", gap=2)
    for percent, sides in seen.sizes.items():
        table.add_row({0: "smallest", 100: "largest"}.get(percent, f"{percent} %"), *map(str, sides))
    console.print(table)
    console.print(f"Formats: {', '.join(f'{name} {count}x' for name, count in seen.formats.items())}", highlight=False)
    size = f"`image_size` is {seen.image_size} pixels unless set, {seen.tokens} tokens of an image"
    console.print(f"{encoder}: {size}", markup=False, highlight=False, soft_wrap=True)
    return seen, None


def _kind(file: str, settings: Mapping[str, str]) -> str:
    """Return the setting that takes such a file."""
    path = Path(file)
    if path.is_dir():
        return "folder"
    if {"validation", "test"} & set(settings):
        return "train"
    if kind := KINDS.get(path.suffix.lower()):
        return "train" if kind == "lines" else kind
    if not path.exists() and file.count("/") == 1 and not path.is_absolute():
        return "hub"
    known = ", ".join(KINDS)
    raise ConfigError(f"{file}: neither a file with a known suffix ({known}), nor a folder, nor a hub name owner/name")


def _splits(seen: Counts, noun: str) -> RichTable:
    table = text_table("split", "rows", f"repeated {noun}s", f"{noun}s with several labels", gap=2)
    for name, counts in seen.splits.items():
        table.add_row(name, *map(str, (counts.rows, counts.duplicates, counts.conflicting)))
    return table


def _classes(splits: Mapping[str, SplitCounts]) -> RichTable:
    """Return a table of the rows of each class by split, most frequent first, without the middle of a long list."""
    table = text_table("class", *splits, "share of train", gap=2)
    train, counted = splits["train"], {split: counts.labels.rows for split, counts in splits.items()}
    names = sorted(counted["train"], key=lambda name: -counted["train"][name])
    hidden = len(names) - _CLASSES if len(names) > _CLASSES else 0
    shown = [*names[: _CLASSES - _RAREST], *names[-_RAREST:]] if hidden else names
    most = max(counted["train"].values())
    for place, name in enumerate(shown):
        if hidden and place == _CLASSES - _RAREST:
            table.add_row(Text(f"... {hidden} more", style="dim"))
        counts = (str(rows.get(name, 0)) for rows in counted.values())
        share = counted["train"][name]
        table.add_row(_cut(name), *counts, _bar(share, most, 12) + f" {share / train.rows:6.1%}")
    return table


def _numbers(splits: Mapping[str, SplitCounts]) -> RichTable:
    """Return a table of the range and the quartiles of the numbers by split."""
    table = text_table("label", *splits, gap=2)
    for name in splits["train"].labels.numbers:
        table.add_row(name, *(f"{counts.labels.numbers.get(name, math.nan):.4g}" for counts in splits.values()))
    return table


def _overlaps(overlaps: Mapping[str, int], noun: str) -> RichTable:
    table = text_table("splits", f"rows of the second whose {noun} is in the first", gap=2)
    for pair, rows in overlaps.items():
        table.add_row(pair, str(rows))
    return table


def _lengths(seen: Inspection) -> RichTable:
    """Return the histogram, with each percentile on the line of its length."""
    table = text_table("tokens", "texts", "", "percentiles", gap=2)
    most = max(count for *_, count in seen.histogram)
    for low, high, count in seen.histogram:
        reached = {percent: n for percent, n in seen.percentiles.items() if low <= n <= high}
        marks = ", ".join(f"{'longest' if percent == 100 else f'{percent} %'} {n}" for percent, n in reached.items())
        table.add_row(f"{low}-{high}" if high > low else str(low), str(count), _bar(count, most, _BAR), marks)
    return table


def _costs(seen: Inspection) -> RichTable:
    table = text_table("padding_length", "covers", "texts cut", "tokens an epoch", "encoder compute", gap=2)
    for cost in seen.costs:
        table.add_row(
            str(cost.padding_length),
            f"{cost.share_covered:.0%}",
            f"{cost.share_cut:.1%}",
            f"{cost.tokens:,}",
            f"{cost.share_compute:.1%}",
        )
    return table


def _bar(value: int, most: int, width: int) -> str:
    """Return a bar of that width for the highest value; a value above zero has at least one block."""
    length = max(round(width * value / most), int(value > 0)) if most else 0
    return "█" * length + " " * (width - length)


def _cut(name: str, most: int = 32) -> Text:
    name = quoted_if_unclear(name)
    return Text(name if len(name) <= most else f"{name[: most - 1]}…")
