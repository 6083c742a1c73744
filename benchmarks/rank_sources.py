"""Measure whether `transfersweep rank` finds the source that helps most: its order against trials after each source.

For each target, few labelled rows are drawn. `rank` scores every source on these rows. Then a trial is trained for
every source and for none, with the same source stage, and scored on test rows that the ranking has not seen. Printed
are the place that the ranking gave to the best source, and the regret: the best score minus that of the ranking's
first, and minus the better of its first two.

    python benchmarks/rank_sources.py --data DIR --out rank_sources.json
    python benchmarks/rank_sources.py --data DIR --targets tweets-64 --draws 0 --source-rows 500
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from common import ENCODER, QUIET, ROOT, machine
from pairs import TEXTS, Pair, Row, draw_rows, read_rows, texts
from scipy.stats import spearmanr

from search.plan.plan import load_plan
from trainable.model.pooling import features_pooling
from trainable.trial import run_trial

SOURCES = {
    "movie": "vader_domains/movie_",
    "nyt": "vader_domains/nyt_",
    "amazon": "vader_domains/amazon_",
    "books": "amazon_domains/books_",
    "sst2": "sst2/",
    "mnli": "mnli_dev/",
    "clinc150": "clinc150/",
    "banking77": "banking77/",
}
"""Beginning of the files of each source, to which `train.csv` and `validation.csv` are added."""
TARGETS = {
    "tweets-64": Pair("vader_domains/tweets_", "macro_f1", rows=64),
    "kitchen-32": Pair("amazon_domains/kitchen_", "accuracy", rows=32),
    "banking-5": Pair("banking77/", "accuracy", per_class=5),
    "scitail-100": Pair("scitail_dev/", "accuracy", rows=100, columns=TEXTS),
}
NONE = "no source"
EPOCHS = 8
SOURCE_VALIDATION = 200


@dataclass
class Result:
    """One draw of a target: the order of the ranking, and the score of a trial after each source."""

    target: str
    draw: int
    ranked: list[dict[str, Any]]
    rank_seconds: float
    scores: dict[str, float] = field(default_factory=dict)
    """By source, with `NONE`: on the test rows."""
    trial_seconds: float = 0.0

    @property
    def order(self) -> list[str]:
        return [each["source"] or NONE for each in self.ranked]

    @property
    def place(self) -> int:
        """Return the place that the ranking gave to the best candidate, from 1."""
        return 1 + self.order.index(max(self.scores, key=lambda name: self.scores[name]))

    def regret(self, first: int) -> float:
        """Return how much better the best candidate is than the best among the first ones of the ranking."""
        return max(self.scores.values()) - max(self.scores[name] for name in self.order[:first])

    def correlation(self, score: str) -> float:
        """Return Spearman's correlation of one score of the ranking with the scores on test rows."""
        truth = [self.scores[each["source"] or NONE] for each in self.ranked]
        return float(spearmanr([each[score] for each in self.ranked], truth).statistic)


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)  # as a slot of a sweep; several threads wait for each other where others compute, too
    results = []
    with tempfile.TemporaryDirectory(prefix="rank-", ignore_cleanup_errors=True) as scratch:
        storage = given.storage or Path(scratch) / "runs"
        for name in given.targets:
            for draw in given.draws:
                results.append(measure(name, draw, given, Path(scratch) / f"{name}-{draw}", storage))
                print_result(results[-1])
                facts = {"machine": machine(), "results": [asdict(result) for result in results]}
                given.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    within = sum(result.place <= 2 for result in results)
    print(f"the best is among the first two in {within} of {len(results)}")


def measure(name: str, draw: int, given: argparse.Namespace, folder: Path, storage: Path) -> Result:
    """Rank the sources of one draw, then train a trial after each."""
    experiment = write_experiment(name, draw, given, folder)
    start = time.monotonic()
    rank = [sys.executable, "-P", "-m", "search", "rank", experiment, "--storage", storage, "--json"]
    command = [*map(str, rank), "--source-rows", str(given.source_rows)]
    variables = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
    ranking = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=variables).stdout)
    result = Result(name, draw, ranking["candidates"], time.monotonic() - start)
    start = time.monotonic()
    for source in map(str, result.order):
        result.scores[source] = train(experiment, source, storage)
        print(f"{name} draw {draw}, {source}: {result.scores[source]:.3f}", file=sys.stderr, flush=True)
    result.trial_seconds = time.monotonic() - start
    return result


