"""The study from which a sampler learns: an Optuna study in memory, updated from the trials of the search.

The study on disk has only the trials of this sweep. The study in memory also has trials of an older sweep, and
proposals that were rejected.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial

from spaces import Point, Space
from trainable.metrics.metric import Direction


class SamplerStudy:
    """Ended trials of an older sweep, then the trials of this search; a sampler sees a bounded number of them.

    Args:
        direction: which values are better.
        older: ended trials of an older sweep, with the distributions of this sweep's space.
        block: number of trials in a block. When this search has two blocks, all complete blocks except the latest
            are replaced by one: half of it the best trials so far, half the latest of the others. So a sampler
            sees fewer than three blocks. 0 keeps every trial.
    """

    def __init__(self, direction: Direction, older: Sequence[FrozenTrial], block: int) -> None:
        self._direction, self._block = direction, block
        self._older = best_and_latest(older, direction, block) if block else list(older)
        self._study: optuna.Study | None = None
        self._replaced = 0  # this many first trials of the search are replaced by one block
        self._added = 0  # trials of this search that are in the study
        self._running: dict[int, Trial] = {}  # handles of running trials, by index in this search

    def update(self, searched: Sequence[FrozenTrial]) -> None:
        """Add trials that have begun, and the results of trials that have ended.

        Args:
            searched: all trials of this search, in the order in which they began.
        """
        cut = max(0, len(searched) // self._block - 1) * self._block if self._block else 0
        if self._study is None or cut != self._replaced:
            self._study = optuna.create_study(direction="maximize" if self._direction == "max" else "minimize")
            earlier = [*self._older, *searched[:cut]]
            self._study.add_trials(best_and_latest(earlier, self._direction, self._block) if cut else earlier)
            self._replaced = self._added = cut
            self._running = {}
        for index in [index for index in self._running if searched[index].state.is_finished()]:
            _end(self._running.pop(index), searched[index])
        for index in range(self._added, len(searched)):
            self._study.add_trial(searched[index])
            if not searched[index].state.is_finished():
                self._running[index] = Trial(self._study, self._study.get_trials(deepcopy=False)[-1]._trial_id)
        self._added = len(searched)

    def ask(self, sampler: BaseSampler, space: Space, given: Point) -> tuple[Trial, Point]:
        """Return a sampler's proposal, with the given values, as a trial and a point; `update` must come first.

        The proposal is a running trial until `close_proposals`: samplers avoid points near running trials.
        """
        assert self._study is not None  # `update` comes first
        self._study.sampler = sampler
        if given:
            self._study.enqueue_trial(given)
        trial = self._study.ask()
        return trial, space.suggest(trial)

    def close_proposals(self, rejected: Sequence[Trial], accepted: Trial | None = None) -> dict[str, Any]:
        """Mark proposals as failed, without a value; keep `accepted` as the next trial of this search.

        Returns:
            The attributes that the sampler stored in the accepted trial. Saved on disk, they are there after a restart.
        """
        attributes: dict[str, Any] = {}
        if accepted is not None:
            attributes = accepted.study.get_trials(deepcopy=False)[accepted.number].system_attrs
            self._running[self._added] = accepted
            self._added += 1
        for trial in rejected:
            trial.study.tell(trial, state=TrialState.FAIL)
        if rejected and self._block:
            # Samplers may use the number of a trial. The study is built again, so that the next trial has the number
            # that it would have in a sweep resumed from disk.
            self._study = None
        return {name: value for name, value in attributes.items() if name != "fixed_params"}


def best_and_latest(trials: Sequence[FrozenTrial], direction: Direction, most: int) -> list[FrozenTrial]:
    """Return at most `most` trials, in their order: half of them the best, half the latest of the others that ended."""
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
    """Return a trial of a study; `params` are values of names of the space."""
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
    """An ended trial as JSON, without its distributions, which the space gives."""

    params: Point
    state: str
    """Name of an Optuna `TrialState`."""
    value: float | None
    steps: dict[str, float]
    """Intermediate values by step."""


def trial_to_json(trial: FrozenTrial) -> StoredTrial:
    """Return an ended trial in the form that `trial_from_json` reads."""
    steps = {str(step): value for step, value in trial.intermediate_values.items()}
    return {"params": trial.params, "state": trial.state.name, "value": trial.value, "steps": steps}


def trial_from_json(space: Space, data: StoredTrial) -> FrozenTrial:
    """Return a trial that `trial_to_json` wrote, with the distributions of this space."""
    steps = {int(step): value for step, value in data["steps"].items()}
    return build_trial(space, data["params"], TrialState[data["state"]], data["value"], steps)


def _ranked(trials: Sequence[FrozenTrial], direction: Direction) -> list[FrozenTrial]:
    """Return the trials that have a value, the best first."""
    scored = [(direction.cost(trial.value), index) for index, trial in enumerate(trials) if trial.value is not None]
    return [trials[index] for _, index in sorted(scored)]


def _end(handle: Trial, trial: FrozenTrial) -> None:
    """Report to the study in memory how a trial ended."""
    reported = handle.study.get_trials(deepcopy=False)[handle.number].intermediate_values
    for step, value in trial.intermediate_values.items():
        if step not in reported:
            handle.report(value, step)
    for name, excess in trial.constraints.items():
        handle.set_constraint(name, excess)
    handle.study.tell(handle, trial.value if trial.state is TrialState.COMPLETE else None, state=trial.state)
