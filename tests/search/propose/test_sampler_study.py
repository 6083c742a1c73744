"""What a sampler gets to see, however long a search is."""

from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.propose.sampler_study import SamplerStudy, best_and_latest, build_trial, trial_from_json, trial_to_json
from spaces import parse_space
from trainable.tasks.metrics import Direction

SPACE = parse_space({"target.learning_rate": {"float": [0, 1]}})


def trials(count: int, state: TrialState = TrialState.COMPLETE) -> list[FrozenTrial]:
    """The later, the worse."""
    done = state is TrialState.COMPLETE
    return [
        build_trial(SPACE, {"target.learning_rate": i / count}, state, -float(i) if done else None)
        for i in range(count)
    ]


class Looking(RandomSampler):
    """Notes what it can see."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: list[FrozenTrial] = []

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.seen = [t for t in study.get_trials() if t.number != trial.number]


def look(knowledge: SamplerStudy, searched: list[FrozenTrial]) -> list[FrozenTrial]:
    sampler = Looking()
    knowledge.follow(searched)
    trial, _ = knowledge.ask(sampler, SPACE, {})
    knowledge.settle([trial])
    return [t for t in sampler.seen if t.state is not TrialState.FAIL]


@pytest.mark.parametrize("direction", [Direction.MAX, Direction.MIN])
def test_the_best_half_and_the_latest_are_kept_in_their_order(direction: Any) -> None:
    kept = [-t.value for t in best_and_latest(trials(100), direction, 10) if t.value is not None]
    assert kept == ([0, 1, 2, 3, 4] if direction == "max" else [90, 91, 92, 93, 94]) + [95, 96, 97, 98, 99]


def test_a_sampler_sees_less_than_three_blocks_of_any_search() -> None:
    searched, knowledge = trials(95), SamplerStudy(Direction.MAX, trials(50), block=10)
    seen = [len(look(knowledge, searched[:begun])) for begun in range(96)]
    assert seen[:20] == [10 + begun for begun in range(20)]
    assert max(seen) == 29
    assert min(seen[20:]) == 20
    assert look(knowledge, searched)[-15:] != []
    again = SamplerStudy(Direction.MAX, trials(50), block=10)
    assert [t.params for t in look(again, searched)] == [t.params for t in look(knowledge, searched)]


def test_the_best_of_all_is_never_forgotten() -> None:
    seen = look(SamplerStudy(Direction.MAX, [], block=10), trials(95))
    assert {t.value for t in seen} >= {0.0, -1.0, -2.0, -3.0, -4.0}
    assert seen[-1].value == -94.0


def test_a_running_trial_is_seen_running_and_then_as_it_ended() -> None:
    knowledge = SamplerStudy(Direction.MAX, [], block=10)
    (running,) = trials(1, TrialState.RUNNING)
    assert [t.state for t in look(knowledge, [running])] == [TrialState.RUNNING]
    pruned = build_trial(SPACE, running.params, TrialState.PRUNED, 0.25, {25: 0.5, 50: 0.25})
    (seen,) = look(knowledge, [pruned])
    assert (seen.state, seen.intermediate_values, seen.value) == (TrialState.PRUNED, {25: 0.5, 50: 0.25}, 0.25)


def test_a_sampler_finds_its_notes_with_the_trial_that_was_taken() -> None:
    class Noting(RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            study._storage.set_trial_system_attr(trial._trial_id, "noted", trial.number)

    sampler: BaseSampler = Noting(seed=0)
    knowledge = SamplerStudy(Direction.MAX, [], block=10)
    knowledge.follow([])
    down, _ = knowledge.ask(sampler, SPACE, {})
    taken, _ = knowledge.ask(sampler, SPACE, {"target.learning_rate": 0.5})
    assert knowledge.settle([down], taken) == {"noted": 1}


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_a_trial_survives_as_json(state: TrialState) -> None:
    trial = build_trial(SPACE, {"target.learning_rate": 0.1}, state, 0.5, {25: 0.25, 50: 0.5})
    again = trial_from_json(SPACE, trial_to_json(trial))
    names = ("params", "distributions", "state", "value", "intermediate_values")
    assert [getattr(again, name) for name in names] == [getattr(trial, name) for name in names]
