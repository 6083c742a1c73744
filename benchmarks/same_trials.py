"""Run the same eight trials, with source stage, by each peer and by us: seconds from a cold start, and accuracy."""

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    ENCODER,
    Run,
    arguments,
    experiment_of,
    machine,
    ours_command,
    report,
    run_ours,
    run_peer,
    timed,
    trial_accuracies,
    warm_file_cache,
    write_experiment,
    write_subsets,
)
from random_encoders import CHOICES, encoder_of_size

NAMES = ("learning_rate", "batch_size", "epochs", "padding_length", "frozen_layers")
TRIALS = [
    dict(zip(NAMES, values, strict=True))
    for values in (
        (5e-5, 16, 3, 128, 0),
        (2e-5, 8, 4, 128, 0),
        (1e-4, 32, 4, 32, 1),
        (5e-5, 8, 2, 96, 2),
        (1e-4, 16, 3, 128, 3),
        (2e-4, 16, 2, 64, 4),
        (5e-4, 8, 3, 48, 5),
        (1e-3, 32, 4, 128, 6),
    )
]
PEERS = {
    "source_once": "(a) Trainer",
    "source_each": "(b) Trainer, source each",
    "ray_documented": "(c) Ray as documented",
}
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    parser = arguments(__doc__, trials=len(TRIALS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="of ours")
    parser.add_argument(
        "--encoder-size",
        choices=CHOICES,
        default="minilm",
        help="except MiniLM with random weights: for times alone",
    )
    parser.add_argument("--forecast", action="store_true", help="print our forecast and run no trial")
    parser.add_argument(
        "--gpus-per-trial",
        type=float,
        nargs="+",
        default=[None],
        help="run ours with each of these; 0.25 means four trials on a GPU",
    )
    given = parser.parse_args()
    trials = TRIALS[: given.trials]
    ours = {
        name_of(precision, gpus): (precision, gpus) for gpus in given.gpus_per_trial for precision in given.precisions
    }
    facts = machine()
    if given.peers:
        warm_file_cache()
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        encoder = encoder_of_size(given.encoder_size, Path(scratch) / "encoder")
        if given.forecast:
            for name, setting in ours.items():
                print(f"{name}:\n{forecast(*setting, data, trials, encoder, Path(scratch) / name)}", flush=True)
            return
        contenders = [partial(peer, name, data, trials, encoder) for name in given.peers]
        contenders += [partial(sweep, name, *setting, data, trials, encoder) for name, setting in ours.items()]
        runs = []
        for turn, seed in enumerate(given.seeds):
            first = turn % len(contenders)  # so that each contender gets another place in the order
            for contender in contenders[first:] + contenders[:first]:
                runs.append(contender(seed, Path(scratch)))
                print(
                    f"seed {seed}, {runs[-1].contender}: {runs[-1].seconds:.1f} s, {runs[-1].accuracy:.4f}", flush=True
                )
    report(f"{len(trials)} given trials", facts, runs, list(ours), given.out)


def peer(name: str, data: Path, trials: list[dict[str, Any]], encoder: str, seed: int, scratch: Path) -> Run:
    spec: dict[str, Any] = {"data": str(data), "seed": seed, "source": True, "trials": trials}
    spec |= {} if encoder == ENCODER else {"encoder": encoder}
    seconds, answer = run_peer(name, spec, scratch / f"{name}-{seed}")
    return Run(PEERS[name], seed, seconds, statistics.fmean(answer["accuracies"]), answer)


def name_of(precision: str, gpus: float | None) -> str:
    """Return the name of one of ours in the table."""
    return f"ours {precision}" + ("" if gpus is None else f", {gpus:g} GPUs a trial")


def sweep(
    name: str,
    precision: str,
    gpus: float | None,
    data: Path,
    trials: list[dict[str, Any]],
    encoder: str,
    seed: int,
    scratch: Path,
) -> Run:
    given = experiment_of(trials, data, seed, precision, gpus_per_trial=gpus, encoder=encoder)
    seconds, outcome = run_ours(given, scratch / f"{precision}-{gpus}-{seed}")
    accuracies = trial_accuracies(outcome, trials)
    return Run(name, seed, seconds, statistics.fmean(accuracies), {"accuracies": accuracies})


def forecast(
    precision: str, gpus: float | None, data: Path, trials: list[dict[str, Any]], encoder: str, folder: Path
) -> str:
    """Return what `transfersweep doctor` prints on these trials: time, memory and disk space, from one batch."""
    folder.mkdir(parents=True)
    given = experiment_of(trials, data, 0, precision, gpus_per_trial=gpus, encoder=encoder)
    command = ours_command(write_experiment(given, folder), folder, "doctor")
    return timed([part for part in command if part != "--json"], folder / "log.txt")[1]


if __name__ == "__main__":
    main()
