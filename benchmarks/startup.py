"""Measure each part of search/startup: run a tiny sweep with the part switched off, and with all parts.

It measures seconds from the command to the first report of a target stage, and to the end of the command. Each round
runs every variant once. The order shifts from round to round, so that a passing load affects all variants alike. The
figures are ratios to the run with all parts in the same round. CPU seconds are those of the driver and all its
descendants.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, environment, machine, warm_file_cache, write_json
from rich.console import Console
from rich.table import Table
from startup_parts import ALL, PARTS
from time_to_quality import scored_trials


@dataclass(frozen=True)
class Measured:
    """One run of one variant."""

    variant: str
    round: int
    first_report: float
    """Seconds from the command to the first validation score in MLflow."""
    whole: float
    """Seconds from the command to its end."""
    cpu: float
    """CPU seconds of all processes, as sampled four times a second."""
    load: float
    """Load of this machine before the run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument(
        "--without", nargs="*", choices=sorted(PARTS), default=sorted(PARTS), help="parts to switch off"
    )
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    facts = machine()
    warm_file_cache()
    variants, runs = [ALL, *given.without], list[Measured]()
    for number in range(given.rounds):
        shift = number * len(variants) // given.rounds
        for variant in variants[shift:] + variants[:shift]:
            runs.append(measure(variant, number, given.trials))
            print(runs[-1], flush=True)
    show(facts, variants, runs)
    write_json(given.out, {"machine": facts, "runs": [asdict(run) for run in runs]})


def measure(variant: str, number: int, trials: int) -> Measured:
    """Run the quickstart with few, short trials in a new process and a new storage folder."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        storage, log = Path(scratch) / "runs", Path(scratch) / "log.txt"
        settings = {"sweep.trials": trials, "sweep.confirm_seeds": 0, "trial.source.epochs": 1}
        command = [sys.executable, str(Path(__file__).with_name("startup_parts.py")), variant]
        command += ["run", "quickstart", "--json", "--storage", str(storage)]
        command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        begin, cpu = time.time(), [0.0]
        with (
            log.open("w") as file,
            subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=file) as process,
        ):
            thread = threading.Thread(target=count_cpu, args=(psutil.Process(process.pid), cpu))
            thread.start()
            code = process.wait()
            whole = time.time() - begin
            thread.join()
        if code:
            raise SystemExit(f"{variant} ended with {code}:\n{log.read_text()[-4000:]}")
        first = min(second for t in scored_trials(storage / "mlflow.db", begin) for second, _ in t.scores)
    return Measured(variant, number, first, whole, cpu[0], load)


def count_cpu(driver: psutil.Process, total: list[float]) -> None:
    """Add up the CPU seconds of a process and of all its descendants until it ends."""
    seconds: dict[tuple[int, float], float] = {}
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        with suppress(psutil.NoSuchProcess):
            for process in [driver, *driver.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds[process.pid, process.create_time()] = times.user + times.system
        total[0] = sum(seconds.values())
        time.sleep(0.25)


def show(facts: dict[str, Any], variants: list[str], runs: list[Measured]) -> None:
    """Print medians, and the median over all rounds of the ratio to the run with all parts."""
    whole = {run.round: run for run in runs if run.variant == ALL}
    table = Table("switched off", "first report", "ratio", "whole run", "ratio", "CPU seconds", "ratio", "load")
    for variant in variants:
        of = [run for run in runs if run.variant == variant]
        row = [variant]
        for name in ("first_report", "whole", "cpu"):
            values = [getattr(run, name) for run in of]
            ratios = [getattr(run, name) / getattr(whole[run.round], name) for run in of]
            row += [f"{statistics.median(values):.1f}", f"{statistics.median(ratios):.2f}"]
        table.add_row(*row, " ".join(f"{run.load:.1f}" for run in of))
    Console(width=140).print(facts, table)


if __name__ == "__main__":
    main()
