"""One run of `instead.py`: a contestant in its process, its answers scored, and the line of the results file."""

import json
import os
import resource
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from common import ENCODER, ROOT, environment, machine_name
from environments import versions
from pairs import Pair, write_draw
from sklearn.metrics import accuracy_score, f1_score

OVERRUN = 1.5
"""A run that was given M minutes counts at M if its model was ready within so many times M."""
PREDICTION_S = 240
"""Seconds that a process may use to predict test rows, beyond its budget and overrun, before it is ended."""


@dataclass(frozen=True)
class Answer:
    seconds: float
    """When the model was ready, from the start of the process, without the predictions of test rows."""
    score: float
    note: str = ""


@dataclass(frozen=True)
class Run:
    pair: str
    contestant: str
    draw: int
    minutes: float
    told: bool
    """Whether the contestant was told its minutes; if not, its answers count for smaller budgets, too."""
    rows: int
    answers: list[Answer]
    ended: bool
    """Whether a larger budget would give the same answer."""
    error: str
    facts: dict[str, Any]
    """Machine, load, versions, commit, time of day."""

    def score_at(self, minutes: float) -> float | None:
        """Return the score of the latest answer that counts at `minutes`; None without such an answer."""
        limit = minutes * 60 * (OVERRUN if self.told and minutes == self.minutes else 1)
        return next((a.score for a in reversed(self.answers) if a.seconds <= limit), None)

    def summary(self) -> str:
        answers = ", ".join(f"{a.score:.4f} after {a.seconds:.0f} s" for a in self.answers[-3:]) or "no answer"
        said = f"{self.pair} draw {self.draw}, {self.contestant} in {self.minutes:g} min: {answers}"
        load = "{load_before:.1f}/{load_mean:.1f}".format(**self.facts)
        return f"{said} [load {load}]" + (f"\n    {self.error.splitlines()[-1]}" if self.error else "")

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def done_runs(results: Path) -> list[Run]:
    """Return the runs of a results file. Of several with one key, the last counts."""
    if not results.exists():
        return []
    found = {}
    for line in results.read_text().splitlines():
        given = json.loads(line)
        run = Run(**given | {"answers": [Answer(**answer) for answer in given["answers"]]})
        found[run.pair, run.contestant, run.draw, run.minutes] = run
    return list(found.values())


@dataclass(frozen=True)
class Start:
    """What a run needs to be started."""

    command: list[str]
    contestant: str
    minutes: float
    told: bool


def run_contestant(start: Start, name: str, pair: Pair, data: Path, draw: int, scratch: Path) -> Run:
    truth, rows = write_draw(pair, data, draw, scratch / "data")
    (scratch / "work").mkdir()
    job = job_of(start, pair, data, draw, scratch) | {"few": rows < 1000}
    facts = {"cpu": machine_name(), "cores": job["threads"], "time": time.strftime("%F %T"), "commit": commit()}
    facts |= {"versions": versions(Path(start.command[0])), "load_before": os.getloadavg()[0]}
    begin, used = time.time(), cpu_seconds()
    error, facts["load_mean"] = run_process(start.command, job, scratch)
    facts |= {"wall_seconds": time.time() - begin, "cpu_seconds": cpu_seconds() - used}
    answers = [json.loads(file.read_text()) for file in sorted((scratch / "work").glob("answer-*.json"))]
    scored = [Answer(a["seconds"], score(pair.metric, truth, a["labels"]), a["note"]) for a in answers]
    ended = bool(answers) and answers[-1]["last"]
    key = (name, start.contestant, draw, start.minutes, start.told)
    return Run(*key, rows, scored, ended, "" if scored else error, facts)


def job_of(start: Start, pair: Pair, data: Path, draw: int, scratch: Path) -> dict[str, Any]:
    """Return the job as `contestants/protocol.py` reads it, without what is known only when the process starts."""
    splits = ("train", "validation")
    return {
        "contestant": start.contestant,
        "minutes": start.minutes,
        "columns": pair.columns,
        "metric": pair.metric,
        "train": str(scratch / "data" / "train.csv"),
        "test": str(scratch / "data" / "test.csv"),
        "source": {split: f"{data}/{pair.source}{split}.csv" for split in splits} if pair.source else None,
        "encoder": str(files(ENCODER.removeprefix("package:")) / "model"),
        "seed": draw,
        "threads": len(os.sched_getaffinity(0)),
        "folder": str(scratch / "work"),
    }


def cpu_seconds() -> float:
    """Return the CPU time of all processes that have ended below this one; Ray's daemons may be missing."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_process(command: list[str], job: dict[str, Any], scratch: Path) -> tuple[str, float]:
    """Run a contestant to its end or its limit; return the end of its log, and the mean load while it ran."""
    loads = []
    with (scratch / "log.txt").open("w") as log:
        job["began"] = time.time()
        (scratch / "job.json").write_text(json.dumps(job))
        process = subprocess.Popen(
            [*command, str(scratch / "job.json")],
            cwd=scratch / "work",
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        limit = job["minutes"] * 60 * OVERRUN + PREDICTION_S
        while process.poll() is None and time.time() - job["began"] < limit:
            time.sleep(0.2)
            loads.append(os.getloadavg()[0])
        stop(process)
    said = (scratch / "log.txt").read_text(errors="replace")
    ended = f"ended with {process.returncode}\n{said[-3000:]}"
    return ended if process.returncode else "ended without an answer", sum(loads) / max(1, len(loads))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that is over its limit, first as Ctrl-C does."""
    for signal_number, seconds in ((signal.SIGINT, 30), (signal.SIGKILL, 10)):
        if process.poll() is None:
            os.killpg(process.pid, signal_number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


def score(metric: str, truth: list[str], labels: list[str]) -> float:
    if metric == "accuracy":
        return float(accuracy_score(truth, labels))
    return float(f1_score(truth, labels, average="macro", labels=sorted(set(truth)), zero_division=0))


@cache
def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip()
