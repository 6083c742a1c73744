"""All slots start at the same time; later one trial at a time waits for a slot."""

import sys
from typing import Any

import pytest
from ray.tune.execution.tune_controller import _get_max_pending_trials
from ray.tune.experiment import Trial
from ray.tune.search import SearchGenerator

from search.engine.schedule.pending import NO_LIMIT, PendingTrials
from search.engine.schedule.slots import Slots
from search.plan.settings import SweepSettings


def pending_trials(slots: int, **settings: Any) -> tuple[PendingTrials, Slots]:
    of_sweep = Slots(slots)
    return PendingTrials(of_sweep, SweepSettings(name="tiny", **settings)), of_sweep


def started(pending: PendingTrials, name: str) -> None:
    pending.on_trial_start(0, [], Trial("tiny", trial_id=name, stub=True))


def ended(pending: PendingTrials, name: str) -> None:
    pending.on_trial_complete(0, [], Trial("tiny", trial_id=name, stub=True))


def test_as_many_trials_wait_as_slots_have_no_process_and_at_least_one() -> None:
    pending, _ = pending_trials(3)
    for name in "abc":
        assert pending.may_begin
        pending.add(name)
    assert not pending.may_begin
    started(pending, "b")
    assert not pending.may_begin  # a and c still wait
    started(pending, "a")
    started(pending, "c")
    assert pending.may_begin  # one waits for the slot that is free next
    pending.add("d")
    assert not pending.may_begin
    ended(pending, "a")
    assert not pending.may_begin  # d has the slot of a
    ended(pending, "b")
    assert pending.may_begin


def test_a_trial_whose_process_cannot_start_waits_no_longer() -> None:
    pending, _ = pending_trials(1)
    pending.add("a")
    pending.on_trial_error(0, [], Trial("tiny", trial_id="a", stub=True))
    assert pending.may_begin


@pytest.mark.parametrize("settings", [{"workers_per_trial": 2}, {"max_concurrent": 2}])
def test_no_trial_waits_if_as_many_run_as_may(settings: dict[str, int]) -> None:
    pending, _ = pending_trials(2, **settings)
    for name in "ab":
        assert pending.may_begin
        pending.add(name)
        started(pending, name)
    assert not pending.may_begin
    ended(pending, "a")
    assert pending.may_begin


def test_more_trials_wait_when_nodes_join() -> None:
    pending, slots = pending_trials(1, workers_per_trial=2)
    pending.add("a")
    assert not pending.may_begin
    slots.change(2)
    assert pending.may_begin


def test_an_autoscaler_sees_as_many_trials_wait_as_may_run() -> None:
    pending, _ = pending_trials(1, max_concurrent=3)
    for name in "abc":
        assert pending.may_begin
        pending.add(name)
    assert not pending.may_begin


def test_tune_reads_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NO_LIMIT.items():
        monkeypatch.setenv(name, value)
    assert _get_max_pending_trials(SearchGenerator.__new__(SearchGenerator)) == sys.maxsize
