"""Compare a trial of each task with a plain `transformers.Trainer`: the score on the same test rows, and the time.

Both train the same stages with the same settings and seeds, in a new process, on the same number of threads: source and
target, or the target alone. Ours is the trial function that a slot of a sweep runs, without Ray, MLflow, baselines and
repeats, which a Trainer does not have.

    python benchmarks/tasks.py --data DIR --results tasks.jsonl            # everything
    python benchmarks/tasks.py --data DIR --results tasks.jsonl --pairs tagging regression --seeds 0
    python benchmarks/tasks.py --results tasks.jsonl --report              # the table again
    python benchmarks/tasks.py --data DIR --results small.jsonl --small    # figures without a meaning

Finished runs in the results file are not repeated, so the same command continues after a stop.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from common import ENCODER, environment, machine_name, timed
from random_encoders import small_t5, small_vit
from runs import commit
from scipy.stats import ttest_ind
from task_tables import PAIRS, Pair, write_tables

PEER = "Trainer"
CONTENDERS = {PEER: ("task_trainer", "fp32"), "ours fp32": ("task_ours", "fp32"), "ours auto": ("task_ours", "auto")}
"""The module that runs each contender, and its precision. `auto` is our default: bf16 where the hardware has it."""
SMALL_ROWS = 24
TIMES = {"trial_seconds": "trial, s", "cpu_seconds": "trial, processor s", "seconds": "process, s"}


@dataclass(frozen=True)
class Run:
    """One contender's process on one pair and seed."""

    pair: str
    contender: str
    seed: int
    score: float
    seconds: float
    """From the start of the process to its end."""
    trial_seconds: float
    """Without the imports of libraries."""
    cpu_seconds: float
    """Processor time of the same part, over all threads: on a busy machine it says more than the time that passes."""
    steps: dict[str, int]
    """Optimiser steps of each stage."""
    facts: dict[str, Any]


def main() -> None:
    given = arguments()
    if not given.report:
        if not given.small:
            read_libraries_once()
        for name in given.pairs:
            run_pair(name, given)
    print_report([run for run in done_runs(given.results) if run.pair in given.pairs])


def read_libraries_once() -> None:
    """Import what the contenders import, untimed, so that none of them reads it from a cold disk."""
    modules = ", ".join({module for module, _ in CONTENDERS.values()})
    subprocess.run([sys.executable, "-c", f"import {modules}"], env=environment(), check=True, capture_output=True)


def run_pair(name: str, given: argparse.Namespace) -> None:
    """Run what is missing of a pair; the contenders take turns, so that a change of the machine's pace meets all."""
    done = {(run.contender, run.seed) for run in done_runs(given.results) if run.pair == name}
    pair, names = PAIRS[name], list(given.contenders)
    with tempfile.TemporaryDirectory(prefix="tasks-", ignore_cleanup_errors=True) as scratch:
        tables = Path(scratch) / "tables"
        tables.mkdir()
        write_tables(pair, given.data, tables, SMALL_ROWS if given.small else None)
        encoder = encoder_of(pair, tables, Path(scratch) / "encoder")
        for turn, seed in enumerate(given.seeds):
            first = turn % len(names)
            for contender in names[first:] + names[:first]:
                if (contender, seed) in done:
                    continue
                spec = spec_of(pair, contender, seed, given.threads, encoder, tables)
                run = run_contender(name, contender, spec, Path(scratch) / f"{contender}-{seed}", given.small)
                print(f"{name}, seed {seed}, {contender}: {run.score:.4f} in {run.seconds:.1f} s", flush=True)
                with given.results.open("a") as file:
                    file.write(json.dumps(asdict(run)) + "\n")


def encoder_of(pair: Pair, tables: Path, folder: Path) -> str:
    """Return the folder of MiniLM, or write a small random encoder."""
    if pair.encoder == "minilm":
        return str(files(ENCODER.removeprefix("package:")) / "model")
    if pair.encoder == "vit":
        return small_vit(folder)
    rows = [json.loads(line) for line in (tables / "target_train.jsonl").read_text(encoding="utf-8").splitlines()]
    return small_t5([row[column] for row in rows for column in ("text", "target")], folder)


