"""Our side of `tasks.py`: a trial by the function that each slot of a sweep runs, in a process of its own."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from trainable.loop.evaluate import compute_logits
from trainable.model.masked_tokens import at_hidden_tokens
from trainable.progress import Report
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.masked_language import ANSWERS, MASKED_LANGUAGE
from trainable.trial import run_trial
from trainable.workspace import Workspace

SAME = ("learning_rate", "batch_size", "epochs", "padding_length")
"""Settings that have the same name here and there."""
TARGET_LENGTH = 32


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a trial; return its score, the steps of each stage, and the time after the imports."""
    begin = time.perf_counter(), time.process_time()
    torch.set_num_threads(spec["threads"])
    steps: dict[str, int] = {}
    metrics: dict[str, float] = {}

    def on_report(report: Report) -> bool:
        if report.step:
            steps[report.stage] = report.step
            metrics.update(report.metrics)
        return not (report.last and report.stage == spec["scored"])

    folder = Path(spec["tables"])
    workspace = Workspace(Path(spec["folder"]) / "cache", (folder,))
    run_trial(config_of(spec), on_report, workspace=workspace)
    score = metrics[f"{spec['scored']}.validation.{spec['metric']}"]
    seconds, cpu_seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
    return {"score": score, "steps": steps, "trial_seconds": seconds, "cpu_seconds": cpu_seconds}


def config_of(spec: dict[str, Any]) -> TrialConfig:
    """Return the settings of the trial: the Trainer's, and no search for a first head, which it does not have."""
    stages = {name: _stage(name, stage) for name, stage in spec["stages"].items()}
    stages["target"] |= {"head": "auto", "load_best_at_end": False}
    if spec["stages"]["target"]["task"] == "multi_label":
        stages["target"]["threshold"] = 0.5  # that of the Trainer; ours would choose one
    given = {"encoder": spec["encoder"], "precision": spec["precision"], "seed": spec["seed"], "metric": "auto"}
    return build_config(given | {"pooling": "first"} | stages)


def _stage(name: str, stage: dict[str, Any]) -> dict[str, Any]:
    files = {"train": f"{name}_train.jsonl", "validation": f"{name}_test.jsonl", "max_overlap": 1}
    made = {"dataset": {"task": stage["task"], **files}, "evaluations_per_epoch": 1}
    if stage["task"] == "sequence_to_sequence":
        made["target_length"] = TARGET_LENGTH
    return made | {setting: stage[setting] for setting in SAME}


def hidden_words_loss(spec: dict[str, Any], model_folder: str) -> float:
    """Return the loss of another contender's model on the words that our evaluation hides.

    Each contender hides other words, so that its own loss on held-out texts could not be compared.
    """
    config = config_of(spec | {"precision": "fp32"})
    assert config.source is not None
    builder = StageBuilder(config, Workspace(Path(spec["folder"]) / "cache", (Path(spec["tables"]),)))
    _, held_out = builder.splits(builder.tokenized("source", config.source), config.source)
    model = AutoModelForMaskedLM.from_pretrained(model_folder, num_labels=len(ANSWERS))
    at_hidden_tokens(model)
    logits = compute_logits(model, held_out.inputs, torch.device("cpu"))
    return MASKED_LANGUAGE.scores(logits, held_out.labels)["loss"]


def main(spec: str, answer: str) -> None:
    Path(answer).write_text(json.dumps(run(json.loads(Path(spec).read_text()))))
