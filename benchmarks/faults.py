"""Kill a process of a sweep every few seconds, and count what is lost compared with the same sweep undisturbed.

On this machine run a Ray head without slots, two worker nodes with one CPU each, an MLflow server and the driver, each
in its own processes. The script kills them with SIGKILL, in a seeded order:

- a trial's process;
- the process that holds the lock of a cache (for instance, it trains the source stage that others wait for);
- a worker node with all its processes, which is restarted;
- the MLflow server, which is restarted;
- the driver, or the whole cluster, whose head is restarted first; then `transfersweep resume` continues.

If a sweep ends before enough was killed, another one begins. The script exits with 1 unless every count is 0.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ENCODER, ROOT, write_experiment, write_json
from fault_injection import Killer, Services, start
from rich.console import Console
from rich.table import Table

from search.record.records import Outcome, State
from search.storage.sweep_folder import SweepFolder, load_outcome

SAMPLES = ROOT / "spaces" / "samples"
METRIC = "macro_f1"
LONGEST_SECONDS = 1800.0  # that a disturbed sweep may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=5.0, help="mean seconds between two kills")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--encoder", default=ENCODER)
    parser.add_argument("--seed", type=int, default=0, help="decides what is killed, and when")
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        services = Services(folder)
        file = write_experiment(experiment(given.trials, given.encoder, services.tracking_uri), folder)
        try:
            services.start()
            expected = undisturbed(services, file, folder / "undisturbed")
            rounds = []
            killer = Killer(random.Random(given.seed), services, given.every)
            while sum(killer.killed.values()) < given.kills:
                rounds.append(disturbed(services, killer, file, folder / f"disturbed-{len(rounds)}", given.kills))
            counts = [compare(expected, found) for found in rounds]
        finally:
            services.end()
    total = Counter({name: sum(count[name] for count in counts) for name in counts[0]})
    report(given, killer, rounds, total)
    write_json(
        given.out,
        {
            "killed": killer.killed,
            "sweeps": [{"drivers": r.drivers, "seconds": round(r.seconds, 1)} for r in rounds],
            "undisturbed_seconds": round(expected.seconds, 1),
            "counts": total,
        },
    )
    sys.exit(any(total.values()))


def experiment(trials: int, encoder: str, tracking_uri: str) -> dict[str, Any]:
    """Return an experiment with given trials, with or without a source; no result depends on their order."""
    points = [
        {
            "source.enabled": i % 3 != 2,
            **({"source.epochs": 1 + i % 3} if i % 3 != 2 else {}),
            "target.learning_rate": [5e-5, 1e-4, 2e-4, 4e-4][i % 4],
            "target.batch_size": [8, 16][i // 2 % 2],
            "target.epochs": 4 + i % 5,
            "target.frozen_layers": i % 2,
        }
        for i in range(trials)
    ]
    tables = {split: str(SAMPLES / f"tweets_{split}.csv") for split in ("train", "validation", "test")}
    source = {"csv": str(SAMPLES / "films.csv")}
    return {
        "sweep": {"name": "sweep", "metric": METRIC, "trials": trials, "start_with": points, "sampler": "random"}
        | {"scheduler": "none", "confirm_seeds": 0, "checkpoint_seconds": 2}
        | {"tracking_uri": tracking_uri},
        "trial": {
            "encoder": encoder,
            "precision": "fp32",
            "source": {"dataset": source, "train_rows": 400, "batch_size": 16, "padding_length": 32},
            "target": {"dataset": tables, "padding_length": 48},
        },
        "space": {
            "source.enabled": {"choice": [True, False]},
            "source.epochs": {"int": [1, 2], "when": {"source.enabled": True}},
            "target.learning_rate": {"float": [1e-5, 1e-3], "log": True},
            "target.batch_size": {"choice": [8, 16]},
            "target.epochs": {"int": [1, 16]},
            "target.frozen_layers": {"int": [0, 1]},
        },
    }


@dataclass
class SweepResult:
    """The outcome of a sweep, and its runs in MLflow."""

    outcome: Outcome
    runs: list[dict[str, Any]]
    """For each run of a trial: `trial` (its key as text), `status`, `history` (steps and values)."""
    status: str
    """Status of the sweep's own run."""
    drivers: int
    """Number of driver processes, one for each start or resume."""
    seconds: float


def undisturbed(services: Services, file: Path, storage: Path) -> SweepResult:
    """Run the sweep without disturbance."""
    begin = time.monotonic()
    driver = drive(services, file, storage)
    if driver.wait():
        raise SystemExit(f"the undisturbed sweep ended with {driver.returncode}:\n{log_of(storage)}")
    return collect_result(services, storage, 1, time.monotonic() - begin)


