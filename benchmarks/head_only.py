"""Measure many epochs with all layers frozen: only pooler and head train, so the encoder needs to run only once.

There are two figures: the total time from a cold start, and the time of all epochs after the first. For the second,
the same trials run again with one epoch, and the difference removes start-up and first pass.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import (
    Run,
    arguments,
    experiment_of,
    machine,
    report,
    run_ours,
    run_peer,
    trial_accuracies,
    warm_file_cache,
    write_subsets,
)

RATES = (1e-3, 3e-4, 3e-3, 1e-4)
OURS = {"ours fp32": "fp32", "ours bf16": "bf16"}
PEER = "Trainer, layers frozen"
Trials = list[dict[str, Any]]


def main() -> None:
    parser = arguments(__doc__, trials=len(RATES))
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    facts = machine()
    warm_file_cache()
    whole: list[Run] = []
    later: list[Run] = []
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        for seed in given.seeds:
            for contender in (PEER, *OURS):
                run: Callable[[Trials, int, str, Path, Path], Run] = peer if contender == PEER else ours
                long, short = (
                    run(head_only(given.trials, epochs), seed, contender, data, Path(scratch) / f"{epochs}-epochs")
                    for epochs in (given.epochs, 1)
                )
                whole.append(long)
                later.append(Run(contender, seed, long.seconds - short.seconds, long.accuracy, {}))
                print(f"seed {seed}, {contender}: {long.seconds:.1f} s, one epoch {short.seconds:.1f} s", flush=True)
    report(f"{given.trials} head-only trials, {given.epochs} epochs, cold start", facts, whole, list(OURS), given.out)
    later_out = given.out.with_stem(f"{given.out.stem}-later-epochs")
    report(f"The {given.epochs - 1} epochs after the first", facts, later, list(OURS), later_out)


def head_only(count: int, epochs: int) -> Trials:
    fixed = {"batch_size": 16, "epochs": epochs, "padding_length": 64, "frozen_layers": 6}
    return [{"learning_rate": rate, **fixed} for rate in RATES[:count]]


def peer(trials: Trials, seed: int, name: str, data: Path, scratch: Path) -> Run:
    spec = {"data": str(data), "seed": seed, "source": False, "trials": trials}
    seconds, answer = run_peer("source_once", spec, scratch / f"peer-{seed}")
    return Run(name, seed, seconds, statistics.fmean(answer["accuracies"]), answer)


def ours(trials: Trials, seed: int, name: str, data: Path, scratch: Path) -> Run:
    file = experiment_of(trials, data, seed, OURS[name], source=False)
    seconds, outcome = run_ours(file, scratch / f"{OURS[name]}-{seed}")
    accuracies = trial_accuracies(outcome, trials)
    return Run(name, seed, seconds, statistics.fmean(accuracies), {"accuracies": accuracies})


if __name__ == "__main__":
    main()
