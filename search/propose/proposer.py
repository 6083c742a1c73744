"""Proposes the next trial of a search: a new point, from a sampler that learns from the trials so far.

`SamplerStudy` in `sampler_study.py` asks Optuna's sampler.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from search.plan.settings import SweepSettings
from search.propose.first_points import first_points
from search.propose.sampler_study import SamplerStudy, build_trial
from search.propose.samplers import BLOCK_TRIALS, build_sampler
from spaces import Point, Scalar, Space, SpaceError

ATTEMPTS = 8
"""Largest number of proposals of the sampler, and then of random sampling, until one is a new point."""

Key = tuple[tuple[str, Any], ...]


class Proposer:
    """Proposes the trials of a search, one by one.

    A proposal depends only on the settings, their seed and the trials so far, not on the state of a generator. So an
    interrupted search continues with the same proposals. Only `qmc` begins another sequence after a restart.

    Args:
        settings: the sweep's settings.
        space: the names that vary.
        older: ended trials of an older sweep, with the distributions of this space.
    """

    def __init__(self, settings: SweepSettings, space: Space, older: Sequence[FrozenTrial] = ()) -> None:
        self._settings, self._space = settings, space
        self._first_points = first_points(settings, space)
        self._sampler_study = SamplerStudy(settings.direction, older, BLOCK_TRIALS.get(settings.sampler, 0))
        self._older_trials = len(older)
        self._sequence: BaseSampler | None = None
        self._tried: set[Key] = set()
        self._indexed = 0  # the points of this many first trials are in `_tried`

    def propose(self, searched: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the next trial, running, for the study on disk; None if every point of the space was tried.

        A first point is proposed even if it was tried before.

        Args:
            searched: all trials of this search, in the order in which they began.
        """
        begun = len(searched)
        given = dict(self._first_points[begun]) if begun < len(self._first_points) else {}
        if given and given in self._space:
            return running_trial(self._space, given)
        self._tried |= {_key(trial.params) for trial in searched[self._indexed :]}
        self._indexed = begun
        if given or self._settings.sampler != "grid":
            self._sampler_study.update(searched)
            if found := self._new_point(begun, given):
                return found
        if left := [p for p in self._grid if _key(p) not in self._tried and given.items() <= p.items()]:
            index = 0 if self._settings.sampler == "grid" else self._seed(begun) % len(left)
            return running_trial(self._space, left[index])
        return running_trial(self._space, self._space.complete(given)) if given else None

    def _new_point(self, begun: int, given: Point) -> FrozenTrial | None:
        """Return a trial with a new point, from the sampler or else by random sampling; None if neither finds one."""
        rejected: list[Trial] = []
        for sampler in (self._sampler(begun), build_sampler("random", self._seed(begun))):
            for _ in range(ATTEMPTS):
                trial, point = self._sampler_study.ask(sampler, self._space, given)
                if _key(point) not in self._tried:
                    attributes = self._sampler_study.close_proposals(rejected, accepted=trial)
                    return running_trial(self._space, point, attributes)
                rejected.append(trial)
        self._sampler_study.close_proposals(rejected)
        return None

    @cached_property
    def _grid(self) -> list[Point]:
        """Return every point of the space; empty if there are too many to list."""
        try:
            return self._space.grid()
        except SpaceError:
            return []

    def _seed(self, begun: int) -> int:
        """Return the seed of the trial number `begun`; an older sweep with the same `seed` did not use it."""
        return int(np.random.SeedSequence([self._settings.seed, self._older_trials + begun]).generate_state(1)[0])

    def _sampler(self, begun: int) -> BaseSampler:
        """Return the sampler for the trial number `begun`; `qmc` keeps one sampler, as its points are one sequence."""
        if self._settings.sampler != "qmc":
            return build_sampler(self._settings.sampler, self._seed(begun))
        if self._sequence is None:
            self._sequence = build_sampler("qmc", self._settings.seed + begun)
        return self._sequence


def running_trial(space: Space, params: Mapping[str, Scalar], attrs: Mapping[str, Any] | None = None) -> FrozenTrial:
    """Return a running trial with these values of names of the space; `attrs` are what its sampler stored in it."""
    return build_trial(space, params, TrialState.RUNNING, system_attrs=attrs)


def _key(params: Mapping[str, Any]) -> Key:
    """Return a key that is equal for equal points; floats are rounded, as sums of steps differ in their last digits."""
    return tuple(sorted((n, float(f"{v:.12g}") if isinstance(v, float) else v) for n, v in params.items()))
