"""The pairs of `instead.py`: a target with few or all of its labels, with or without a source; and their draws."""

import csv
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

Row = dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A target task, how many of its labelled rows are known, and the source that may help."""

    target: str
    """Beginning of the target's files in the data folder, to which `train.csv` and so on are added."""
    metric: str
    rows: int | None = None
    """Number of labelled rows, drawn as the classes occur; None: all, unless `per_class` is set."""
    per_class: int | None = None
    source: str | None = None
    """Beginning of the source's files."""
    columns: tuple[str, ...] = field(default=("text",))


TEXTS = ("text_a", "text_b")
PAIRS = {
    "tweets-16": Pair("vader_domains/tweets_", "macro_f1", rows=16, source="vader_domains/movie_"),
    "kitchen-32": Pair("amazon_domains/kitchen_", "accuracy", rows=32, source="sst2/"),
    "sms-64": Pair("sms_spam/", "macro_f1", rows=64),
    "scitail-100": Pair("scitail_dev/", "accuracy", rows=100, source="mnli_dev/", columns=TEXTS),
    "banking-5": Pair("banking77/", "accuracy", per_class=5),
    "banking-10": Pair("banking77/", "accuracy", per_class=10, source="clinc150/"),
    "clinc-10": Pair("clinc150/", "accuracy", per_class=10),
    "scitail-all": Pair("scitail_dev/", "accuracy", columns=TEXTS),
    "emotion-all": Pair("tweet_emotion/", "macro_f1"),
    "sms-all": Pair("sms_spam/", "macro_f1"),
    "sst2-all": Pair("sst2/", "accuracy"),
}
SMALL = {"small": Pair("tweets_", "macro_f1", rows=24)}
"""Of `spaces/samples`, for the small tier."""


def write_draw(pair: Pair, data: Path, draw: int, folder: Path) -> tuple[list[str], int]:
    """Write `train.csv`, and `test.csv` without labels; return the labels of the test rows and the number of rows.

    The pool is the target's train and validation splits, without texts that also occur in test.
    """
    test = read_rows(data / f"{pair.target}test.csv")
    known = {texts(row, pair) for row in test}
    pool = [row for split in ("train", "validation") for row in read_rows(data / f"{pair.target}{split}.csv")]
    drawn = draw_rows([row for row in pool if texts(row, pair) not in known], pair, random.Random(draw))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.csv", drawn, (*pair.columns, "label"))
    _write(folder / "test.csv", test, pair.columns)
    return [row["label"] for row in test], len(drawn)


def draw_rows(pool: list[Row], pair: Pair, generator: random.Random) -> list[Row]:
    """Draw rows in a random order. Each class that a number of rows has room for gets two rows at least."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in generator.sample(pool, len(pool)):
        by_label[row["label"]].append(row)
    if pair.per_class:
        drawn = [row for of in by_label.values() for row in of[: pair.per_class]]
    elif pair.rows:
        least = min(2, pair.rows // len(by_label))
        drawn = [row for of in by_label.values() for row in of[:least]]
        rest = [row for of in by_label.values() for row in of[least:]]
        drawn += generator.sample(rest, pair.rows - len(drawn))
    else:
        drawn = pool
    return generator.sample(drawn, len(drawn))


def read_rows(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def texts(row: Row, pair: Pair) -> tuple[str, ...]:
    return tuple(row[name] for name in pair.columns)


def _write(file: Path, rows: list[Row], columns: tuple[str, ...]) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([columns, *([row[name] for name in columns] for row in rows)])
