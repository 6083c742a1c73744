"""Ray as a sweep starts it: ahead of its use, with processes that have imported what slots need."""

import sys
from collections.abc import Iterator

import pytest
import ray
from ray.tune.execution import class_cache
from ray.tune.execution.experiment_state import _ExperimentCheckpointManager

from search import cluster
from search.settings import SweepSettings

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(120)]

SETTINGS = SweepSettings(name="tiny")


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    ray.shutdown()


def test_what_is_not_joined_is_ended() -> None:
    with pytest.raises(ZeroDivisionError), cluster.starting(None, SETTINGS):
        raise ZeroDivisionError
    assert not ray.is_initialized()


def test_an_actor_finds_its_modules_imported() -> None:
    @ray.remote(num_cpus=1)
    class Slot:
        def ready(self) -> bool:
            return "trainable.ray_trainable" in sys.modules

    with cluster.starting(None, SETTINGS):
        cluster.join(None, SETTINGS)
    assert ray.is_initialized()
    assert ray.get(Slot.remote().ready.remote())


def test_tune_still_has_what_is_switched_off() -> None:
    assert class_cache.DEFAULT_ENV_VARS.keys() <= {"PL_DISABLE_FORK"}
    assert callable(_ExperimentCheckpointManager.on_trial_checkpoint)


def test_processes_without_a_trial_import_nothing() -> None:
    few = SweepSettings(name="tiny", max_concurrent=1)
    cluster.join(None, few)
    names = ray.get(ray.remote(lambda: set(sys.modules)).remote())
    assert "ray" in names
    assert "torch" not in names
