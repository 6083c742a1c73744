"""What a sweep whose numbers are chosen says about the next one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.advice.finding import Changes
from search.advice.findings import findings
from search.advice.sweep import Sweep
from search.record.comparison import compare
from search.record.labels_curve import Estimate, LabelsCurve, LabelsPoint
from search.record.records import State, TrialRecord
from search.record.scores import Score
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder
from spaces import Choice, Float, Int, parse_space
from trainable.metrics.metric import Direction

SPACE = {
    "source.enabled": {"choice": [True, False]},
    "target.learning_rate": {"float": [1e-5, 1e-3], "log": True},
    "target.batch_size": {"choice": [8, 16, 32]},
    "target.padding_length": {"int": [8, 64], "step": 8},
    "target.frozen_layers": {"int": [0, 6]},
    "target.epochs": {"int": [1, 5]},
}


@pytest.fixture(scope="module")
def sweep(swept: SweepFolder) -> Sweep:
    opened = Sweep.open(current_outcome(swept.name, swept.storage), swept)
    return replace(opened, plan=replace(opened.plan, space=parse_space(SPACE)))


def trial(number: int, value: float, **params: Any) -> TrialRecord:
    named = {f"target.{name}": setting for name, setting in params.items()}
    return TrialRecord(number, State.FINISHED, named, 0, value=value)


def with_trials(sweep: Sweep, trials: list[TrialRecord], seeds: Sequence[float] = (0.89, 0.9, 0.91)) -> Sweep:
    outcome = replace(sweep.outcome, trials=tuple(trials), validation=Score.over(seeds), comparison=None)
    return replace(sweep, outcome=outcome)


def texts(sweep: Sweep) -> str:
    return " ".join(each.text for each in findings(sweep, np.array([10, 20, 30, 40])))


def changes(sweep: Sweep) -> Changes:
    return {name: value for finding in findings(sweep) for name, value in finding.changes.items()}


def tried(sweep: Sweep, name: str, values: Sequence[Any], good: Sequence[Any]) -> Changes:
    """Return what changes if trials with these values were as good as the best, and the others were worse."""
    trials = [trial(n, 0.9 if value in good else 0.5, **{name: value}) for n, value in enumerate(values)]
    return changes(with_trials(sweep, trials))


def test_the_shortest_padding_and_the_most_frozen_layers_that_were_as_good_are_named(sweep: Sweep) -> None:
    trials = [
        trial(0, 0.90, padding_length=64, frozen_layers=0),
        trial(1, 0.895, padding_length=32, frozen_layers=4),
        trial(2, 0.70, padding_length=16, frozen_layers=6),
    ]
    text = texts(with_trials(sweep, trials))
    assert "A padding length of 32 was enough: trial 1 with it has macro_f1 0.895, and the best one, trial 0" in text
    assert "It holds 75 % of the training texts whole." in text
    assert "4 frozen layers were as good as fewer" in text
    # Cheaper values that were worse, and more expensive ones, are left out.
    left = {"target.padding_length": Int(24, 32, step=8), "target.frozen_layers": Int(4, 5)}
    assert changes(with_trials(sweep, trials)) == left


def test_without_several_seeds_nothing_is_said_of_small_differences(sweep: Sweep) -> None:
    trials = [trial(number, 0.9 - number / 1000, padding_length=64 - number) for number in range(8)]
    assert texts(with_trials(sweep, trials, seeds=[0.9])) == ""


@pytest.mark.parametrize(
    ("values", "says"),
    [([0.5, 0.6, 0.6, 0.6, 0.7, 0.9], "would probably pay"), ([0.5, 0.9, 0.6, 0.6, 0.7, 0.9], "would add little")],
)
def test_more_trials_pay_if_the_last_third_improved_the_score(sweep: Sweep, values: list[float], says: str) -> None:
    text = texts(with_trials(sweep, [trial(number, value) for number, value in enumerate(values)]))
    assert f"More trials {says}: the last 2 of 6 finished trials improved the best macro_f1 by" in text


@pytest.mark.parametrize(("values", "says"), [((0.6, 0.8), "would probably pay"), ((0.79, 0.8), "would add little")])
def test_more_labels_pay_if_the_most_rows_were_clearly_better(
    sweep: Sweep, values: tuple[float, float], says: str
) -> None:
    points = [
        LabelsPoint(rows, Estimate(mean, mean - 0.05, mean + 0.05, (mean,)), None, None)
        for rows, mean in zip((100, 200), values, strict=True)
    ]
    curve = LabelsCurve(tuple(points), 3, False, 0, None, "")
    evidence = f"the mean macro_f1 is 0.8 with 200 rows (95 % interval 0.75 to 0.85) and {values[0]:.3g} with 100."
    with_curve = replace(sweep, outcome=replace(sweep.outcome, labels_curve=curve, comparison=None))
    assert texts(with_curve) == f"More labels {says}: {evidence}"


@pytest.mark.parametrize(
    ("with_it", "says", "change"),
    [
        ([0.5, 0.51], "Leave the source 'films' out: it hurt", {"source.enabled": False}),
        ([0.9, 0.91], "Keep the source 'films': it helped", {"source.enabled": True}),
        ([0.6, 0.82], "The source 'films' made no clear difference: the 95 % interval", {}),
    ],
)
def test_the_source_follows_its_interval(sweep: Sweep, with_it: list[float], says: str, change: Changes) -> None:
    comparison = compare(with_it, [0.7, 0.71], "macro_f1", Direction.MAX, "films")
    compared = replace(sweep, outcome=replace(sweep.outcome, comparison=comparison))
    assert says in texts(compared)
    assert changes(compared) == change


def test_a_range_ends_at_the_worse_trials_beside_the_good_ones(sweep: Sweep) -> None:
    values = [1.2e-5, 2.04e-5, 8e-5, 9e-5, 3.02e-4, 9e-4]
    found = tried(sweep, "learning_rate", values, good=[8e-5, 9e-5])
    assert found == {"target.learning_rate": Float(2e-5, 3e-4, log=True)}
    assert tried(sweep, "learning_rate", values, good=values[1:5]) == {}, "most of the range is good"


def test_a_range_of_learning_rates_goes_on_where_it_ended_too_early(sweep: Sweep) -> None:
    values = [1e-5, 5e-5, 1e-4, 4e-4, 9e-4, 9.5e-4]
    found = tried(sweep, "learning_rate", values, good=values[4:])
    assert found == {"target.learning_rate": Float(4e-4, 3e-3, log=True)}
    found = tried(sweep, "epochs", [1, 2, 3, 4, 5, 5], good=[5])
    assert found == {"target.epochs": Int(4, 8)}


def test_an_option_is_left_out_after_three_worse_trials(sweep: Sweep) -> None:
    found = tried(sweep, "batch_size", [8, 8, 8, 16, 16, 32], good=[32])
    assert found == {"target.batch_size": Choice((16, 32))}
    assert tried(sweep, "batch_size", [8, 8, 8, 16, 16, 16, 32], good=[32]) == {"target.batch_size": 32}


@given(st.lists(st.tuples(st.floats(1e-5, 1e-3), st.integers(0, 20)), min_size=6, max_size=12))
def test_the_good_values_stay_in_every_range(sweep: Sweep, points: list[tuple[float, int]]) -> None:
    trials = [trial(number, score / 20, learning_rate=rate) for number, (rate, score) in enumerate(points)]
    domain = changes(with_trials(sweep, trials)).get("target.learning_rate")
    best = max(score for _, score in points)
    assert domain is None or all(rate in domain for rate, score in points if score == best)  # type: ignore[operator]
