"""What a sampler learns from: an Optuna study in memory that follows the search's trials.

The study on disk holds nothing but this sweep's trials. Points of an older sweep stand only here, and so do
proposals that were turned down.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial

from spaces import Point, Space
from trainable.tasks.metrics import Direction


class SamplerStudy:
    """Ended trials of an older sweep, then those of this search, of all of which a sampler sees a bounded number.

    Args:
        direction: which values are better.
        older: ended trials of an older sweep, with the distributions of this sweep's space.
        block: from two blocks of trials on, whole blocks are condensed into one: the best half of what is
            remembered, and the latest of the others. A sampler sees less than three blocks. 0 condenses nothing.
    """

    def __init__(self, direction: Direction, older: Sequence[FrozenTrial], block: int) -> None:
        self._direction, self._block = direction, block
        self._older = best_and_latest(older, direction, block) if block else list(older)
        self._study: optuna.Study | None = None
        self._condensed_to = 0  # trials of this search, from the first one on, that are condensed
        self._followed = 0  # trials of this search that have been taken in
        self._running: dict[int, Trial] = {}  # their handles in the study, by place in this search

    def follow(self, searched: Sequence[FrozenTrial]) -> None:
        """Take in what has begun and ended; this search's trials, in the order in which they began."""
        cut = max(0, len(searched) // self._block - 1) * self._block if self._block else 0
        if self._study is None or cut != self._condensed_to:
            self._study = optuna.create_study(direction="maximize" if self._direction == "max" else "minimize")
            earlier = [*self._older, *searched[:cut]]
            self._study.add_trials(best_and_latest(earlier, self._direction, self._block) if cut else earlier)
            self._condensed_to = self._followed = cut
            self._running = {}
        for place in [place for place in self._running if searched[place].state.is_finished()]:
            _end(self._running.pop(place), searched[place])
        for place in range(self._followed, len(searched)):
            self._study.add_trial(searched[place])
            if not searched[place].state.is_finished():
                self._running[place] = Trial(self._study, self._study.get_trials(deepcopy=False)[-1]._trial_id)
        self._followed = len(searched)

    def ask(self, sampler: BaseSampler, space: Space, given: Point) -> tuple[Trial, Point]:
        """Let a sampler propose a point that has the given values, after `follow`.

        The proposal stands as a running trial until `settle`: samplers keep away from where a trial runs.
        """
        assert self._study is not None  # `follow` comes first
        self._study.sampler = sampler
        if given:
            self._study.enqueue_trial(given)
        trial = self._study.ask()
        return trial, space.suggest(trial)

    def settle(self, turned_down: Sequence[Trial], taken: Trial | None = None) -> dict[str, Any]:
        """Forget what was turned down, and take in a proposal as this search's next trial.

        Returns:
            What the sampler noted at the trial that was taken; on disk, it finds that again after a restart.
        """
        notes: dict[str, Any] = {}
        if taken is not None:
            notes = taken.study.get_trials(deepcopy=False)[taken.number].system_attrs
            self._running[self._followed] = taken
            self._followed += 1
        for trial in turned_down:
            trial.study.tell(trial, state=TrialState.FAIL)
        if turned_down and self._block:
            # Samplers may use a trial's number: the next one is to be that of a sweep that went on from the disk.
            self._study = None
        return {name: note for name, note in notes.items() if name != "fixed_params"}


def best_and_latest(trials: Sequence[FrozenTrial], direction: Direction, most: int) -> list[FrozenTrial]:
    """At most so many trials, in their order: half of them the best, half the latest of the others."""
    if len(trials) <= most:
        return list(trials)
    best = {id(trial) for trial in _ranked(trials, direction)[: most // 2]}
    others = [trial for trial in trials if id(trial) not in best and trial.state.is_finished()]
    kept = best | {id(trial) for trial in others[-(most - most // 2) :]}
    return [trial for trial in trials if id(trial) in kept]


def build_trial(
    space: Space,
    params: Mapping[str, Any],
    state: TrialState,
    value: float | None = None,
    intermediate_values: Mapping[int, float] | None = None,
    system_attrs: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A trial of a study, with these values of names of the space."""
    fixed = FixedTrial(dict(params))
    for name in params:
        space.dimensions[name].domain.suggest(fixed, name)
    return create_trial(
        state=state,
        params=dict(params),
        distributions=fixed.distributions,
        value=value,
        intermediate_values=dict(intermediate_values or {}),
        system_attrs=dict(system_attrs or {}),
    )


class StoredTrial(TypedDict):
    """An ended trial as JSON; its distributions are left to the space."""

    params: Point
    state: str
    """The name of Optuna's state."""
    value: float | None
    steps: dict[str, float]
    """Intermediate values by step."""


def trial_to_json(trial: FrozenTrial) -> StoredTrial:
    """An ended trial as `trial_from_json` reads it."""
    steps = {str(step): value for step, value in trial.intermediate_values.items()}
    return {"params": trial.params, "state": trial.state.name, "value": trial.value, "steps": steps}


def trial_from_json(space: Space, data: StoredTrial) -> FrozenTrial:
    """The trial that `trial_to_json` wrote, as one of this space."""
    steps = {int(step): value for step, value in data["steps"].items()}
    return build_trial(space, data["params"], TrialState[data["state"]], data["value"], steps)


def _ranked(trials: Sequence[FrozenTrial], direction: Direction) -> list[FrozenTrial]:
    """Those with a value, the best first."""
    scored = [(direction.cost(trial.value), place) for place, trial in enumerate(trials) if trial.value is not None]
    return [trials[place] for _, place in sorted(scored)]


def _end(handle: Trial, trial: FrozenTrial) -> None:
    """Tell the study in memory how a trial ended."""
    known = handle.study.get_trials(deepcopy=False)[handle.number].intermediate_values
    for step, value in trial.intermediate_values.items():
        if step not in known:
            handle.report(value, step)
    handle.study.tell(handle, trial.value if trial.state is TrialState.COMPLETE else None, state=trial.state)