def disturbed(services: Services, killer: Killer, file: Path, storage: Path, kills: int) -> SweepResult:
    """Run the sweep while processes are killed; resume it until it is complete and MLflow has received all events."""
    begin, drivers = time.monotonic(), 0
    folder = SweepFolder(storage, "sweep")
    while not is_complete(folder):
        services.start_cluster()
        driver, drivers = drive(services, file, storage), drivers + 1
        while driver.poll() is None:
            if time.monotonic() - begin > LONGEST_SECONDS:
                raise SystemExit(f"the sweep did not end in {LONGEST_SECONDS:.0f} s:\n{log_of(storage)}")
            services.restart_due()
            if sum(killer.killed.values()) < kills:
                killer.tick(driver, storage)
            time.sleep(0.1)
        if driver.returncode == -signal.SIGKILL:
            continue
        if driver.returncode:  # its log has the reason; what it needs is restarted
            print(f"a driver ended with {driver.returncode}: {log_of(storage).splitlines()[-1:]}", flush=True)
        services.wait_for_mlflow()
    return collect_result(services, storage, drivers, time.monotonic() - begin)


def is_complete(folder: SweepFolder) -> bool:
    outcome = load_outcome(folder) if folder.path.exists() else None
    return outcome is not None and outcome.complete and not any("events wait" in note for note in outcome.notes)


def drive(services: Services, file: Path, storage: Path) -> subprocess.Popen[bytes]:
    """Start a driver that begins the sweep, or resumes it."""
    begun = (storage / "sweep" / "plan.json").exists()
    what = ["resume", "sweep"] if begun else ["run", str(file)]
    command = [sys.executable, "-m", "search", *what, "--storage", str(storage), "--address", services.address]
    return start(command, storage.with_suffix(".log"))


def log_of(storage: Path) -> str:
    return storage.with_suffix(".log").read_text()[-3000:]


def collect_result(services: Services, storage: Path, drivers: int, seconds: float) -> SweepResult:
    from mlflow import MlflowClient

    services.wait_for_mlflow()
    outcome = load_outcome(SweepFolder(storage, "sweep"))
    assert outcome is not None
    assert outcome.run_id is not None
    client = MlflowClient(services.tracking_uri)
    sweep = client.get_run(outcome.run_id)
    nested = client.search_runs(
        [sweep.info.experiment_id], f"tags.`mlflow.parentRunId` = '{outcome.run_id}'", max_results=1000
    )
    runs = [
        {
            "trial": run.data.tags["transfersweep.trial"],
            "status": run.info.status,
            "history": [
                (m.step, m.value) for m in client.get_metric_history(run.info.run_id, f"target.validation.{METRIC}")
            ],
        }
        for run in nested
    ]
    return SweepResult(outcome, runs, sweep.info.status, drivers, seconds)


def compare(undisturbed: SweepResult, found: SweepResult) -> Counter[str]:
    """Count how often each guarantee was broken."""
    expected = {str(trial.key): trial for trial in undisturbed.outcome.trials}
    numbers = Counter(str(trial.key) for trial in found.outcome.trials)
    ended = {str(trial.key): trial for trial in found.outcome.trials if trial.state is State.FINISHED}
    histories = {run["trial"]: run["history"] for run in undisturbed.runs}
    right = Counter(
        run["trial"]
        for run in found.runs
        if run["status"] == "FINISHED" and run["history"] == histories.get(run["trial"])
    )
    wrong_runs = len(found.runs) - sum(right.values()) + sum(abs(right[number] - 1) for number in expected)
    same = ("winner", "test", "validation")
    return Counter(
        {
            "trials lost": len(expected.keys() - ended.keys()),
            "trials duplicated": sum((numbers - Counter(expected.keys())).values()),
            "MLflow runs wrong": wrong_runs + (found.status != "FINISHED"),
            "trials different": sum(
                (trial.params, trial.value, trial.metrics) != (ended[n].params, ended[n].value, ended[n].metrics)
                for n, trial in expected.items()
                if n in ended
            ),
            "winner or test score different": sum(
                getattr(undisturbed.outcome, name) != getattr(found.outcome, name) for name in same
            ),
        }
    )


def report(given: argparse.Namespace, killer: Killer, rounds: list[SweepResult], total: Counter[str]) -> None:
    drivers, seconds = sum(found.drivers for found in rounds), sum(found.seconds for found in rounds)
    table = Table(
        "count", "", title=f"{len(rounds)} sweeps of {given.trials} trials, {drivers} drivers, {seconds:.0f} s"
    )
    for kind, times in sorted(killer.killed.items()):
        table.add_row(f"killed: {kind}", str(times))
    table.add_section()
    for name, count in total.items():
        table.add_row(name, str(count))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
