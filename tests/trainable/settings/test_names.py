"""Dotted names of settings."""

from trainable.settings.config import TrialConfig, build_config
from trainable.settings.names import field_names, nested
from trainable.settings.stage import Source

BASE = {"encoder": "e", "source": {"dataset": {"csv": "films.csv"}}, "target": {"dataset": {"csv": "tweets.csv"}}}


def test_the_listed_names_are_those_of_the_flat_settings() -> None:
    names = list(field_names(TrialConfig))
    assert len(names) == len(set(names))
    assert set(names) == set(build_config(BASE).to_flat())
    assert {"encoder", "source.enabled", "target.frozen_layers", "target.head", "target.dataset"} <= set(names)
    assert set(field_names(Source)) == set(Source.model_fields)


def test_a_sampled_name_joins_its_block() -> None:
    joined = nested({"encoder": "e", "target": {"epochs": 1}}, {"target.epochs": 2, "source.epochs": 3, "seed.x": 4})
    assert joined == {"encoder": "e", "target": {"epochs": 2}, "source": {"epochs": 3}, "seed": {"x": 4}}


def test_a_disabled_source_is_none() -> None:
    assert nested(BASE, {"source.enabled": False}) == BASE | {"source": None}
