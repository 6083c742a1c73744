"""A regression as a target and as a source: numbers in any units, the same whether the run is interrupted or not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_trials import scores, scores_after_resume

from trainable.baselines.checkpoints import checkpoint_logits
from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.settings.config import build_config
from trainable.tasks.registry import TASKS, read_splits
from trainable.workspace import Workspace

WORDS = ("dull", "fair", "fine", "good", "great")


def write_numbers(file: Path, rows: int, factor: float = 1.0, shift: float = 0.0) -> Path:
    generator = np.random.default_rng(0)
    lines = ["text,number"]
    for row in range(rows):
        value = int(generator.integers(len(WORDS)))
        lines.append(f"a {WORDS[value]} film {row},{factor * value + shift:g}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def settings(base: dict[str, Any], file: Path, **target: Any) -> dict[str, Any]:
    data = {"task": "regression", "csv": str(file), "label": "number"}
    return {**base, "target": {**base["target"], "head": "keep_or_probe", "dataset": data, **target}}


def test_it_learns_in_the_units_of_the_file(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    found = []
    for factor, shift in ((1.0, 0.0), (1000.0, -7.0)):
        file = write_numbers(tmp_path / f"{factor:g}.csv", 120, factor, shift)
        config = build_config(settings(base, file, epochs=4))
        assert config.metric_of(config.target) == "pearson"
        found.append(scores(config, workspace, save_to=tmp_path / f"trial-{factor:g}"))
    small, large = found
    assert small["target.validation.pearson"] > 0.9
    assert large["target.validation.pearson"] == pytest.approx(small["target.validation.pearson"], abs=1e-3)
    assert large["target.validation.rmse"] == pytest.approx(1000 * small["target.validation.rmse"], rel=1e-2)


def test_the_saved_model_gives_the_units_of_the_file(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(settings(base, write_numbers(tmp_path / "numbers.csv", 60, 100.0, 500.0)))
    found = scores(config, workspace, save_to=tmp_path / "trial")
    model, _ = load_trained(tmp_path / "trial")
    assert model.config.problem_type == "regression"
    outputs = checkpoint_logits(tmp_path / "trial", "validation", workspace)
    assert outputs is not None
    labels = tokenized_dataset_of(config, config.target, workspace).splits["validation"].labels
    again = TASKS["regression"].scores(outputs, labels)
    assert again["rmse"] == pytest.approx(found["target.validation.rmse"], rel=1e-4)


def test_a_resumed_trial_ends_as_an_uninterrupted_one(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(settings(base, write_numbers(tmp_path / "numbers.csv", 60, 10.0, 3.0), epochs=3))
    whole = scores(config, workspace)
    half, end = tmp_path / "half", tmp_path / "end"
    assert scores_after_resume(config, workspace, half, 3, save_to=end) == whole
    assert scores(config, workspace, resume=tmp_path / "end") == whole


@pytest.mark.parametrize("source", ["classification", "regression"])
def test_the_source_may_have_another_task(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, source: str
) -> None:
    given = settings(base, write_numbers(tmp_path / "numbers.csv", 60))
    given["source"] = {**base["source"], "enabled": True}
    if source == "regression":
        file = write_numbers(tmp_path / "more.csv", 80, 20.0)
        given["source"]["dataset"] = {"task": "regression", "csv": str(file), "label": "number"}
    found = scores(build_config(given), workspace)
    assert ("source.validation.pearson" in found) == (source == "regression")
    assert ("target.zero_shot.pearson" in found) == (source == "regression")  # only then the head is kept
    assert "target.validation.pearson" in found


@pytest.mark.parametrize(
    ("cell", "message"),
    [("3,5", "write a point in place of the comma"), ("many", "needs finite numbers"), ("", "fill or remove")],
)
def test_a_cell_without_a_number_is_an_error(tmp_path: Path, base: dict[str, Any], cell: str, message: str) -> None:
    file = write_numbers(tmp_path / "numbers.csv", 20)
    file.write_text(file.read_text(encoding="utf-8") + f'a fair film,"{cell}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_splits(build_config(settings(base, file)).dataset_of(build_config(settings(base, file)).target))


@pytest.mark.parametrize(
    "setting", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}, {"objective": "contrastive"}]
)
def test_settings_that_need_classes_are_refused(base: dict[str, Any], tmp_path: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"target\.{next(iter(setting))}: .*needs one class for each row"):
        build_config(settings(base, tmp_path / "numbers.csv", **setting))