def spec_of(pair: Pair, contender: str, seed: int, threads: int, encoder: str, tables: Path) -> dict[str, Any]:
    stages = {name: {k: v for k, v in vars(stage).items() if k != "rows"} for name, stage in pair.stages.items()}
    scored = "source" if stages.get("source", {}).get("task") == "masked_language" else "target"
    chosen = {"encoder": encoder, "tables": str(tables), "stages": stages, "scored": scored, "metric": pair.metric}
    return chosen | {"precision": CONTENDERS[contender][1], "seed": seed, "threads": threads}


def run_contender(name: str, contender: str, spec: dict[str, Any], folder: Path, small: bool) -> Run:
    """Run a contender in a new process, or in this one at the small size."""
    folder.mkdir(parents=True)
    spec, module, load = spec | {"folder": str(folder)}, CONTENDERS[contender][0], os.getloadavg()[0]
    if small:
        answer = importlib.import_module(module).run(spec)
        seconds = answer["trial_seconds"]
    else:
        given, written = folder / "spec.json", folder / "answer.json"
        given.write_text(json.dumps(spec))
        start = f"import {module}; {module}.main({str(given)!r}, {str(written)!r})"
        seconds, _ = timed([sys.executable, "-c", start], folder / "log.txt")
        answer = json.loads(written.read_text())
    if spec["scored"] == "source" and contender == PEER:
        import task_ours

        answer["score"] = task_ours.hidden_words_loss(spec, answer["model"])
    facts = {"cpu": machine_name(), "threads": spec["threads"], "load_before": load, "commit": commit()}
    own = {name: answer[name] for name in ("score", "trial_seconds", "cpu_seconds", "steps")}
    return Run(name, contender, spec["seed"], seconds=seconds, facts=facts, **own)


def done_runs(results: Path) -> list[Run]:
    """Return the runs of a results file."""
    return [Run(**json.loads(line)) for line in results.read_text().splitlines()] if results.exists() else []


def print_report(runs: list[Run]) -> None:
    """Print a Markdown table: scores, seconds, and how many times the seconds of ours the Trainer needs.

    Raises:
        SystemExit: if the contenders of a pair took different numbers of steps.
    """
    columns = (
        "pair",
        "score",
        "contender",
        "mean",
        "each seed",
        "difference, 95 %",
        *TIMES.values(),
        "ratios of these",
    )
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name, pair in PAIRS.items():
        of_pair = [run for run in runs if run.pair == name]
        if len({json.dumps(run.steps, sort_keys=True) for run in of_pair}) > 1:
            raise SystemExit(
                f"{name}: the contenders took different steps: {[(r.contender, r.steps) for r in of_pair]}"
            )
        peers = [run for run in of_pair if run.contender == PEER]
        for contender in CONTENDERS:
            if mine := [run for run in of_pair if run.contender == contender]:
                print("| " + " | ".join([name, pair.metric, contender, *cells(mine, peers)]) + " |")


def cells(runs: list[Run], peers: list[Run]) -> Iterable[str]:
    """Return the figures of one contender, beside those of the Trainer."""
    scores = [run.score for run in runs]
    yield f"{fmean(scores):.4f}"
    yield " ".join(f"{score:.4f}" for score in scores)
    yield difference(scores, [run.score for run in peers]) if peers and runs[0].contender != PEER else ""
    means, theirs = ([fmean(getattr(run, name) for run in of) for name in TIMES] for of in (runs, peers or runs))
    yield from (f"{mean:.1f}" for mean in means)
    ratios = (f"{other / mean:.2f}x" for other, mean in zip(theirs, means, strict=True))
    yield " ".join(ratios) if peers and runs[0].contender != PEER else ""


def difference(ours: list[float], theirs: list[float]) -> str:
    """Return the difference of two means over seeds, with Welch's interval if there are several seeds."""
    mean = f"{fmean(ours) - fmean(theirs):+.4f}"
    if min(len(ours), len(theirs)) < 2:
        return mean
    low, high = ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    return f"{mean} ({low:+.4f} to {high:+.4f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TRANSFERSWEEP_BENCHMARK_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder with the data sets that task_tables.py names")
    parser.add_argument("--results", type=Path, default=Path("tasks.jsonl"), help="one line of JSON for each run")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--small", action="store_true", help=f"{SMALL_ROWS} rows, in this process")
    given = parser.parse_args()
    if given.data is None and not given.report:
        parser.error("--data is needed")
    return given


@cache
def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
