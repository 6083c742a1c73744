"""Settings: dotted names without loss, and all mistakes reported at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.errors import ConfigError
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Target

BASE: dict[str, Any] = {
    "encoder": "some-encoder",
    "source": {"dataset": {"csv": "films.csv"}},
    "target": {"dataset": {"csv": "tweets.csv"}},
}

STAGE_VALUES = {
    "train_rows": st.none() | st.integers(2, 1000) | st.fixed_dictionaries({"per_class": st.integers(1, 99)}),
    "learning_rate": st.floats(1e-8, 10),
    "batch_size": st.integers(1, 65536),
    "padding_length": st.integers(4, 131072),
    "padding": st.sampled_from(["longest", "fixed"]),
    "optimizer": st.sampled_from(["adamw", "adam", "sgd", "rmsprop", "adafactor"]),
    "warmup_fraction": st.floats(0, 1),
    "gradient_clip": st.none() | st.floats(0.1, 10),
    "dropout": st.none() | st.floats(0, 0.9),
}


def _sampled(block: str, **further: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = {f"{block}.{name}": value for name, value in (STAGE_VALUES | further).items()}
    return st.fixed_dictionaries({}, optional=values)


@given(
    source=_sampled("source", enabled=st.booleans()),
    target=_sampled(
        "target", head=st.sampled_from(["auto", "new", "keep"]), evaluate_at=st.lists(st.floats(0.01, 0.99), max_size=3)
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_flat_names_lose_nothing(source: dict[str, Any], target: dict[str, Any], seed: int) -> None:
    sampled = {**source, **target, "seed": seed}
    config = build_config(BASE, sampled)
    flat = config.to_flat()
    again = build_config({}, flat)
    assert again == config
    assert again.to_flat() == flat
    assert build_config(config.model_dump(mode="json", by_alias=True)) == config
    if config.source:
        expected = {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in sampled.items()}
        assert {name: flat[name] for name in expected} == expected


def test_sampled_values_replace_fixed_ones_and_do_not_change_the_base() -> None:
    base = {**BASE, "target": {"dataset": {"csv": "tweets.csv"}, "epochs": 5}}
    assert build_config(base, {"target.epochs": 2, "seed": 7}).target.epochs == 2
    assert base["target"] == {"dataset": {"csv": "tweets.csv"}, "epochs": 5}


def test_numbers_that_yaml_reads_as_text_are_numbers() -> None:
    assert build_config(BASE, {"target.learning_rate": "1e-5"}).target.learning_rate == 1e-5


def test_every_mistake_at_once_with_path_value_and_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(
            {
                "encoder": "e",
                "sede": 1,
                "source": {"dataset": {"csv": "a.csv", "txt": "x"}, "learning_rate": 11},
                "target": {"batchsize": 4, "optimizer": "adamx"},
            },
            {"target.epochs": 0},
        )
    problems = caught.value.problems
    assert "sede: no such setting: 'sede'; did you mean 'seed'?" in problems
    assert "source.dataset.txt: no such setting: 'txt'; did you mean 'text'?" in problems
    assert "target.batchsize: no such setting: 'batchsize'; did you mean 'batch_size'?" in problems
    assert "target.dataset: is missing" in problems
    (rate,) = (p for p in problems if p.startswith("source.learning_rate: "))
    assert rate.endswith("got 11")
    (optimizer,) = (p for p in problems if p.startswith("target.optimizer: "))
    assert "must be one of adamw, adam, sgd" in optimizer
    assert optimizer.endswith("got 'adamx'; did you mean 'adam'?")
    assert any(p.startswith("target.epochs: ") for p in problems)
    assert len(problems) == 7


def test_a_name_below_a_plain_setting_is_no_setting() -> None:
    with pytest.raises(ConfigError, match=r"no such setting: 'encoder\.name'"):
        build_config(BASE, {"encoder.name": "x"})


def test_sampled_settings_fill_an_empty_block() -> None:
    config = build_config({**BASE, "source": None}, {"source.dataset": {"csv": "films.csv"}, "source.epochs": 2})
    assert config.source is not None
    assert config.source.epochs == 2


@pytest.mark.parametrize("source", [{"enabled": False}, {"enabled": False, "epochs": 3}, None])
def test_a_disabled_source_needs_no_dataset(source: dict[str, Any] | None) -> None:
    config = build_config({**BASE, "source": source})
    assert [type(stage) for stage in config.stages().values()] == [Target]
    flat = config.to_flat()
    assert flat["source.enabled"] is False
    assert [name for name in flat if name.startswith("source")] == ["source.enabled"]
    assert build_config(BASE, {"source.enabled": False}).to_flat() == flat


def test_an_enabled_source_needs_a_dataset() -> None:
    with pytest.raises(ConfigError, match=r"source\.dataset: is missing"):
        build_config({**BASE, "source": {"epochs": 3}})


def test_named_data_sets() -> None:
    named = {**BASE, "datasets": {"films": {"csv": "films.csv"}, "tweets": {"csv": "tweets.csv"}}}
    config = build_config(named, {"source.dataset": "films"})
    assert config.source is not None
    assert config.dataset_of(config.source) == Dataset(csv="films.csv")
    with pytest.raises(ConfigError) as caught:
        build_config(named, {"source.dataset": "flims", "target.dataset": "tweet"})
    assert "source.dataset: no such data set: 'flims'; did you mean 'films'?" in str(caught.value)
    assert "target.dataset: no such data set: 'tweet'; did you mean 'tweets'?" in str(caught.value)


def test_a_metric_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"metric: no such metric: 'meteor'; there are: macro_f1, accuracy"):
        build_config(BASE, {"metric": "meteor"})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({}, "there is nothing"),
        ({"csv": "a", "json": "b"}, "there is csv, json"),
        ({"validation": "a.csv"}, "validation given without train"),
        ({"csv": "a", "validation_fraction": 0.5, "test_fraction": 0.5}, "leave no rows for training"),
    ],
)
def test_a_data_set_has_one_origin_and_rows_for_training(dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^target\.dataset: .*{message}"):
        build_config({**BASE, "target": {"dataset": dataset}})


def test_settings_are_frozen_values() -> None:
    config = build_config(BASE)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
    with pytest.raises(ConfigError, match="target.learning_rate"):
        build_config(BASE, {"target.learning_rate": float("nan")})
    assert TrialConfig.model_json_schema()["properties"]["seed"]["description"]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("seed", "a whole number of at least 0 and below 2147483648"),
        ("target.epochs", "a whole number from 1 to 1000"),
        ("target.learning_rate", "a number above 0 and at most 10"),
        ("target.train_rows", "a whole number of at least 2 or a mapping with per_class, or null"),
        ("source.warmup_fraction", "a number from 0 to 1"),
        ("source.dropout", "a number of at least 0 and below 1, or null"),
    ],
)
def test_true_and_false_are_no_numbers(name: str, allowed: str, value: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(BASE, {name: value})
    assert caught.value.problems == (f"{name}: must be {allowed}, got {str(value).lower()}",)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({"per_class": 0}, "target.train_rows.per_class: must be a whole number of at least 1, got 0"),
        ({"per_class": True}, "target.train_rows.per_class: must be a whole number of at least 1, got true"),
        ([5], "target.train_rows: must be a whole number of at least 2 or a mapping with per_class, or null, got [5]"),
        ({}, "target.train_rows.per_class: is missing"),
    ],
)
def test_wrong_numbers_of_training_rows(rows: object, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(BASE, {"target.train_rows": rows})
    assert caught.value.problems == (problem,)


def test_true_and_false_are_no_numbers_of_a_data_set() -> None:
    dataset = {"csv": "a.csv", "split_seed": True, "test_fraction": False, "max_overlap": True}
    with pytest.raises(ConfigError) as caught:
        build_config({**BASE, "target": {"dataset": dataset}})
    names = [problem.partition(":")[0].rpartition(".")[2] for problem in caught.value.problems]
    assert names == ["test_fraction", "split_seed", "max_overlap"]


def test_a_whole_number_is_a_number() -> None:
    assert build_config(BASE, {"target.learning_rate": 1, "source.enabled": True}).target.learning_rate == 1.0
