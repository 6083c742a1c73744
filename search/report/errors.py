"""Where the winner is wrong: by class, row by row, and rows whose label is probably wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

import plotly.graph_objects as go

from search.record.records import Outcome
from search.record.row_answers import RowAnswer, RowAnswers
from search.report.parts import Figure, Section, Table, as_figure
from search.wording import format_number
from trainable.data.message_text import plural, quoted_if_unclear

_MOST_ROWS = 25
_MOST_CLASSES = 30
"""Classes of a confusion matrix that one can still read."""


def errors_section(outcome: Outcome, answers: RowAnswers | None) -> Section:
    """Return where the winner is wrong: scores by class, confusions or residuals, and its worst rows."""
    title = "Where the winner is wrong"
    tables = [*_by_class(outcome)]
    if answers is None:
        return Section(title, tables=tables)
    wrong, split = answers.wrong, f"{answers.split} split"
    if answers.are_numbers:
        texts = [f"The {plural(len(answers.rows), 'row')} of the {split}, the largest errors first."]
        return Section(title, texts, [*tables, _worst(wrong, answers)], [_residuals(answers)])
    texts = [f"The winner is wrong in {len(wrong)} of the {plural(len(answers.rows), 'row')} of the {split}."]
    figures = [_matrix(answers)] if 1 < len(answers.classes) <= _MOST_CLASSES else []
    tables += [*_confusions(wrong, answers), *([_worst(wrong, answers)] if wrong else [])]
    return Section(title, texts, tables, figures)


def label_errors_section(answers: RowAnswers | None) -> Section:
    """Return the rows whose label is probably wrong, the most doubtful first."""
    suspects = [row for row in answers.rows if row.is_suspect] if answers else []
    if not suspects or answers is None:
        return Section("Labels to check")
    suspects.sort(key=lambda row: row.true_confidence or 0.0)
    texts = [
        f"In {plural(len(suspects), 'row')} of the {answers.split} split the winner is confident of another class than "
        "the label: the class has at least the probability that it has on average in rows with that label (confident "
        "learning, Northcutt et al. 2021). Either the label or the model is wrong; a person has to look."
    ]
    columns = ("row", "text", "label", "winner", "probability of the label")
    rows = tuple(
        (str(row.row + 1), row.text or "", _shown(row.true), _shown(row.predicted), format_number(row.true_confidence))
        for row in suspects[:_MOST_ROWS]
    )
    return Section("Labels to check", texts, [Table("Rows whose label may be wrong", columns, rows)])


def _by_class(outcome: Outcome) -> Iterator[Table]:
    if outcome.test and outcome.test.per_class:
        rows = tuple(
            (quoted_if_unclear(each.label), *map(format_number, (each.precision, each.recall, each.f1)), str(each.rows))
            for each in outcome.test.per_class
        )
        yield Table("Scores by class on the test split", ("class", "precision", "recall", "f1", "rows"), rows)


def _matrix(answers: RowAnswers) -> Figure:
    counts = Counter((row.true, row.predicted) for row in answers.rows)
    table = [[counts[true, predicted] for predicted in answers.classes] for true in answers.classes]
    names = [escape(_shown(name)) for name in answers.classes]  # Plotly reads tags in texts
    scale = [[0, "#dcecf7"], [1, "#0072b2"]]
    cells = {"text": table, "texttemplate": "%{text}"}
    plot = go.Figure(go.Heatmap(z=table, x=names, y=names, colorscale=scale, showscale=False, **cells))
    plot.update_xaxes(title_text="predicted", type="category")
    plot.update_yaxes(title_text="label", type="category", autorange="reversed")
    shown = tuple(map(_shown, answers.classes))
    rows = tuple((name, *map(str, of)) for name, of in zip(shown, table, strict=True))
    right = sum(table[place][place] for place in range(len(table)))
    text = f"Rows by their label and by what the winner says; the {right} on the diagonal are right."
    return as_figure(plot, "Confusion matrix", text, Table("Rows by label and answer", ("label", *shown), rows))


def _confusions(wrong: Sequence[RowAnswer], answers: RowAnswers) -> Iterator[Table]:
    if len(answers.classes) > 2 and wrong:
        pairs = Counter((_shown(row.true), _shown(row.predicted)) for row in wrong).most_common(10)
        rows = tuple((true, predicted, str(count)) for (true, predicted), count in pairs)
        yield Table("Most frequent confusions", ("label", "winner", "rows"), rows)


def _residuals(answers: RowAnswers) -> Figure:
    true = [float(row.true) for row in answers.rows]
    errors = [float(row.predicted or 0.0) - float(row.true) for row in answers.rows]
    plot = go.Figure(go.Scatter(x=true, y=errors, mode="markers"))
    plot.update_xaxes(title_text="true number")
    plot.update_yaxes(title_text="predicted minus true", zeroline=True)
    mean = sum(errors) / len(errors)
    text = f"The error of each row by its true number. The mean error is {format_number(mean)}."
    return as_figure(plot, "Residuals", text)


def _worst(wrong: Sequence[RowAnswer], answers: RowAnswers) -> Table:
    """Return a table of the worst rows, with the columns that the task fills."""
    has_chances, has_answers = bool(answers.classes), wrong[0].predicted is not None
    columns = ["row", "text", "label", *(["winner"] if has_answers else [])]
    columns += ["probability of the answer"] if has_chances else ["error"]
    rows = []
    for row in wrong[:_MOST_ROWS]:
        said = [_shown(row.predicted)] if has_answers else []
        how_wrong = format_number(row.confidence or row.loss)
        rows.append((str(row.row + 1), row.text or "", _shown(row.true), *said, how_wrong))
    return Table(f"The worst rows of the {answers.split} split", tuple(columns), tuple(rows))


def _shown(answer: str | float | None) -> str:
    return quoted_if_unclear(answer) if isinstance(answer, str) else format_number(answer)
