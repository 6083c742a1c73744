"""What the search tries next: points that were not tried before, from a sampler that knows what was."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from search.plan.settings import SweepSettings
from search.propose.first_points import first_points
from search.propose.sampler_study import SamplerStudy, build_trial
from search.propose.samplers import BLOCKS, build_sampler
from spaces import Point, Scalar, Space, SpaceError

ASKS = 8
"""How often the sampler, and after it chance, is asked for a point that was not tried before."""

Key = tuple[tuple[str, Any], ...]


class Proposer:
    """Proposes the trials of a search, one by one.

    What it proposes follows from the settings, their seed and the trials so far, and from no generator's state:
    an interrupted search goes on with what it would have proposed anyway. Only `qmc` begins another sequence.

    Args:
        settings: the sweep's settings.
        space: what varies.
        older: ended trials of an older sweep, with the distributions of this space.
    """

    def __init__(self, settings: SweepSettings, space: Space, older: Sequence[FrozenTrial] = ()) -> None:
        self._settings, self._space = settings, space
        self._first = first_points(settings, space)
        self._knowledge = SamplerStudy(settings.direction, older, BLOCKS.get(settings.sampler, 0))
        self._known = len(older)
        self._sequence: BaseSampler | None = None
        self._tried: set[Key] = set()
        self._looked_at = 0  # trials of this search whose points are in `_tried`

    def propose(self, searched: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """A running trial, as the study on disk is to have it, or None once every point of the space was tried.

        A point to start with is proposed even where it was tried before.

        Args:
            searched: this search's trials, in the order in which they began.
        """
        begun = len(searched)
        given = dict(self._first[begun]) if begun < len(self._first) else {}
        if given and given in self._space:
            return running_trial(self._space, given)
        self._tried |= {_key(trial.params) for trial in searched[self._looked_at :]}
        self._looked_at = begun
        if given or self._settings.sampler != "grid":
            self._knowledge.follow(searched)
            if found := self._new(begun, given):
                return found
        if left := [p for p in self._grid if _key(p) not in self._tried and given.items() <= p.items()]:
            place = 0 if self._settings.sampler == "grid" else self._seed(begun) % len(left)
            return running_trial(self._space, left[place])
        return running_trial(self._space, self._space.complete(given)) if given else None

    def _new(self, begun: int, given: Point) -> FrozenTrial | None:
        """A point that was not tried, from the sampler or else by chance; None where both insist on old ones."""
        turned_down: list[Trial] = []
        for sampler in (self._sampler(begun), build_sampler("random", self._seed(begun))):
            for _ in range(ASKS):
                trial, point = self._knowledge.ask(sampler, self._space, given)
                if _key(point) not in self._tried:
                    notes = self._knowledge.settle(turned_down, taken=trial)
                    return running_trial(self._space, point, notes)
                turned_down.append(trial)
        self._knowledge.settle(turned_down)
        return None

    @cached_property
    def _grid(self) -> list[Point]:
        """Every point of the space; none where they are too many to be listed."""
        try:
            return self._space.grid()
        except SpaceError:
            return []

    def _seed(self, begun: int) -> int:
        """Another one for each trial, and after an older sweep of the same seed, those that it did not use."""
        return int(np.random.SeedSequence([self._settings.seed, self._known + begun]).generate_state(1)[0])

    def _sampler(self, begun: int) -> BaseSampler:
        """The sampler for the trial that begins after so many; only the points of `qmc` are one sequence."""
        if self._settings.sampler != "qmc":
            return build_sampler(self._settings.sampler, self._seed(begun))
        if self._sequence is None:
            self._sequence = build_sampler("qmc", self._settings.seed + begun)
        return self._sequence


def running_trial(space: Space, params: Mapping[str, Scalar], notes: Mapping[str, Any] | None = None) -> FrozenTrial:
    """A trial that begins with these values of names of the space; `notes` are its sampler's."""
    return build_trial(space, params, TrialState.RUNNING, system_attrs=notes)


def _key(params: Mapping[str, Any]) -> Key:
    """What two points have in common exactly if they are the same, however a float's steps were added up."""
    return tuple(sorted((n, float(f"{v:.12g}") if isinstance(v, float) else v) for n, v in params.items()))