def write_experiment(name: str, draw: int, given: argparse.Namespace, folder: Path) -> Path:
    """Write the drawn rows as the training split, test rows as the validation split, and an experiment with both."""
    pair = TARGETS[name]
    folder.mkdir(parents=True)
    rows = read_rows(given.data / f"{pair.target}test.csv")
    known = {texts(row, pair) for row in rows}
    pool = [row for row in read_rows(given.data / f"{pair.target}train.csv") if texts(row, pair) not in known]
    write_rows(folder / "train.csv", draw_rows(pool, pair, random.Random(draw)), pair.columns)
    write_rows(folder / "test.csv", sample(rows, given.test_rows), pair.columns)
    sources = {key: path for key, path in SOURCES.items() if key in given.sources and path != pair.target}
    splits = {"max_overlap": 1, "train": str(folder / "train.csv"), "validation": str(folder / "test.csv")}
    stage = {"padding_length": 64, "learning_rate": 5e-5}
    blocks = {
        "sweep": {"name": "rank", "metric": pair.metric},
        "trial": {
            "encoder": ENCODER,
            "datasets": {key: write_source(given, path, folder.parent / key) for key, path in sources.items()},
            "source": {**stage, "epochs": 1, "train_rows": given.source_rows},
            "target": {**stage, "dataset": splits, "epochs": EPOCHS, "load_best_at_end": False},
        },
        "space": {"source.dataset": {"choice": list(sources)}},
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(blocks), encoding="utf-8")
    return file


def write_source(given: argparse.Namespace, beginning: str, folder: Path) -> dict[str, Any]:
    """Write fewer validation rows than a source has, as their scores are not used; return its data settings."""
    validation = folder / "validation.csv"
    if not validation.exists():
        folder.mkdir()
        rows = read_rows(given.data / f"{beginning}validation.csv")
        columns = TEXTS if TEXTS[0] in rows[0] else ("text",)
        write_rows(validation, sample(rows, SOURCE_VALIDATION), columns)
    return {"train": str(given.data / f"{beginning}train.csv"), "validation": str(validation), "max_overlap": 1}


def sample(rows: list[Row], most: int) -> list[Row]:
    return random.Random(0).sample(rows, min(most, len(rows)))


def write_rows(file: Path, rows: list[Row], columns: Sequence[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        names = (*columns, "label")
        csv.writer(lines).writerows([names, *([row[name] for name in names] for row in rows)])


def train(experiment: Path, source: str, storage: Path) -> float:
    """Train a trial after a source, and return its score on the test rows with its last weights."""
    plan = load_plan(experiment)
    chosen = {"source.enabled": False} if source == NONE else {"source.dataset": source}
    pooling = features_pooling(ENCODER, pairs=False)  # as `rank`, so that the source stage is the same
    config = plan.config(chosen, pooling=pooling)
    result = run_trial(config, lambda _: True, workspace=plan.workspace(storage))
    return result.metrics[f"target.validation.{config.metric}"]


def print_result(result: Result) -> None:
    scores = ", ".join(f"{name} {result.scores[name]:.3f}" for name in result.order)
    correlations = ", ".join(f"{name} {result.correlation(name):+.2f}" for name in ("log_me", "h_score", "knn"))
    print(f"{result.target}, draw {result.draw}, in the order of the ranking: {scores}")
    print(f"    place of the best {result.place}; regret {result.regret(1):.3f}, of two {result.regret(2):.3f}")
    print(f"    Spearman's correlation: {correlations}")
    print(f"    rank {result.rank_seconds:.0f} s, trials {result.trial_seconds:.0f} s", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TRANSFERSWEEP_BENCHMARK_DATA")
    parser.add_argument("--data", type=Path, default=data, required=data is None, help="folder with the data sets")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--source-rows", type=int, default=1000)
    parser.add_argument("--test-rows", type=int, default=400)
    parser.add_argument("--storage", type=Path, help="keeps source stages for the next run")
    parser.add_argument("--out", type=Path, default=Path("rank_sources.json"))
    given = parser.parse_args()
    given.data = given.data.resolve()
    return given


if __name__ == "__main__":
    main()
