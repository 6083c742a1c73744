"""The most expensive settings of a space, and the random draw that represents its trials."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from writers import save_writer, translations

from search.plan.plan import Plan, build_plan
from search.preflight.costliest import baseline_trial, costliest_point, costliest_trial, random_draw
from trainable.model.encoder import new_model
from trainable.model.freezing import trained_weights
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION


@pytest.fixture
def plan_of(blocks: dict[str, Any]) -> Callable[..., Plan]:
    def build(space: dict[str, Any], **trial: Any) -> Plan:
        changed = copy.deepcopy(blocks) | {"space": space}
        changed["sweep"]["start_with"] = []
        changed["trial"] |= trial
        for name in space:
            block, _, field = name.partition(".")
            changed["trial"][block].pop(field, None) if field else changed["trial"].pop(name, None)
        return build_plan(changed, (Path(),), "mine.yaml")

    return build


def test_longest_texts_largest_batch_and_fewest_frozen_layers(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    plan = plan_of(
        {
            "source.enabled": {"choice": [False, True]},
            "source.batch_size": {"choice": [8, 32, 16], "when": {"source.enabled": True}},
            "target.batch_size": {"int": [4, 24]},
            "target.padding_length": {"int": [8, 64], "step": 8},
            "target.frozen_layers": {"int": [1, 3]},
            "target.learning_rate": {"float": [1e-5, 1e-3]},
        }
    )
    costliest = costliest_point(plan, plan.workspace(tmp_path))
    assert costliest in plan.space
    del costliest["target.learning_rate"]
    assert costliest == {
        "source.enabled": True,
        "source.batch_size": 32,
        "target.batch_size": 24,
        "target.padding_length": 64,
        "target.frozen_layers": 1,
    }


def test_conditions_hold_and_the_more_expensive_setting_decides(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    plan = plan_of(
        {
            "target.padding_length": {"choice": [16, 64]},
            "target.batch_size": {"choice": [8, 64], "when": {"target.padding_length": 16}},
        }
    )
    assert costliest_point(plan, plan.workspace(tmp_path)) == {"target.padding_length": 64}


def test_the_larger_encoder_and_the_longer_texts(
    plan_of: Callable[..., Plan], tiny_bert: str, tweets_csv: Path, tmp_path: Path
) -> None:
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 64}
    BertForSequenceClassification(BertConfig(**sizes)).save_pretrained(tmp_path / "larger")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "larger")
    short = tmp_path / "short.csv"
    short.write_text("text,label\n" + "".join(f"a{i},{'good' if i % 2 else 'bad'}\n" for i in range(40)))
    plan = plan_of(
        {
            "encoder": {"choice": [tiny_bert, str(tmp_path / "larger")]},
            "target.dataset": {"choice": ["short", "tweets"]},
        },
        datasets={"short": {"csv": str(short)}, "tweets": {"csv": str(tweets_csv)}},
    )
    expected = {"encoder": str(tmp_path / "larger"), "target.dataset": "tweets"}
    assert costliest_point(plan, plan.workspace(tmp_path)) == expected


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_weights_are_counted_without_reading_them(tiny_bert: str, frozen: int) -> None:
    model = new_model(tiny_bert, CLASSIFICATION.head(("bad", "good")), 0)
    prefixes = ["embeddings", *(f"encoder.layer.{i}." for i in range(frozen))] if frozen else []
    kept = [p for n, p in model.named_parameters() if not n.removeprefix("bert.").startswith(tuple(prefixes) or "-")]
    assert trained_weights(tiny_bert, frozen) == sum(p.numel() for p in kept)


def test_a_draw_is_of_the_space_and_always_the_same(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of({"target.epochs": {"int": [1, 9]}})
    epochs = [config.target.epochs for config in random_draw(plan, 30)]
    assert set(epochs) <= set(range(1, 10))
    assert len(set(epochs)) > 4
    assert epochs == [config.target.epochs for config in random_draw(plan, 30)]


def test_baselines_without_an_encoder_get_settings_that_are_valid(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    data = {"task": "sequence_to_sequence", "json": str(translations(tmp_path / "rows.jsonl", 40))}
    target = {"dataset": data, "padding_length": 8, "target_length": 8}
    trial = {"encoder": save_writer("t5", tmp_path / "t5"), "source": None, "target": target}
    plan = plan_of({"target.learning_rate": {"float": [1e-5, 1e-3]}}, **trial)
    workspace = plan.workspace(tmp_path)
    config = baseline_trial(plan, costliest_trial(plan, workspace)[1], workspace)
    assert build_config(config.model_dump(mode="json", by_alias=True)) == config  # as another process reads it
