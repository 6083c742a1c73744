import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from search.record.comparison import compare
from search.record.labels_curve import Estimate, LabelsCurve, LabelsPoint
from search.record.records import BudgetLimits, Outcome, State, TrialRecord, best_so_far, ranked
from search.record.scores import Score, TestScore
from search.show.report import next_commands, print_outcome
from search.storage.driver_lock import hold_driver_lock
from search.storage.sweep_folder import SweepFolder
from trainable.metrics.classification import ClassScores
from trainable.metrics.metric import Direction


def trial(number: int, state: State, value: float | None, seed: int = 0, **fields: Any) -> TrialRecord:
    params = {
        "target.learning_rate": 1e-05 * (number + 1),
        "target.batch_size": 16,
        "target.epochs": number % 3 + 1,
        "target.padding_length": 64 + number,
        "target.frozen_layers": number,
        "source.enabled": number % 2 == 0,
    }
    return TrialRecord(number, state, params, seed, value=value, seconds=12.0, **fields)


TRIALS = (
    trial(0, State.FINISHED, 0.81, metrics={"target.validation.macro_f1": 0.81, "target.train.loss": math.nan}),
    trial(1, State.STOPPED, 0.99),
    trial(2, State.FINISHED, 0.87),
    trial(3, State.FAILED, None, error="Traceback\n  File [x]\nTrialError: the loss is [nan] at step 12"),
    trial(2, State.FINISHED, 0.86, role="confirm", seed=1),
    trial(2, State.FINISHED, 0.8, role="no_source"),
)
OUTCOME = Outcome(
    name="sms",
    storage="runs",
    tracking_uri="sqlite:///runs/mlflow.db",
    run_id="abc",
    metric="macro_f1",
    direction=Direction.MAX,
    trials=TRIALS,
    winner=2,
    exported="2.seed-1",
    winner_config={"encoder": "minilm", "target.epochs": 3, "target.evaluate_at": [0.5], "target.patience": None},
    validation=Score.over([0.87, 0.86]),
    test=TestScore(
        metrics={"macro_f1": 0.83, "accuracy": 0.9},
        low=0.79,
        high=0.86,
        rows=500,
        per_class=[ClassScores("[ham]", precision=0.91, recall=0.92, f1=0.93, rows=400)],
    ),
    comparison=compare([0.87, 0.86], [0.8, 0.79], "macro_f1", Direction.MAX, "reviews"),
    seconds=3700.0,
    worker_hours=1.25,
    budget=BudgetLimits(trials=4),
    notes=("2 texts stand in two splits",),
)


