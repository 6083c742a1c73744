"""The experiment files of `spaces/pairs`: one trial of each, with all its sources, on a few rows of the same form."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from drawings import draw_folder, tiny_vit
from writers import save_writer

from search.plan.plan import Plan, load_plan
from search.propose.first_points import default_point
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.trial import run_trial
from trainable.workspace import Workspace

PAIRS = {file.stem: file for file in sorted((Path(__file__).parents[2] / "spaces" / "pairs").glob("*.yaml"))}
WORDS = ("red", "blue", "small", "cat", "dog", "house")
ROWS = 12


def _row(number: int, dataset: Dataset) -> dict[str, Any]:
    """Return a row in the form that a data set's task reads."""
    words = [WORDS[(number + place) % len(WORDS)] for place in range(3)]
    text, label = dataset.text or "text", dataset.label or "label"
    if dataset.task == "tagging":
        return {text: words, label: ["B-ANIMAL" if word in ("cat", "dog") else "O" for word in words]}
    others = {dataset.text_b: f"a {words[1]}"} if dataset.text_b else {}
    if dataset.task == "sequence_to_sequence":
        return {text: " ".join(words), str(dataset.target_column): words[0]}
    return {text: " ".join(words), label: number / ROWS if dataset.task == "regression" else "ab"[number % 2], **others}


def _write(dataset: Dataset, folder: Path) -> None:
    for seed, name in enumerate(filter(None, (dataset.train, dataset.validation, dataset.test))):
        if dataset.task == "image_classification":
            draw_folder(folder / name, ROWS // 2, seed)
            continue
        file, rows = folder / name, [_row(number, dataset) for number in range(ROWS)]
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".jsonl":
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            continue
        with file.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _small(plan: Plan) -> TrialConfig:
    """Return a trial with every source stage, all rows and one epoch."""
    on = {name: True for name in plan.space.names if name.endswith(".enabled")}
    config = plan.config(default_point(plan.space, on))
    few = {"train_rows": None, "epochs": 1, "frozen_layers": 0}
    sources = {name: stage.model_copy(update=few) for name, stage in config.source_stages().items()}
    target = config.target.model_copy(update=few)
    return config.with_sources(sources).model_copy(update={"target": target})


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_a_trial_of_each_pair(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encoders = {"translation_to_summaries": partial(save_writer, "t5"), "images": tiny_vit}  # others are installed
    plan = load_plan(PAIRS[name], {"trial.encoder": encoders[name](tmp_path / "tiny")} if name in encoders else {})
    config = _small(plan)
    for stage in config.stages().values():
        _write(config.dataset_of(stage), tmp_path)
    stages = []
    result = run_trial(config, lambda r: stages.append(r.stage) is None, workspace=Workspace(tmp_path / "cache"))
    assert list(dict.fromkeys(stages)) == list(config.stages())
    assert result.finished
    assert f"target.validation.{plan.settings.metric}" in result.metrics
