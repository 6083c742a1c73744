"""What single sections say, of sweeps and answers whose numbers are chosen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.advice.sweep import Sweep
from search.record.labels_curve import Estimate, LabelsCurve, LabelsPoint
from search.record.records import State, TrialRecord
from search.record.row_answers import RowAnswer, RowAnswers
from search.report.costs import pareto_front
from search.report.errors import errors_section, label_errors_section
from search.report.labels import labels_section
from search.report.time_spent import time_section
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder
from trainable.metrics.metric import Direction


@pytest.fixture(scope="module")
def sweep(swept: SweepFolder) -> Sweep:
    return Sweep.open(current_outcome(swept.name, swept.storage), swept)


def trial(number: int, value: float, **params: Any) -> TrialRecord:
    named = {f"target.{name}": setting for name, setting in params.items()}
    return TrialRecord(number, State.FINISHED, named, 0, value=value, seconds=float(10 - number))


def test_the_curve_of_labels_has_a_table_and_a_plot(sweep: Sweep) -> None:
    points = [LabelsPoint(rows, Estimate(0.8, 0.75, 0.85, (0.8,)), None, None) for rows in (100, 200)]
    curve = LabelsCurve(tuple(points), 3, False, 0, None, "With it, 100 are enough for that.")
    section = labels_section(replace(sweep, outcome=replace(sweep.outcome, labels_curve=curve)))
    assert section.texts[0].endswith(curve.sentence)
    assert section.tables[0].columns == ("rows", "with the source")
    assert section.figures[0].plot["data"][0]["x"] == [100, 200]


def test_what_the_cache_saved_is_counted_from_the_trials_that_trained_the_source(sweep: Sweep) -> None:
    times = [
        {"source.train": {"seconds": 50.0}, "source.evaluate": {"seconds": 10.0}},
        {"target.train": {"seconds": 1.0}},
    ]
    trials = [replace(trial(number, 0.9), times=of) for number, of in enumerate([*times, times[1]])]
    texts = time_section(replace(sweep, outcome=replace(sweep.outcome, trials=tuple(trials)))).texts
    assert any("2 of 3 trials with a source took its trained weights from the cache." in text for text in texts)
    assert any("Training it took 1 min 0 s on average, so the cache saved about 2 min 0 s." in text for text in texts)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1), st.sampled_from(Direction))
def test_a_trial_is_on_the_front_if_and_only_if_no_other_is_as_cheap_and_better(
    points: list[tuple[int, int]], direction: Direction
) -> None:
    trials = [(float(cost), trial(number, float(value))) for number, (cost, value) in enumerate(points)]
    front = pareto_front(trials, direction)
    best = {(cost, direction.cost(record.value or 0.0)) for cost, record in trials}
    wanted = {p for p in best if not any(o != p and o[0] <= p[0] and o[1] <= p[1] for o in best)}
    assert [(cost, direction.cost(record.value or 0.0)) for cost, record in front] == sorted(wanted)


ANSWERS = RowAnswers(
    "test",
    ("<b>ham", "spam"),
    (
        RowAnswer(0, "<b>ham", "<b>ham", 0.1, 0.9, 0.9, text="fine"),
        RowAnswer(1, "spam", "<b>ham", 3.0, 0.95, 0.05, is_suspect=True, text="worst <i>text</i>"),
        RowAnswer(2, "<b>ham", "spam", 0.9, 0.6, 0.4, text="second"),
    ),
)


def test_the_worst_rows_come_first_and_doubtful_labels_have_a_section(sweep: Sweep) -> None:
    section, labels = errors_section(sweep.outcome, ANSWERS), label_errors_section(ANSWERS)
    assert section.texts == ["The winner is wrong in 2 of the 3 rows of the test split."]
    assert [row[:4] for row in section.tables[-1].rows] == [
        ("2", "worst <i>text</i>", "spam", "<b>ham"),
        ("3", "second", "<b>ham", "spam"),
    ]
    assert [row[0] for row in labels.tables[0].rows] == ["2"]
    (matrix,) = section.figures
    assert matrix.table is not None
    assert matrix.table.rows == (("<b>ham", "1", "1"), ("spam", "1", "0"))
    assert matrix.plot["data"][0]["x"] == ["&lt;b&gt;ham", "spam"]  # Plotly would read the tag


def test_numbers_have_residuals_and_no_classes(sweep: Sweep) -> None:
    rows = tuple(RowAnswer(row, float(row), row + 0.5, 0.5, text=f"row {row}") for row in range(3))
    section = errors_section(replace(sweep.outcome, test=None), RowAnswers("test", (), rows))
    assert [figure.title for figure in section.figures] == ["Residuals"]
    assert "The mean error is 0.5." in section.figures[0].description
    assert section.tables[0].columns == ("row", "text", "label", "winner", "error")
    assert label_errors_section(RowAnswers("test", (), rows)).is_empty


def test_kept_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "answers.parquet"
    assert RowAnswers.load(file) is None
    ANSWERS.save(file)
    assert RowAnswers.load(file) == ANSWERS
    file.write_bytes(b"PAR1 no table")
    assert RowAnswers.load(file) is None
