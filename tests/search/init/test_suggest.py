"""`transfersweep suggest`: the experiment after a sweep, made from a study whose scores are chosen."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from search.__main__ import app
from search.plan.plan import build_plan, load_plan
from search.record.records import State
from search.storage.sweep_folder import SweepFolder
from search.study.finalists import Repeat
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from spaces import Float
from trainable.workers.messages import TrialReport

RATES = [1e-4, 2e-4, 1e-3, 1.1e-3, 5e-3, 9e-3]


def ended(blocks: dict[str, Any], points: Sequence[tuple[dict[str, Any], float]], storage: Path) -> SweepFolder:
    """Make a finished sweep with these points and scores; the best of each kind was repeated on a further seed."""
    start_with = [{"target.epochs": 2, **point} for point, _ in points]
    blocks["sweep"] |= {"trials": len(points), "start_with": start_with, "finalists": 2}
    folder, plan = SweepFolder(storage, "tiny"), build_plan(blocks, (Path(),), "tiny")
    folder.path.mkdir(parents=True)
    folder.plan.write_text(json.dumps(plan.to_mapping() | {"id": "0", "data": {}}))
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    for _, score in points:
        record = study.begin_search_trial()
        assert record is not None
        run(study, record.key, score)
        repeat = Repeat("confirm", record.number, 1, record.params)
        if score in {max(s for p, s in points if p["source.enabled"] is kind) for kind in (True, False)}:
            study.begin_repeat(repeat)
            run(study, repeat.key, score - 0.01)
    folder.outcome.write_text(json.dumps(summarise(plan, storage, study, complete=True).to_json()))
    return folder


def run(study: SweepStudy, key: Any, score: float) -> None:
    study.report(key, TrialReport("target", value=score, metrics={}, improved=True, fraction_done=1.0), seconds=1.0)
    study.end(key, State.FINISHED)


def source_hurt(blocks: dict[str, Any], storage: Path) -> SweepFolder:
    """Make a sweep whose good trials have a middle learning rate and no source."""
    del blocks["trial"]["source"]["learning_rate"]
    blocks["space"]["source.learning_rate"] = {"float": [1e-5, 1e-3], "log": True, "when": {"source.enabled": True}}
    scores = [0.5, 0.52, 0.9, 0.894, 0.6, 0.55]
    points = [({"source.enabled": False, "target.learning_rate": r}, s) for r, s in zip(RATES, scores, strict=True)]
    rate = {"source.learning_rate": 1e-4, "target.learning_rate": 1e-3}
    return ended(blocks, [*points, ({"source.enabled": True, **rate}, 0.4)], storage)


def suggest(folder: SweepFolder, *options: str) -> Any:
    return CliRunner().invoke(app, ["suggest", folder.name, "--storage", str(folder.storage), *options])


def test_the_next_experiment_is_a_plan_with_the_reasons_above_its_changes(
    blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "next").mkdir()
    monkeypatch.chdir(tmp_path)
    result = suggest(source_hurt(blocks, tmp_path / "runs"), "--output", "next/again.yaml")
    assert result.exit_code == 0, result.output
    text = Path("next/again.yaml").read_text(encoding="utf-8")
    assert "transfersweep run next/again.yaml" in result.stderr
    plan = load_plan(Path("next/again.yaml"))
    assert plan.settings.name == "tiny-2"
    assert plan.settings.start_from == "tiny"
    assert plan.settings.start_with is None
    assert plan.space.names == ("target.learning_rate", "target.epochs")
    assert plan.space.dimensions["target.learning_rate"].domain == Float(2e-4, 5e-3, log=True)
    assert plan.config({"target.learning_rate": 1e-3, "target.epochs": 2}).source_stages() == {}
    for reason, setting in (
        ("# Leave the source 'films' out: it hurt", "enabled: false"),
        ("# Search target.learning_rate from 0.0002 to 0.005", "target.learning_rate: "),
        ("# The sampler learns from the 4 trials of tiny", "start_from: tiny"),
    ):
        # Only lines of the comment stand between a reason and its setting.
        assert re.search(rf"{re.escape(reason)}[^\n]*\n(\s*#[^\n]*\n)*\s*{re.escape(setting)}", text)


def test_a_file_is_replaced_only_if_the_user_says_so(
    blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = source_hurt(blocks, tmp_path / "runs")
    Path("tiny-2.yaml").write_text("mine", encoding="utf-8")
    refused = suggest(folder)
    assert refused.exit_code == 2
    assert "tiny-2.yaml: exists" in refused.stderr
    assert Path("tiny-2.yaml").read_text(encoding="utf-8") == "mine"
    assert suggest(folder, "--force").exit_code == 0
    assert load_plan(Path("tiny-2.yaml")).settings.name == "tiny-2"


def test_without_a_finding_nothing_is_written(
    blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    points = [({"source.enabled": n % 2 == 0, "target.learning_rate": r}, 0.9) for n, r in enumerate(RATES)]
    result = suggest(ended(blocks, points, tmp_path / "runs"))
    assert result.exit_code == 0, result.output
    assert "Nothing to change" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
