"""Measure what a trial costs besides its training: hundreds of trials with one step on a tiny random BERT.

Trials run one at a time. The seconds of a trial on a warm slot are the gaps between the ends of consecutive trials.
Memory is the resident set of the driver and of the trial's actor, sampled every second.
"""

import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, environment, machine, ours_command, warm_file_cache, write_experiment, write_json
from rich.console import Console
from time_to_quality import scored_trials

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "good", "bad"]


@dataclass(frozen=True)
class Sample:
    """Resident memory at one moment."""

    at: float
    """Seconds since the epoch."""
    driver_mb: float
    actor_mb: float
    """Sum over all worker processes of Ray that are not idle."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    facts = machine()
    warm_file_cache()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = write_experiment(empty_trials(folder, given.trials), folder)
        samples, begin = run_watched(ours_command(file, folder), folder / "log.txt")
        ends = sorted(trial.ended for trial in scored_trials(folder / "mlflow.db"))
    results = summary(ends, begin, samples)
    Console(width=140).print(facts, results)
    write_json(given.out, {"machine": facts, "summary": results, "memory": [asdict(s) for s in samples]})


def empty_trials(folder: Path, trials: int) -> dict[str, Any]:
    """Return the smallest complete experiment: one step, one evaluation, one saved model."""
    tiny_bert(folder / "encoder")
    for split, count in (("train", 8), ("validation", 8)):
        rows = [(f"{WORDS[i]} {split} {WORDS[-1 - i % 2]}", ("good", "bad")[i % 2]) for i in range(count)]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    tables = {"train": str(folder / "train.csv"), "validation": str(folder / "validation.csv"), "max_overlap": 1}
    target = {"dataset": tables, "batch_size": 8, "epochs": 1, "padding_length": 16}
    sweep = {"name": "sweep", "trials": trials, "sampler": "random", "scheduler": "none"}
    return {
        "sweep": sweep | {"metric": "accuracy", "confirm_seeds": 0, "max_concurrent": 1},
        "trial": {"encoder": str(folder / "encoder"), "target": target},
        "space": {"target.learning_rate": {"float": [1e-5, 1e-3], "log": True}},
    }


def tiny_bert(folder: Path) -> None:
    """Save a random BERT of one layer and its tokeniser."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "train", "validation"]
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(known), max_position_embeddings=32, **size)).save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(known)}, model_max_length=32)
    tokenizer.save_pretrained(folder)


def run_watched(command: list[str], log: Path) -> tuple[list[Sample], float]:
    """Run a sweep to its end; return the memory samples, and its start in seconds since the epoch."""
    begin, samples = time.time(), []
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        ended = threading.Event()
        watcher = threading.Thread(target=lambda: watch(psutil.Process(process.pid), samples, ended))
        watcher.start()
        out, _ = process.communicate()
        ended.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"the sweep ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    counts = json.loads(out.splitlines()[-1])["counts"]
    if counts["finished"] != counts["total"]:
        raise SystemExit(f"not every trial finished: {counts}")
    return samples, begin


def watch(driver: psutil.Process, samples: list[Sample], ended: threading.Event) -> None:
    """Sample the memory every second until the sweep has ended."""
    while not ended.wait(1.0):
        try:
            actors = [p for p in driver.children(recursive=True) if is_busy_worker(p)]
            actor_mb = sum(p.memory_info().rss for p in actors) / 1e6
            samples.append(Sample(time.time(), driver.memory_info().rss / 1e6, actor_mb))
        except psutil.NoSuchProcess:
            continue  # a process has ended after it was listed


def is_busy_worker(process: psutil.Process) -> bool:
    """Return whether Ray has given the process a title, and it is not the one of an idle process."""
    title = " ".join(process.cmdline()[:1])
    return title.startswith("ray::") and "IDLE" not in title


def summary(ends: list[float], begin: float, samples: list[Sample]) -> dict[str, Any]:
    """Return seconds for each trial, also of the first and last fifty, and memory after a tenth and after all."""
    gaps = [later - earlier for earlier, later in zip(ends, ends[1:], strict=False)]
    results: dict[str, Any] = {
        "trials": len(ends),
        "seconds_to_the_first_end": round(ends[0] - begin, 2),
        "seconds_a_trial": round(statistics.fmean(gaps), 4),
        "seconds_a_trial_first_50": round(statistics.fmean(gaps[:50]), 4),
        "seconds_a_trial_last_50": round(statistics.fmean(gaps[-50:]), 4),
    }
    early, late = ends[len(ends) // 10], ends[-1]
    between = [s for s in samples if early <= s.at <= late and s.actor_mb]
    if len(between) >= 2:
        first, last = between[0], between[-1]
        for name in ("driver_mb", "actor_mb"):
            start, stop = getattr(first, name), getattr(last, name)
            results[name] = {"after_a_tenth": round(start), "at_the_end": round(stop), "growth": round(stop - start, 1)}
    return results


if __name__ == "__main__":
    main()
