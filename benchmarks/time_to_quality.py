"""How long until our sweep has the best score that `Trainer.hyperparameter_search` has found by its end?

Both search the same space, from the same source-trained weights, on the same rows, and both count a trial's best
evaluation, whether it was pruned later or not. Ours counts a score from the moment at which its *trial ended* (or was
stopped), which is later than the score itself. It may run more trials than the peer (`--ours-trials`).
"""

import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
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
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Race:
    """One seed."""

    seed: int
    peer_seconds: float
    peer_best: float
    ours_seconds: float | None
    """From our cold start until the peer's best was reached; None where it never was."""
    ours_best: float
    ours_trials: int
    """Trials of ours that had ended by then, or by the end."""

    @property
    def ratio(self) -> float:
        """The peer's seconds over ours; 0 where we never got there."""
        return self.peer_seconds / self.ours_seconds if self.ours_seconds else 0.0


def main() -> None:
    parser = arguments(__doc__, trials=24)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--ours-trials", type=int, help="most trials of ours; default: four times the peer's")
    parser.add_argument("--gpus-per-trial", type=float, help="ours: 0.25 is four a GPU")
    given = parser.parse_args()
    facts = machine()
    warm_file_cache()
    races = []
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        for seed in given.seeds:
            most = given.ours_trials or 4 * given.trials
            sweep = {"trials": most, "gpus_per_trial": given.gpus_per_trial}
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
    ended = ended_trials(scratch / "ours" / "sweep" / "study.db")
    moments = [end - began for end, value in ended if value >= best]
    reached = min(moments, default=None)
    done = [end for end, _ in ended if reached is None or end - began <= reached]
    return Race(seed, peer_seconds, best, reached, max(value for _, value in ended), len(done))


def ended_trials(study_file: Path) -> list[tuple[float, float]]:
    """When each trial of ours ended (seconds since the epoch), and its best evaluation."""
    storage = f"sqlite:///{study_file}"
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    searched = [t for t in trials if t.user_attrs.get("role", "search") == "search"]
    return [(t.datetime_complete.timestamp(), max(scores(t))) for t in searched if t.datetime_complete and scores(t)]


def scores(trial: FrozenTrial) -> list[float]:
    return [*trial.intermediate_values.values(), *([trial.value] if trial.value is not None else [])]


def show(facts: dict[str, object], races: list[Race]) -> None:
    table = Table(
        "seed", "peer's seconds", "peer's best", "ours, seconds to it", "our trials by then", "our best", "ratio"
    )
    for r in races:
        reached = f"{r.ours_seconds:.1f}" if r.ours_seconds else "never"
        row = (r.seed, f"{r.peer_seconds:.1f}", f"{r.peer_best:.4f}", reached, r.ours_trials, f"{r.ours_best:.4f}")
        table.add_row(*map(str, row), f"{r.ratio:.2f}x")
    Console(width=140).print(facts, table, f"median ratio: {statistics.median(r.ratio for r in races):.2f}x")


if __name__ == "__main__":
    main()
