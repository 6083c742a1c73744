"""Proposes the next trial of a search: a new point, from a sampler that learns from the trials so far.

`SamplerStudy` in `sampler_study.py` asks Optuna's sampler.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from search.plan.settings import SweepSettings
from search.propose.cheaper import cheaper_points
from search.propose.first_points import first_points
from search.propose.sampler_study import SamplerStudy, build_trial
from search.propose.samplers import BLOCK_TRIALS, build_sampler
from spaces import Point, Scalar, Space, SpaceError

ATTEMPTS = 8
"""Largest number of proposals of the sampler, and then of random sampling, until one is a new point."""
LISTED = 1000
"""Largest number of listed points to look through for one that fits."""

Fits = Callable[[Point], bool]
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

    def propose(self, searched: Sequence[FrozenTrial], fits: Fits | None = None) -> FrozenTrial | None:
        """Return the next trial, running, for the study on disk; None if every point of the space was tried.

        A point of `start_with` is proposed even if it was tried before. A point for which there is no time is replaced
        by a cheaper version of it that is new, see `cheaper_points`. A first point without one, or that ran already as
        the cheaper version of another, is replaced by a point of the sampler. The first trial of a search is never
        left out.

        Args:
            searched: all trials of this search, in the order in which they began.
            fits: whether there is time for a point; None means for every point.
        """
        return self._propose(searched, fits or (lambda point: True))

    def _propose(self, searched: Sequence[FrozenTrial], fits: Fits) -> FrozenTrial | None:
        begun = len(searched)
        given = dict(self._first_points[begun]) if begun < len(self._first_points) else {}
        self._tried |= {_key(trial.params) for trial in searched[self._indexed :]}
        self._indexed = begun
        if given and given in self._space:
            has_run = self._settings.start_with is None and _key(given) in self._tried
            point = None if has_run else self._that_fits(given, fits, needed=begun == 0)
            if point:
                return running_trial(self._space, point)
            given = {}
        if given or self._settings.sampler != "grid":
            self._sampler_study.update(searched)
            if found := self._new_point(begun, given, fits):
                return found
        if left := [p for p in self._grid if _key(p) not in self._tried and given.items() <= p.items()]:
            index = 0 if self._settings.sampler == "grid" else self._seed(begun) % len(left)
            that_fit = (point for point in (*left[index:], *left[:index])[:LISTED] if fits(point))
            point = next(that_fit, left[index] if begun == 0 else None)
            return running_trial(self._space, point) if point else None
        repeated = self._that_fits(self._space.complete(given), fits) if given else None
        return running_trial(self._space, repeated) if repeated else None

    def all_tried(self) -> bool:
        """Return whether every point of the space was tried, as of the last proposal."""
        return bool(self._grid) and all(_key(point) in self._tried for point in self._grid)

    def _that_fits(self, point: Point, fits: Fits, needed: bool = False) -> Point | None:
        """Return the point, or a new, cheaper version that fits; None if none does, or the cheapest if it is needed."""
        new = [each for each in cheaper_points(self._space, point) if _key(each) not in self._tried]
        points = [point, *new]
        return next((each for each in points if fits(each)), points[-1] if needed else None)

    def _new_point(self, begun: int, given: Point, fits: Fits) -> FrozenTrial | None:
        """Return a trial with a new point that fits, from the sampler or else by random sampling.

        If no proposal fits, it is a cheaper version of one of them. None if there is none.
        """
        rejected: list[Trial] = []
        too_long: list[Point] = []
        for sampler in (self._sampler(begun), build_sampler("random", self._seed(begun))):
            for _ in range(ATTEMPTS):
                trial, point = self._sampler_study.ask(sampler, self._space, given)
                if _key(point) not in self._tried and not fits(point):
                    too_long.append(point)
                elif _key(point) not in self._tried:
                    attributes = self._sampler_study.close_proposals(rejected, accepted=trial)
                    return running_trial(self._space, point, attributes)
                rejected.append(trial)
        self._sampler_study.close_proposals(rejected)
        cheaper = (self._that_fits(point, fits, needed=begun == 0) for point in too_long)
        new = next((point for point in cheaper if point), None)
        return running_trial(self._space, new) if new else None

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
