"""No point twice, whoever samples; an end where none is left; the same proposals after a restart."""

from datetime import datetime
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.plan.settings import SweepSettings
from search.propose.proposer import Proposer
from search.propose.samplers import SAMPLERS
from spaces import Space, parse_space

FINITE = parse_space(
    {
        "source.enabled": {"choice": [True, False]},
        "source.epochs": {"int": [1, 2], "when": {"source.enabled": True}},
        "target.dropout": {"float": [0, 0.3], "step": 0.1},
    }
)
OPEN = parse_space(
    {
        "target.learning_rate": {"float": [1e-5, 1e-2], "log": True},
        "target.weight_decay": {"float": [0, 1]},
        "target.epochs": {"int": [1, 6]},
    }
)


class Search:
    """A search without anything to train; every third trial is stopped half-way, every seventh fails."""

    def __init__(self, space: Space, **settings: Any) -> None:
        self.space, self.settings = space, SweepSettings(name="tiny", **settings)
        self.trials: list[FrozenTrial] = []
        self.restart()

    def restart(self) -> None:
        """Forget everything but the trials, as a killed driver does."""
        self.proposer = Proposer(self.settings, self.space)

    def begin(self) -> dict[str, Any] | None:
        trial = self.proposer.propose(self.trials)
        if trial is None:
            return None
        assert trial.state is TrialState.RUNNING
        assert trial.params in self.space
        self.trials.append(trial)
        return trial.params

    def end(self, place: int) -> None:
        trial = self.trials[place]
        value = -abs(trial.params.get("target.weight_decay", 0.0) - 0.4) - 0.1 * trial.params.get("target.epochs", 0)
        trial.datetime_complete = datetime.now()
        if place % 7 == 6:
            trial.state = TrialState.FAIL
            return
        trial.state = TrialState.PRUNED if place % 3 == 2 else TrialState.COMPLETE
        trial.intermediate_values, trial.value = {50: value}, value

    def train(self) -> dict[str, Any] | None:
        """One trial from its beginning to its end."""
        params = self.begin()
        if params is not None:
            self.end(len(self.trials) - 1)
        return params


def rounded(points: list[dict[str, Any]]) -> list[str]:
    """Points to be compared: Optuna's steps of floats are sums, whose last digits vary."""
    return sorted(repr(sorted((n, round(v, 9) if isinstance(v, float) else v) for n, v in p.items())) for p in points)


@pytest.mark.parametrize("at_a_time", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_point_of_a_finite_space_is_tried_once(sampler: str, at_a_time: int) -> None:
    search = Search(FINITE, sampler=sampler)
    while search.begin() is not None:
        if len(search.trials) >= at_a_time:
            search.end(len(search.trials) - at_a_time)
    assert rounded([t.params for t in search.trials]) == rounded(FINITE.grid())
    search.restart()
    assert search.begin() is None


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "grid"])
@pytest.mark.parametrize("space", [FINITE, OPEN], ids=["finite", "open"])
def test_a_search_in_sessions_proposes_what_one_session_does(sampler: str, space: Space) -> None:
    if sampler == "grid" and space is OPEN:
        pytest.skip("it has no grid")
    given = {"sampler": sampler, "start_with": [{"target.epochs": 2}] if space is OPEN else [], "seed": 3}
    whole, cut = Search(space, **given), Search(space, **given)
    for _ in range(14 if sampler == "gp" else 40):
        cut.restart()
        assert cut.train() == whole.train()


def test_what_runs_while_a_session_ends_is_learnt_from_later() -> None:
    whole, cut = Search(OPEN), Search(OPEN)
    for begun in range(30):
        if begun % 4 == 1:
            cut.restart()
        assert cut.begin() == whole.begin()
        if begun >= 2:
            for search in (whole, cut):
                search.end(begun - 2)


def test_points_to_start_with_are_run_even_if_they_repeat() -> None:
    point = {"source.enabled": False, "target.dropout": 0.1}
    search = Search(FINITE, start_with=[point, point, {"source.enabled": False}])
    points = [search.train() for _ in range(3)]
    assert points[:2] == [point, point]
    assert points[2] is not None
    assert points[2]["source.enabled"] is False
    assert points[2] != point


def test_what_a_point_leaves_out_is_repeated_only_where_nothing_else_is_left() -> None:
    space = parse_space({"target.epochs": {"int": [1, 2]}, "target.batch_size": {"choice": [8, 16]}})
    search = Search(space, start_with=[{"target.epochs": 2}] * 3)
    while search.train() is not None:
        pass
    points = [t.params for t in search.trials]
    assert {point["target.epochs"] for point in points[:3]} == {2}
    assert {point["target.batch_size"] for point in points[:2]} == {8, 16}
    assert [point["target.epochs"] for point in points[3:]] == [1, 1]


def test_a_space_without_names_has_one_point() -> None:
    search = Search(parse_space({}))
    assert search.train() == {}
    assert search.train() is None


def test_an_open_space_with_a_finite_corner_goes_on() -> None:
    """Where the source is off there is one point only, and it is the best: the sampler is talked out of it."""
    space = parse_space(
        {
            "source.enabled": {"choice": [False, True]},
            "target.weight_decay": {"float": [0.5, 1], "when": {"source.enabled": True}},
            "target.epochs": {"int": [1, 1]},
        }
    )
    search = Search(space)
    points = [search.train() for _ in range(60)]
    assert len(set(map(repr, points))) == 60
    assert None not in points
