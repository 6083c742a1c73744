"""No point is proposed twice, the search ends when none is left, and a restart does not change the proposals."""

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
    """A search without training: every third trial is stopped half-way, and every seventh fails."""

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

    def end(self, index: int) -> None:
        trial = self.trials[index]
        value = -abs(trial.params.get("target.weight_decay", 0.0) - 0.4) - 0.1 * trial.params.get("target.epochs", 0)
        trial.datetime_complete = datetime.now()
        if index % 7 == 6:
            trial.state = TrialState.FAIL
            return
        trial.state = TrialState.PRUNED if index % 3 == 2 else TrialState.COMPLETE
        trial.intermediate_values, trial.value = {50: value}, value

    def train(self) -> dict[str, Any] | None:
        """Begin a trial and end it."""
        params = self.begin()
        if params is not None:
            self.end(len(self.trials) - 1)
        return params


def rounded(points: list[dict[str, Any]]) -> list[str]:
    """Return points in a form to compare: Optuna adds up the steps of a float, so the last digits vary."""
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
def test_restarts_do_not_change_the_proposals(sampler: str, space: Space) -> None:
    if sampler == "grid" and space is OPEN:
        pytest.skip("it has no grid")
    given = {"sampler": sampler, "start_with": [{"target.epochs": 2}] if space is OPEN else [], "seed": 3}
    whole, cut = Search(space, **given), Search(space, **given)
    for _ in range(14 if sampler == "gp" else 40):
        cut.restart()
        assert cut.train() == whole.train()


def test_restarts_while_trials_run_do_not_change_the_proposals() -> None:
    whole, cut = Search(OPEN), Search(OPEN)
    for begun in range(30):
        if begun % 4 == 1:
            cut.restart()
        assert cut.begin() == whole.begin()
        if begun >= 2:
            for search in (whole, cut):
                search.end(begun - 2)


def test_points_of_start_with_run_even_if_they_repeat() -> None:
    point = {"source.enabled": False, "target.dropout": 0.1}
    search = Search(FINITE, start_with=[point, point, {"source.enabled": False}])
    points = [search.train() for _ in range(3)]
    assert points[:2] == [point, point]
    assert points[2] is not None
    assert points[2]["source.enabled"] is False
    assert points[2] != point


def test_a_first_point_does_not_run_again_if_it_was_the_cheaper_version_of_another() -> None:
    search = Search(FINITE)
    first = search.proposer.propose([], fits=lambda point: not point["source.enabled"])
    assert first
    search.trials.append(first)
    search.end(0)
    second = search.train()
    assert first.params["source.enabled"] is False
    assert second not in (None, first.params)


def test_sampled_values_of_first_points_repeat_only_if_no_new_point_is_left() -> None:
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


def test_a_sampler_that_repeats_the_best_point_still_proposes_new_ones() -> None:
    """Without the source there is only one point, and it is the best: the sampler would propose it again."""
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
