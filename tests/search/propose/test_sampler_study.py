"""The trials that a sampler sees in short and in very long searches."""

from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.propose.sampler_study import SamplerStudy, best_and_latest, build_trial, trial_from_json, trial_to_json
from spaces import parse_space
from trainable.metrics.metric import Direction

SPACE = parse_space({"target.learning_rate": {"float": [0, 1]}})


def trials(count: int, state: TrialState = TrialState.COMPLETE) -> list[FrozenTrial]:
    """Trials whose values fall from one to the next."""
    done = state is TrialState.COMPLETE
    return [
        build_trial(SPACE, {"target.learning_rate": i / count}, state, -float(i) if done else None)
        for i in range(count)
    ]


class WatchingSampler(RandomSampler):
    """Stores the trials that it sees."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: list[FrozenTrial] = []

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.seen = [t for t in study.get_trials() if t.number != trial.number]


def seen_trials(study: SamplerStudy, searched: list[FrozenTrial]) -> list[FrozenTrial]:
    sampler = WatchingSampler()
    study.update(searched)
    trial, _ = study.ask(sampler, SPACE, {})
    study.close_proposals([trial])
    return [t for t in sampler.seen if t.state is not TrialState.FAIL]


@pytest.mark.parametrize("direction", [Direction.MAX, Direction.MIN])
def test_the_best_half_and_the_latest_are_kept_in_their_order(direction: Any) -> None:
    kept = [-t.value for t in best_and_latest(trials(100), direction, 10) if t.value is not None]
    assert kept == ([0, 1, 2, 3, 4] if direction == "max" else [90, 91, 92, 93, 94]) + [95, 96, 97, 98, 99]


def test_a_sampler_sees_fewer_than_three_blocks_of_any_search() -> None:
    searched, study = trials(95), SamplerStudy(Direction.MAX, trials(50), block=10)
    seen = [len(seen_trials(study, searched[:begun])) for begun in range(96)]
    assert seen[:20] == [10 + begun for begun in range(20)]
    assert max(seen) == 29
    assert min(seen[20:]) == 20
    assert seen_trials(study, searched)[-15:] != []
    again = SamplerStudy(Direction.MAX, trials(50), block=10)
    assert [t.params for t in seen_trials(again, searched)] == [t.params for t in seen_trials(study, searched)]


def test_the_best_trials_are_always_kept() -> None:
    seen = seen_trials(SamplerStudy(Direction.MAX, [], block=10), trials(95))
    assert {t.value for t in seen} >= {0.0, -1.0, -2.0, -3.0, -4.0}
    assert seen[-1].value == -94.0


def test_a_running_trial_is_seen_running_and_then_as_it_ended() -> None:
    study = SamplerStudy(Direction.MAX, [], block=10)
    (running,) = trials(1, TrialState.RUNNING)
    assert [t.state for t in seen_trials(study, [running])] == [TrialState.RUNNING]
    pruned = build_trial(SPACE, running.params, TrialState.PRUNED, 0.25, {25: 0.5, 50: 0.25})
    (seen,) = seen_trials(study, [pruned])
    assert (seen.state, seen.intermediate_values, seen.value) == (TrialState.PRUNED, {25: 0.5, 50: 0.25}, 0.25)


def test_attributes_that_a_sampler_stored_in_the_accepted_trial_are_returned() -> None:
    class StoringSampler(RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            study._storage.set_trial_system_attr(trial._trial_id, "stored", trial.number)

    sampler: BaseSampler = StoringSampler(seed=0)
    study = SamplerStudy(Direction.MAX, [], block=10)
    study.update([])
    rejected, _ = study.ask(sampler, SPACE, {})
    accepted, _ = study.ask(sampler, SPACE, {"target.learning_rate": 0.5})
    assert study.close_proposals([rejected], accepted) == {"stored": 1}


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_a_trial_is_the_same_after_json(state: TrialState) -> None:
    trial = build_trial(SPACE, {"target.learning_rate": 0.1}, state, 0.5, {25: 0.25, 50: 0.5})
    again = trial_from_json(SPACE, trial_to_json(trial))
    names = ("params", "distributions", "state", "value", "intermediate_values")
    assert [getattr(again, name) for name in names] == [getattr(trial, name) for name in names]
