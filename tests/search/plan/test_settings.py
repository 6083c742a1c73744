from typing import Any

import pytest
from pydantic import ValidationError

from search.plan.settings import SweepSettings
from trainable.metrics.metric import METRICS


@pytest.mark.parametrize("metric", METRICS)
def test_only_of_losses_and_errors_the_lowest_value_wins(metric: str) -> None:
    low = ("loss", "perplexity", "rmse", "mae", "brier", "calibration_error")
    assert SweepSettings(name="a", metric=metric).direction == ("min" if metric in low else "max")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-dash", "with space", "a" * 101, "ü", "a\n"])
def test_a_name_is_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        SweepSettings(name=name)


@pytest.mark.parametrize("name", ["cache", "mlartifacts", "mlflow.db"])
def test_names_of_other_folders_in_the_storage_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="reserved"):
        SweepSettings(name=name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trials": 0},
        {"trials": 2.5},
        {"minutes": 0},
        {"minutes": float("inf")},
        {"worker_hours": -1},
        {"sampler": "bayes"},
        {"scheduler": "hyperband"},
        {"seed": -1},
        {"max_concurrent": 0},
        {"cpus_per_trial": 0},
        {"gpus_per_trial": -0.5},
        {"workers_per_trial": 0},
        {"finalists": 0},
        {"confirm_seeds": -1},
        {"checkpoint_seconds": 0},
        {"metric": "meteor"},
        {"select": {"within": -0.1, "prefer": "size"}},
        {"select": {"within": "half", "prefer": "size"}},
        {"select": {"within": 0.1, "prefer": "price"}},
        {"select": {"prefer": "size"}},
        {"start_with": {"target.epochs": 1}},
        {"patience": 3},
        {"trials": True},
        {"minutes": True},
        {"seed": False},
        {"gpus_per_trial": False},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SweepSettings.model_validate({"name": "a", **wrong})


@pytest.mark.parametrize(
    ("given", "most", "command"),
    [
        ({}, 20, "extend --trials 5"),
        ({"trials": 7}, 7, "extend --trials 5"),
        ({"trials": 7, "minutes": 3}, 7, "extend --trials 5"),
        ({"minutes": 3}, 1000, "resume --set sweep.minutes=6"),
        ({"worker_hours": 0.25}, 1000, "resume --set sweep.worker_hours=0.5"),
    ],
)
def test_a_time_limit_takes_the_place_of_a_number_of_trials(given: dict[str, Any], most: int, command: str) -> None:
    settings = SweepSettings(name="tiny", **given)
    assert settings.most_trials == most
    assert " ".join(settings.command_for_more(5)) == command


@pytest.mark.parametrize(("given", "within"), [(0.005, 0.005), ("0.5 %", 0.005), ("2%", 0.02), (0, 0.0)])
def test_a_margin_is_a_number_or_hundredths(given: object, within: float) -> None:
    settings = SweepSettings.model_validate({"name": "a", "select": {"within": given, "prefer": "size"}})
    assert settings.select
    assert settings.select.within == pytest.approx(within)
    assert SweepSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_of_two_constraints_on_a_cost_the_lower_one_holds() -> None:
    given = ["latency_ms<=20", "latency_ms <= 1e1", " model_weights <= 22566146 "]
    settings = SweepSettings(name="a", constraints=given)
    assert settings.limits == {"latency_ms": 10.0, "model_weights": 22566146.0}
    assert SweepSettings.model_validate(settings.model_dump(mode="json")) == settings
