"""All slots start at the same time; later one trial at a time waits for a slot."""

import pytest
from ray.tune.execution.tune_controller import _get_max_pending_trials
from ray.tune.experiment import Trial
from ray.tune.search import SearchGenerator

from search.engine.pending import MAX_PENDING, PendingTrials


def started(pending: PendingTrials, name: str) -> None:
    pending.on_trial_start(0, [], Trial("tiny", trial_id=name, stub=True))


def ended(pending: PendingTrials, name: str) -> None:
    pending.on_trial_complete(0, [], Trial("tiny", trial_id=name, stub=True))


def test_as_many_trials_wait_as_slots_have_no_process_and_at_least_one() -> None:
    pending = PendingTrials(slots=3)
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
    pending = PendingTrials(slots=1)
    pending.add("a")
    pending.on_trial_error(0, [], Trial("tiny", trial_id="a", stub=True))
    assert pending.may_begin


def test_tune_reads_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_PENDING, "7")
    assert _get_max_pending_trials(SearchGenerator.__new__(SearchGenerator)) == 7
