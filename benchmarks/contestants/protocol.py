"""What a contestant and `instead.py` tell each other: a job in, answers out. It needs Python alone.

The clock starts when `instead.py` starts the process. It stands still while test rows are predicted, because only the
benchmark needs these predictions. So an answer's second is when its model was ready to be used.
"""

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Text = tuple[str, ...]
"""One text, or a pair of texts."""


@dataclass(frozen=True)
class Source:
    """The source task: files as they are in the data folder."""

    train: str
    validation: str


@dataclass(frozen=True)
class Job:
    """What a contestant is given. The labels of the test rows are not among it."""

    contestant: str
    columns: tuple[str, ...]
    """The text columns of all files: `text`, or `text_a` and `text_b`."""
    train: str
    """A CSV file with all labelled rows: the contestant takes a validation split from it if it needs one."""
    test: str
    """A CSV file with the texts to label."""
    source: Source | None
    encoder: str
    """Folder of the pretrained encoder."""
    metric: str
    """`accuracy` or `macro_f1`."""
    minutes: float
    """The budget, from the start of the process."""
    few: bool
    """Whether the pair has fewer than 1,000 labelled rows."""
    seed: int
    threads: int
    folder: str
    """An empty folder for the contestant's files and its answers."""
    began: float
    """Unix time at which the process was started."""


def read_job() -> Job:
    """Read the job whose file is the first argument, and give all thread pools their size."""
    given = json.loads(Path(sys.argv[1]).read_text())
    source = given.pop("source")
    columns = tuple(given.pop("columns"))
    job = Job(**given, columns=columns, source=Source(**source) if source else None)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(job.threads)
    return job


def texts_of(file: str, columns: Sequence[str]) -> list[Text]:
    return [tuple(row[name] for name in columns) for row in _rows(file)]


def labels_of(file: str) -> list[str]:
    return [row["label"] for row in _rows(file)]


def joined(texts: list[Text]) -> list[str]:
    """Return each pair as one text, for contestants that read single texts."""
    return [" [SEP] ".join(text) for text in texts]


def _rows(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


class Answers:
    """Writes the answers of one contestant, each with the second at which its model was ready."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.predicting = 0.0
        self.count = 0

    @property
    def seconds(self) -> float:
        """Return the seconds since the start of the process, without the predictions of test rows."""
        return time.time() - self.job.began - self.predicting

    @property
    def left(self) -> float:
        """Return the seconds that are left of the budget; negative when it is used up."""
        return self.job.minutes * 60 - self.seconds

    def give(self, predict: Callable[[], Sequence[str]], last: bool = False, note: str = "") -> None:
        """Write an answer: the labels that `predict` returns for the test rows, in their order.

        `last` says that a larger budget would give the same answer: the contestant has ended before its budget.
        """
        ready = self.seconds
        begin = time.time()
        labels = [str(label) for label in predict()]
        answer = {"seconds": ready, "labels": labels, "last": last, "note": note}
        file = Path(self.job.folder) / f"answer-{self.count:03}.json"
        file.with_suffix(".part").write_text(json.dumps(answer))
        file.with_suffix(".part").rename(file)
        self.count += 1
        self.predicting += time.time() - begin
