"""Measure how long our sweep needs to reach the best score of a complete `Trainer.hyperparameter_search`.

Both search the same space, from the same source-trained weights, on the same rows. Both use a trial's best evaluation,
even if the trial is pruned later. Our score counts from the moment when MLflow shows it; the table also shows when its
trial ended or was stopped. Our sweep may run more trials than the peer (`--ours-trials`).
"""

import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import (
    SPACE,
    arguments,
    experiment,
    machine,
    run_ours,
    run_peer,
    warm_file_cache,
    write_json,
    write_subsets,
)
from mlflow import MlflowClient
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Race:
    """The result of one seed."""

    seed: int
    peer_seconds: float
    peer_best: float
    ours_seconds: float | None
    """From our cold start until MLflow shows a score as good as the peer's best; None if that never happens."""
    ours_trial_ended: float | None
    """From our cold start until the first trial with such a score has ended."""
    ours_best: float
    ours_trials: int
    """Our trials with a score by then, or by the end if never."""

    @property
    def ratio(self) -> float:
        """The peer's seconds divided by ours; 0 if we never reach its best score."""
        return self.peer_seconds / self.ours_seconds if self.ours_seconds else 0.0


def main() -> None:
    parser = arguments(__doc__, trials=24)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--ours-trials", type=int, help="largest number of our trials; default: four times the peer's")
    parser.add_argument("--gpus-per-trial", type=float, help="for ours; 0.25 means four trials on a GPU")
    given = parser.parse_args()
    facts = machine()
    warm_file_cache()
    races = []
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        for seed in given.seeds:
            ours_trials = given.ours_trials or 4 * given.trials
            sweep = {"trials": ours_trials, "gpus_per_trial": given.gpus_per_trial}
            races.append(race(data, seed, given.trials, sweep, given.precision, Path(scratch) / str(seed)))
            print(races[-1], flush=True)
    show(facts, races)
    results = [asdict(r) | {"ratio": r.ratio} for r in races]
    write_json(
        given.out, {"machine": facts, "median_ratio": statistics.median(r.ratio for r in races), "runs": results}
    )


def race(data: Path, seed: int, trials: int, sweep: dict[str, Any], precision: str, scratch: Path) -> Race:
    spec = {"data": str(data), "seed": seed, "source": True, "number_of_trials": trials}
    peer_seconds, answer = run_peer("hyperparameter_search", spec, scratch / "peer")
    best = max(answer["accuracies"])
    began = time.time()
    run_ours(experiment(data, seed, precision, sweep, SPACE), scratch / "ours")
    trials = scored_trials(scratch / "ours" / "mlflow.db", began)
    reached = min((second for t in trials for second, value in t.scores if value >= best), default=None)
    ended = min((t.ended for t in trials if max(value for _, value in t.scores) >= best), default=None)
    by_then = [t for t in trials if reached is None or t.scores[0][0] <= reached]
    ours_best = max(value for t in trials for _, value in t.scores)
    return Race(seed, peer_seconds, best, reached, ended, ours_best, len(by_then))


@dataclass(frozen=True)
class ScoredTrial:
    """One of our trials."""

    scores: list[tuple[float, float]]
    """Time of each evaluation, and its validation accuracy."""
    ended: float
    """When the trial ended, in seconds from the same start as the scores."""


def scored_trials(database: Path, began: float = 0.0) -> list[ScoredTrial]:
    """Return the search's trials with a score, from MLflow; times are seconds since `began`, by default the epoch."""
    client = MlflowClient(f"sqlite:///{database}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`transfersweep.role` = 'search'", max_results=1000)
    trials = []
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "target.validation.accuracy")
        scores = sorted((metric.timestamp / 1000 - began, metric.value) for metric in history)
        trials += [ScoredTrial(scores, run.info.end_time / 1000 - began)] if scores else []
    return trials


def show(facts: dict[str, object], races: list[Race]) -> None:
    table = Table(
        "seed",
        "peer's seconds",
        "peer's best",
        "ours, seconds to it",
        "to its trial's end",
        "our trials by then",
        "our best",
        "ratio",
    )
    for r in races:
        reached, ended = (f"{s:.1f}" if s else "never" for s in (r.ours_seconds, r.ours_trial_ended))
        peer = (f"{r.peer_seconds:.1f}", f"{r.peer_best:.4f}")
        row = (r.seed, *peer, reached, ended, r.ours_trials, f"{r.ours_best:.4f}")
        table.add_row(*map(str, row), f"{r.ratio:.2f}x")
    Console(width=140).print(facts, table, f"median ratio: {statistics.median(r.ratio for r in races):.2f}x")


if __name__ == "__main__":
    main()
