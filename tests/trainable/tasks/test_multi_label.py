"""Rows with any number of labels: read, trained, resumed, with a threshold that is a part of the model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_trials import scores, scores_after_resume

from trainable.baselines.checkpoints import checkpoint_logits
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import TASKS, read_dataset, read_splits
from trainable.workspace import Workspace

NAMES = ("dull", "fine", "good")


def write_sets(file: Path, rows: int) -> Path:
    generator = np.random.default_rng(0)
    lines = ["text,topics,dull,fine,good"]
    for row in range(rows):
        given = [generator.random() < share for share in (0.5, 0.3, 0.2)]
        labels = [name for name, has in zip(NAMES, given, strict=True) if has]
        lines.append(f"a {' '.join(labels)} film {row},{'|'.join(labels)},{','.join(str(int(has)) for has in given)}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def data(file: Path, **more: Any) -> dict[str, Any]:
    return {"task": "multi_label", "csv": str(file), **(more or {"label": "topics", "label_separator": "|"})}


def settings(base: dict[str, Any], file: Path, **target: Any) -> dict[str, Any]:
    return {**base, "target": {**base["target"], "head": "keep_or_probe", "dataset": data(file), **target}}


def test_a_cell_and_columns_give_the_same_labels(tmp_path: Path) -> None:
    file = write_sets(tmp_path / "films.csv", 60)
    cell = read_splits(Dataset.model_validate(data(file)))
    columns = read_splits(Dataset.model_validate(data(file, label_columns=list(NAMES))))
    assert cell.label_names == columns.label_names == NAMES
    assert cell.fingerprint == columns.fingerprint
    assert (cell.train.labels.sum(1) == 0).any()  # a row without labels is no mistake
    lists = tmp_path / "films.json"
    lists.write_text(json.dumps([{"text": f"film {n}", "topics": ["a"] if n % 2 else []} for n in range(20)]))
    assert read_splits(
        Dataset.model_validate({"task": "multi_label", "json": str(lists), "label": "topics"})
    ).label_names == ("a",)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"label": "topics"}, "set `label_separator`"), ({"label_columns": ["dull", "topics"]}, "neither 0 nor 1")],
)
def test_wrong_cells_are_errors(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    _, problems = read_dataset(Dataset.model_validate(data(write_sets(tmp_path / "films.csv", 40), **more)))
    assert any(message in problem for problem in problems)


def test_other_tasks_refuse_its_settings(base: dict[str, Any], tmp_path: Path) -> None:
    dataset = {"csv": str(tmp_path / "films.csv"), "label_separator": "|"}
    with pytest.raises(ConfigError, match="only with `task: multi_label`"):
        build_config({**base, "target": {**base["target"], "dataset": dataset}})


def test_it_learns_and_keeps_its_threshold(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    config = build_config(settings(base, write_sets(tmp_path / "films.csv", 150), epochs=3))
    assert config.metric_of(config.target) == "micro_f1"
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.micro_f1"] > 0.8
    outputs = checkpoint_logits(tmp_path / "trial", "validation", workspace)
    assert outputs is not None
    labels = tokenized_dataset_of(config, config.target, workspace).splits["validation"].labels
    task = TASKS["multi_label"]
    again = task.scores(outputs, labels, NAMES)
    assert {name: found[f"target.validation.{name}"] for name in again} == pytest.approx(again, rel=1e-4)
    low, high = task.interval(outputs, labels, "map", NAMES)
    assert low <= again["map"] <= high
    assert [line.label for line in task.per_class(outputs, labels, NAMES)] == list(NAMES)


def test_a_resumed_trial_ends_as_an_uninterrupted_one(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(settings(base, write_sets(tmp_path / "films.csv", 60), epochs=3))
    whole = scores(config, workspace)
    half, end = tmp_path / "half", tmp_path / "end"
    assert scores_after_resume(config, workspace, half, 3, save_to=end) == whole
    assert scores(config, workspace, resume=tmp_path / "end", save_to=tmp_path / "again") == whole
    ends = [checkpoint_logits(tmp_path / name, "validation", workspace) for name in ("end", "again")]
    assert ends[0] is not None and ends[1] is not None and bool((ends[0] == ends[1]).all())
