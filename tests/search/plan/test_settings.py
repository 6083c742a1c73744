import pytest
from pydantic import ValidationError

from search.plan.settings import SweepSettings
from trainable.tasks.metrics import METRICS


@pytest.mark.parametrize("metric", METRICS)
def test_only_the_loss_wins_by_being_low(metric: str) -> None:
    assert SweepSettings(name="a", metric=metric).direction == ("min" if metric == "loss" else "max")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-dash", "with space", "a" * 101, "ü", "a\n"])
def test_a_name_is_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        SweepSettings(name=name)


@pytest.mark.parametrize("name", ["cache", "mlartifacts", "mlflow.db"])
def test_a_name_is_none_that_the_storage_folder_needs_itself(name: str) -> None:
    with pytest.raises(ValidationError, match="taken"):
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
        {"metric": "f1"},
        {"start_with": {"target.epochs": 1}},
        {"patience": 3},
        {"trials": True},
        {"minutes": True},
        {"seed": False},
        {"gpus_per_trial": False},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SweepSettings.model_validate({"name": "a", **wrong})
