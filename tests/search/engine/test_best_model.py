"""Which trials leave a model when they are stopped. The tests make Tune's calls by hand, without Ray."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from search.engine.best_model import BestModel
from search.engine.schedule.budget import Budget
from search.engine.watch.stop_request import StopRequest
from search.plan.plan import Plan, build_plan
from search.record.records import State
from search.study.sweep_study import SweepStudy
from spaces import Space
from trainable.workers.messages import KEY, TrialReport

Saves = Callable[..., bool]


@pytest.fixture
def study(blocks: dict[str, Any], tmp_path: Path) -> SweepStudy:
    plan = build_plan(copy.deepcopy(blocks), (tmp_path,), "test")
    return SweepStudy(tmp_path / "study.db", plan.settings, plan.space, 0)


@pytest.fixture
def saves(study: SweepStudy) -> Saves:
    """Reports a new trial's last value; returns whether its model is requested."""

    def saves(value: float | None, stopped: bool = True, cut: bool = False, **settings: Any) -> bool:
        changed = study.settings.model_copy(update=settings)
        stop, key = StopRequest(), study.begin_search_trial().key  # type: ignore[union-attr]  # there are points left
        stop.requested = not stopped
        result = TrialReport("target", value=value, cut=cut).to_result() | {DONE: True}
        trial = Trial("stub", config={KEY: key}, stub=True)
        budget = Budget(Plan(changed, {}, Space({}), ()), study)
        BestModel(changed, study, budget, stop).on_trial_result(0, [], trial, result)
        return SHOULD_CHECKPOINT in result

    return saves


def finish(study: SweepStudy, value: float) -> None:
    record = study.begin_search_trial()
    assert record
    study.report(record.key, TrialReport("target", value=value, fraction_done=1.0))
    study.end(record.key, State.FINISHED)


def test_only_the_best_trial_so_far_leaves_its_model(saves: Saves, study: SweepStudy) -> None:
    assert saves(0.3)
    finish(study, 0.5)
    assert not saves(0.5)
    assert saves(0.6)
    assert not saves(None)


def test_a_trial_that_may_continue_keeps_its_state_instead(saves: Saves) -> None:
    assert not saves(0.3, scheduler="promotion")
    assert saves(0.3, scheduler="promotion", cut=True)
    assert not saves(0.3, stopped=False)
