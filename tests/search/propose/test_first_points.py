"""The points that run before the sampler has trials to learn from."""

from typing import Any

import pytest

from search.plan.settings import SweepSettings
from search.propose.first_points import EACH_FIRST, first_points
from search.propose.samplers import SAMPLERS
from spaces import parse_space
from trainable.settings.config import TrialConfig
from trainable.settings.names import field_names

SPACE = parse_space(
    {
        "source.enabled": {"choice": [True, False]},
        "source.learning_rate": {"float": [1e-5, 1e-3], "log": True, "when": {"source.enabled": True}},
        "source.schedule": {"choice": ["constant", "cosine"], "when": {"source.enabled": True}},
        "target.learning_rate": {"float": [1e-5, 1e-3], "log": True},
        "target.batch_size": {"choice": [8, 16, 32]},
        "target.epochs": {"int": [4, 8]},
        "target.padding_length": {"int": [16, 96], "step": 16},
        "target.frozen_layers": {"int": [0, 12]},
        "target.dropout": {"float": [0.0, 0.5]},
        "target.warmup_fraction": {"float": [0.0, 0.3], "step": 0.05},
        "target.dataset": {"choice": ["a", "b"]},
    }
)


def points(**settings: Any) -> list[dict[str, Any]]:
    return list(first_points(SweepSettings(name="tiny", **settings), SPACE))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_a_sampler_that_learns_begins_with_the_default_point_with_and_without_a_source(sampler: str) -> None:
    default = {
        "target.learning_rate": pytest.approx(1e-4),
        "target.batch_size": 16,
        "target.epochs": 4,  # the default, 3, is below the range
        "target.padding_length": 96,
        "target.frozen_layers": 0,
        "target.warmup_fraction": pytest.approx(0.05),
    }  # schedule, dropout and data set have no default in their domains: the sampler chooses them
    with_source = {"source.enabled": True, "source.learning_rate": pytest.approx(1e-4)}
    assert points(sampler=sampler) == [with_source | default, {"source.enabled": False} | default]
    assert all(SPACE.check(point, partial=True) == [] for point in points(sampler=sampler))


@pytest.mark.parametrize("sampler", sorted({*SAMPLERS} - {"tpe", "gp", "cmaes"}))
def test_samplers_that_do_not_learn_have_no_first_points(sampler: str) -> None:
    assert points(sampler=sampler) == []


def test_start_with_and_start_from_replace_the_default_point() -> None:
    assert points(start_with=[{"target.epochs": 5}]) == [{"target.epochs": 5}]
    assert points(start_with=[]) == []
    assert points(start_from="older") == []


def test_a_space_without_a_choice_of_source_has_one_default_point() -> None:
    space = parse_space({"target.epochs": {"int": [1, 9]}})
    assert list(first_points(SweepSettings(name="tiny"), space)) == [{"target.epochs": 3}]


def test_each_objective_is_tried_first_with_and_without_a_source() -> None:
    objective = {"choice": ["classification", "contrastive"]}
    space = parse_space({"source.enabled": {"choice": [True, False]}, "target.objective": objective})
    points = first_points(SweepSettings(name="tiny"), space)
    assert [tuple(point.values()) for point in points] == [
        (True, "classification"),
        (True, "contrastive"),
        (False, "classification"),
        (False, "contrastive"),
    ]
    unless_a_source = {**objective, "when": {"source.enabled": False}}
    space = parse_space({"source.enabled": {"choice": [True, False]}, "target.objective": unless_a_source})
    assert [tuple(point.values()) for point in first_points(SweepSettings(name="tiny"), space)] == [
        (True,),
        (False, "classification"),
        (False, "contrastive"),
    ]


def test_the_default_of_every_setting_is_found() -> None:
    numbers = {name: {"float": [0.0, 1.0]} for name in field_names(TrialConfig) if not name.endswith(EACH_FIRST)}
    (point,) = first_points(SweepSettings(name="tiny"), parse_space(numbers))
    assert point["target.weight_decay"] == 0.01
    assert point["source.learning_rate"] == 0.5