def printed(outcome: Outcome, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_outcome(outcome, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if any(f" {state.value} " in line for state in State)]


def test_trials_stand_best_first_and_finished_before_stopped() -> None:
    numbers = [row[0] for row in rows(printed(OUTCOME)) if row[0].isdigit()]
    assert numbers == ["2", "0", "1", "3"]


def test_settings_stand_in_columns_where_they_fit() -> None:
    row = next(row for row in rows(printed(OUTCOME)) if row[0] == "2")
    assert row == ["2", "finished", "0.8700", "12", "3e-05", "3", "66", "2", "True"]
    assert "learning_rate=3e-05" in printed(OUTCOME, width=60)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_cut_or_wider_than_the_console(width: int) -> None:
    text = printed(OUTCOME, width)
    assert "…" not in text
    assert "\x1b" not in text
    commands = next_commands(OUTCOME)
    assert all(len(line) <= width for line in text.splitlines() if line.strip() not in commands)


def test_a_trial_without_a_driver_is_unfinished_and_not_running(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path, "sms")
    sweep.path.mkdir()
    running = replace(OUTCOME, storage=str(tmp_path), trials=(*TRIALS, trial(4, State.RUNNING, None)))
    assert "2 finished, 1 stopped, 1 failed;" in printed(replace(running, trials=TRIALS))
    assert "1 unfinished, 2 finished, 1 stopped, 1 failed;" in printed(running)
    with hold_driver_lock(sweep.path):
        assert "1 running, 2 finished, 1 stopped, 1 failed;" in printed(running)
    assert running.to_json()["counts"]["running"] == 1


def test_winner_scores_comparison_errors_and_notes_are_said() -> None:
    text = printed(OUTCOME, width=120)
    for words in (
        "2 finished, 1 stopped, 1 failed; repeats of finalists: 2 finished; 1 h 1 min, 1.25 worker-hours",
        "trial 3 failed: TrialError: the loss is [nan] at step 12",
        "Winner: trial 2, chosen on validation",
        "validation macro_f1 0.8650 ± 0.0071 (mean ± sd of 2 seeds)",
        "  target.frozen_layers: 2",
        "macro_f1 0.8300, 95 % interval 0.7900 to 0.8600, 500 rows",
        "accuracy 0.9000",
        "[ham]     0.9100  0.9200  0.9300   400",
        "The source 'reviews' helped: macro_f1 0.8650 with it, 0.7950 without",
        "2 texts stand in two splits",
        "trial 2, seed 1 ",
        "trial 2 without its source, seed 0 ",
        "Exported model: the run with seed 1, which has the best validation score.",
    ):
        assert words in text


CURVE = LabelsCurve(
    points=(
        LabelsPoint(16, Estimate(0.8, 0.75, 0.85, (0.79, 0.81)), Estimate(0.6, 0.5, 0.7, (0.6, 0.6)), None),
        LabelsPoint(128, Estimate(0.9, None, None, (0.9,)), None, Estimate(0.1, 0.05, 0.15, (0.1, 0.1))),
    ),
    draws=2,
    per_class=False,
    with_source=2,
    without_source=1,
    sentence="Without the source, 128 training rows give a mean macro_f1 of 0.8000.",
)


def test_the_labels_curve_is_a_table_and_its_trials_are_counted() -> None:
    on_rows = trial(2, State.FINISHED, 0.8, seed=1, role="labels", changes={"target.train_rows": 16})
    outcome = replace(OUTCOME, labels_curve=CURVE, trials=(*TRIALS, on_rows))
    lines = [" ".join(line.split()) for line in printed(outcome).splitlines()]
    for line in (
        "rows with the source without difference",
        "16 0.800 (0.750, 0.850) 0.600 (0.500, 0.700) -",
        "128 0.900 - +0.100 (+0.050, +0.150)",
    ):
        assert line in lines
    text = printed(outcome, width=160)
    assert "repeats of finalists: 2 finished; labels curve: 1 finished;" in text
    assert "on 16 rows" not in text  # the table of repeats stays short
    stored = Outcome.from_json(json.loads(json.dumps(outcome.to_json())))
    assert (stored.labels_curve, stored.trials[-1]) == (CURVE, on_rows)


def test_a_winner_that_never_predicts_a_class_says_so() -> None:
    assert OUTCOME.test
    outcome = replace(OUTCOME, test=replace(OUTCOME.test, never_predicted=("[spam]", "scam")))
    assert "The model never predicts: [spam], scam" in printed(outcome)
    assert outcome.to_json()["test"]["never_predicted"] == ["[spam]", "scam"]
    assert "never predicts" not in printed(OUTCOME)


def test_classes_that_look_alike_are_shown_apart() -> None:
    assert OUTCOME.test
    lines = [replace(OUTCOME.test.per_class[0], label=name) for name in ("caf\u00e9", "cafe\u0301", "caf\u00e9 ")]
    test = replace(OUTCOME.test, per_class=lines, never_predicted=("cafe\u0301",))
    text = printed(replace(OUTCOME, test=test))
    assert [line.split("0.9")[0].strip() for line in text.splitlines() if "0.9100  0.9200" in line] == [
        "caf\u00e9",
        r"'cafe\u0301'",
        "'caf\u00e9 '",
    ]
    assert r"The model never predicts: 'cafe\u0301'" in text


def test_without_a_winner_there_is_nothing_to_export() -> None:
    outcome = replace(OUTCOME, winner=None, winner_config={}, validation=None, test=None, comparison=None, trials=())
    text = printed(outcome)
    assert "No winner" in text
    assert "export" not in text


def test_more_minutes_are_offered_where_they_were_too_few(tmp_path: Path) -> None:
    cut = replace(TRIALS[1], out_of_time=True)
    short = replace(OUTCOME, budget=BudgetLimits(20, 2.5), trials=(*TRIALS[:1], cut, *TRIALS[2:]))
    assert "transfersweep resume sms --set sweep.minutes=5" in next_commands(short)
    assert not any("minutes" in command for command in next_commands(replace(short, trials=TRIALS)))
    assert not any("minutes" in command for command in next_commands(replace(short, complete=False)))


def test_the_report_is_named_where_it_was_written(tmp_path: Path) -> None:
    outcome = replace(OUTCOME, storage=str(tmp_path))
    assert "Report:" not in printed(outcome)
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms" / "report.html").touch()
    assert "Report:" in printed(outcome)


def test_the_next_commands_can_be_copied() -> None:
    assert next_commands(OUTCOME) == [
        "transfersweep ui sms",
        "transfersweep show sms",
        "transfersweep export sms --to sms-model",
        "transfersweep suggest sms",
    ]
    elsewhere = replace(OUTCOME, storage="/data/my runs", complete=False)
    assert next_commands(elsewhere) == [
        "transfersweep ui sms --storage '/data/my runs'",
        "transfersweep resume sms --storage '/data/my runs'",
        "transfersweep export sms --to sms-model --storage '/data/my runs'",
    ]
    lines = [line.strip() for line in printed(elsewhere, width=40).splitlines()]
    assert lines[-3:] == next_commands(elsewhere)


def test_the_outcome_survives_json() -> None:
    text = json.dumps(OUTCOME.to_json(), allow_nan=False)
    again = Outcome.from_json(json.loads(text))
    assert math.isnan(again.trials[0].metrics["target.train.loss"])
    assert replace(again, trials=again.trials[1:]) == replace(OUTCOME, trials=OUTCOME.trials[1:])


def test_an_outcome_of_a_version_that_numbered_repeats_is_read() -> None:
    data = OUTCOME.to_json()
    for trial, of, number in zip(data["repeats"], (2, 2), (4, 5), strict=True):
        trial |= {"number": number, "of": of}
    old = data | {"exported": 4, "trials": [trial | {"of": None} for trial in data["trials"]]}
    again = Outcome.from_json(json.loads(json.dumps(old)))
    assert (again.exported, again.repeats) == (OUTCOME.exported, OUTCOME.repeats)


def test_what_scripts_read_from_the_json() -> None:
    data = OUTCOME.to_json()
    assert data["counts"] == {
        "total": 4,
        "running": 0,
        "paused": 0,
        "finished": 2,
        "stopped": 1,
        "failed": 1,
        "lost": 0,
    }
    assert {trial["role"] for trial in data["trials"]} == {"search"}
    assert [(t["number"], t["role"], t["seed"]) for t in data["repeats"]] == [(2, "confirm", 1), (2, "no_source", 0)]
    assert data["exported"] == {"number": 2, "role": "confirm", "seed": 1}
    assert data["winner"] == {"number": 2, "params": TRIALS[2].params, "config": OUTCOME.winner_config}
    assert data["validation"]["values"] == [0.87, 0.86]
    assert replace(OUTCOME, winner=None).to_json()["winner"] is None


def test_ranks_follow_the_direction_and_a_nan_is_no_score() -> None:
    trials = [trial(0, State.FINISHED, 0.3), trial(1, State.FINISHED, math.nan), trial(2, State.FINISHED, 0.2)]
    assert [t.number for t in ranked(trials, Direction.MAX)] == [0, 2, 1]
    assert [t.number for t in ranked(trials, Direction.MIN)] == [2, 0, 1]
    best = best_so_far(trials, Direction.MIN)
    assert best and best.number == 2
    assert best_so_far(trials[1:2], Direction.MAX) is None


@pytest.mark.parametrize(
    ("with_values", "without_values", "direction", "begins"),
    [
        ([0.85, 0.86], [0.80, 0.81], Direction.MAX, "The source 'reviews' helped: "),
        ([0.85, 0.86], [0.80, 0.81], Direction.MIN, "The source 'reviews' hurt: "),
        ([0.80, 0.81], [0.85, 0.86], Direction.MAX, "The source 'reviews' hurt: "),
        ([0.80, 0.90], [0.82, 0.86], Direction.MAX, "No clear difference with the source 'reviews': "),
        ([0.90], [0.80], Direction.MAX, "These seeds do not show whether the source 'reviews' helped"),
        ([0.90, 0.91], [0.80], Direction.MAX, "These seeds do not show whether the source 'reviews' helped"),
        ([0.90, 0.90], [0.80, 0.80], Direction.MAX, "These seeds do not show whether the source 'reviews' helped"),
    ],
)
def test_the_sentence_claims_no_more_than_the_seeds_show(
    with_values: list[float], without_values: list[float], direction: Any, begins: str
) -> None:
    comparison = compare(with_values, without_values, "macro_f1", direction, "reviews")
    assert comparison.sentence.startswith(begins)
    assert (comparison.low is None) == begins.startswith("These")
    assert comparison.difference == pytest.approx(sum(with_values) / len(with_values) - comparison.without_source.mean)


SCORES = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=2, max_size=6).filter(lambda v: len(set(v)) > 1)


@given(SCORES, SCORES)
def test_the_interval_is_welchs(first: list[float], second: list[float]) -> None:
    comparison = compare(first, second, "accuracy", Direction.MAX, "reviews")
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert (comparison.low, comparison.high) == (pytest.approx(welch.low), pytest.approx(welch.high))


def test_costs_with_a_limit_are_columns_and_what_is_above_one_says_so() -> None:
    trials = tuple(
        replace(each, metrics={"target.latency_ms": 10.0 * each.number}) if each.role == "search" else each
        for each in TRIALS
    )
    text = printed(replace(OUTCOME, trials=trials, limits={"latency_ms": 15.0}))
    assert "20 > 15" in text
    assert "10 > 15" not in text
    nothing = replace(OUTCOME, trials=trials, limits={"latency_ms": 5.0}, winner=None, exported=None, validation=None)
    assert "No winner: no trial has finished with a score within latency_ms <= 5." in " ".join(printed(nothing).split())
