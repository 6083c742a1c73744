"""A share of the layers means the same for each encoder: the study has the share, the trial the number of layers."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from search.plan.plan import Plan, PlanError, build_plan
from search.record.records import State, TrialRecord
from search.tracking.replay import params_and_tags

SHARE = {"share": [0, 1]}


@pytest.fixture
def deep(tiny_bert: str, tmp_path: Path) -> str:
    """An encoder of 7 layers; the tiny one has 3."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 7, "num_attention_heads": 2, "intermediate_size": 8}
    BertForSequenceClassification(BertConfig(**sizes, max_position_embeddings=64)).save_pretrained(tmp_path / "deep")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "deep")
    return str(tmp_path / "deep")


def _plan(blocks: dict[str, Any], space: dict[str, Any]) -> Plan:
    trial = {name: value for name, value in blocks["trial"].items() if name not in space}
    return build_plan({"sweep": {"name": "shares"}, "trial": trial, "space": space}, (Path(),), "file")


def test_trials_freeze_the_share_of_the_layers_of_their_encoder(
    blocks: dict[str, Any], tiny_bert: str, deep: str
) -> None:
    plan = _plan(blocks, {"encoder": {"choice": [tiny_bert, deep]}, "target.frozen_layers": SHARE})
    for share, layers in ((0.0, (0, 0)), (0.3, (1, 2)), (0.5, (2, 4)), (1.0, (3, 7))):
        for encoder, count in zip((tiny_bert, deep), layers, strict=True):
            params = {"encoder": encoder, "target.frozen_layers": share}
            assert plan.config(params).target.frozen_layers == count
            logged, _ = params_and_tags(plan, TrialRecord(0, State.RUNNING, params, 0))
            assert logged["target.frozen_layers"] == count
    point = plan.space.suggest(optuna.create_study().ask())
    assert isinstance(point["target.frozen_layers"], float)
    assert _plan(blocks, plan.to_mapping()["space"]).space == plan.space


def test_the_encoder_may_be_fixed(blocks: dict[str, Any]) -> None:
    plan = _plan(blocks, {"source.frozen_layers": {"share": [0, 1], "step": 0.5}})
    grid = [plan.config(point).source for point in plan.space.grid()]
    assert [source.frozen_layers for source in grid if source] == [0, 2, 3]


@pytest.mark.parametrize(
    ("name", "domain", "message"),
    [
        ("target.frozen_layers", {"share": [0, 2]}, "a share must lie within 0 and 1, got [0.0, 2.0]"),
        ("target.frozen_layers", {"share": [0, 1], "log": True}, "log does not go with share"),
        ("target.dropout", {"share": [0, 0.5]}, "only frozen_layers can be a share; write {float: [0.0, 0.5]}"),
    ],
)
def test_wrong_shares_are_refused(blocks: dict[str, Any], name: str, domain: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        _plan(blocks, {name: domain})
    assert message in str(caught.value)


def test_no_condition_reads_a_share(blocks: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="is a share, and a condition can only read an int or a choice"):
        _plan(
            blocks,
            {"target.frozen_layers": SHARE, "target.epochs": {"int": [1, 2], "when": {"target.frozen_layers": 1}}},
        )
