"""A trial with several source stages, each from the weights of the one before, and the cache that they share."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainable.errors import ConfigError
from trainable.progress import Report, TrialResult
from trainable.settings.config import TrialConfig, build_config
from trainable.trial import run_trial
from trainable.workspace import Workspace

ON = {"sources.first.enabled": True, "sources.second.enabled": True}


@pytest.fixture
def chain(base: dict[str, Any]) -> dict[str, Any]:
    """Settings of a trial with two source stages: the texts alone, then the labels."""
    source = {**base["source"], "enabled": True, "epochs": 1}
    data = {**source["dataset"], "task": "masked_language"}
    first = {**{name: value for name, value in source.items() if name != "dataset"}, "dataset": data}
    others = {name: value for name, value in base.items() if name != "source"}
    return {**others, "sources": {"first": first, "second": source}}


def _run(config: TrialConfig, cache: Path, **further: Any) -> tuple[list[Report], TrialResult]:
    reports: list[Report] = []
    result = run_trial(config, lambda r: reports.append(r) is None, workspace=Workspace(cache), **further)
    return reports, result


def _stages(reports: list[Report]) -> list[str]:
    return list(dict.fromkeys(report.stage for report in reports))


def test_the_stages_run_in_their_order_and_resume_without_training_again(chain: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(chain)
    reports, result = _run(config, tmp_path / "cache", save_to=tmp_path / "saved")
    assert _stages(reports) == ["sources.first", "sources.second", "target"]
    assert {"sources.first.validation.loss", "sources.second.validation.accuracy"} <= result.metrics.keys()
    again, cached = _run(config, tmp_path / "cache", save_to=tmp_path / "cached")
    assert [(r.stage, r.step) for r in again[:2]] == [("sources.first", 0), ("sources.second", 0)]
    assert cached == result
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("saved", "cached"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_chains_share_their_first_stages(chain: dict[str, Any], tmp_path: Path) -> None:
    cache, stored = tmp_path / "cache", []
    for settings in ({}, {"sources.second.learning_rate": 2e-3}, {"sources.first.learning_rate": 2e-3}):
        _run(build_config(chain, settings), cache)
        stored.append(len(list(cache.glob("stages/*/stage.json"))))
    assert stored == [2, 3, 5]


def test_a_frozen_layer_keeps_the_weights_of_an_earlier_stage(chain: dict[str, Any], tmp_path: Path) -> None:
    frozen = {"sources.second.frozen_layers": 2, "target.frozen_layers": 2}
    _run(build_config(chain, frozen), tmp_path / "cache", save_to=tmp_path / "saved")
    stages = [load_file(file) for file in (tmp_path / "cache").glob("stages/*/weights.safetensors")]
    trained = load_file(tmp_path / "saved" / "model.safetensors")
    (name,) = (name for name in trained if "layer.0.output.dense.weight" in name)
    assert [name in stage for stage in stages] == [True, True]
    assert all(torch.equal(stage[name], trained[name]) for stage in stages)


def test_a_chain_of_one_is_a_source_under_another_name(base: dict[str, Any], chain: dict[str, Any]) -> None:
    alone = build_config({**chain, "sources": {"films": chain["sources"]["second"]}})
    short = build_config(base, {"source.enabled": True, "source.epochs": 1})
    assert list(alone.source_stages()) == ["sources.films"]
    assert list(alone.source_stages().values()) == list(short.source_stages().values())
    assert alone.to_flat()["sources.films.epochs"] == 1
    assert "source.enabled" not in alone.to_flat()


def test_a_disabled_stage_is_left_out(chain: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(chain, {"sources.first.enabled": False})
    reports, _ = _run(config, tmp_path / "cache")
    assert _stages(reports) == ["sources.second", "target"]
    nothing = build_config(chain, dict.fromkeys(ON, False))
    assert _stages(_run(nothing, tmp_path / "cache")[0]) == ["target"]
    assert nothing.to_flat()["source.enabled"] is False


def test_mistakes_name_the_stage(base: dict[str, Any], chain: dict[str, Any]) -> None:
    source = {**base["source"], "enabled": True}
    with pytest.raises(ConfigError) as caught:
        build_config({**chain, "source": source}, {"sources.first.epochs": 0, "sources.second.epoch": 1})
    assert list(caught.value.problems) == [
        "sources.first.epochs: must be a whole number from 1 to 1000, got 0",
        "sources.second.epoch: no such setting: 'epoch'; did you mean 'epochs'?",
        "sources: source is the short form for one stage of sources; give only one of the two",
    ]
    with pytest.raises(ConfigError, match=r"sources.*name"):
        build_config({**chain, "sources": {"a.b": chain["sources"]["first"]}})
