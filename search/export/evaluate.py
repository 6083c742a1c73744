"""Scores an exported model of any format on a labelled file: `transfersweep evaluate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from search.export.evaluation import Confusion, Evaluation, Mistake
from search.export.facts import FolderFacts, read_facts
from search.record.row_answers import RowAnswers
from search.show.data_settings import READING, check_names, dataset_of
from trainable.data.message_text import first_few
from trainable.data.read_splits import read_labelled
from trainable.data.reading.read_tables import KINDS
from trainable.errors import ConfigError
from trainable.metrics.metric import GENERATES, ONE_CLASS_A_ROW, TASK_METRICS
from trainable.settings.dataset import Dataset

if TYPE_CHECKING:
    from trainable.data.examples import LocatedExamples

MOST_MISTAKES = 10
_OF_THE_MODEL = {"text", "text_b", "choices", "image", "label", "target_column", "label_separator", "label_columns"}
_OF_THE_MODEL |= {"positive"}
"""Settings that the file shares with the data that the model was trained on: columns and labels."""


def evaluate_file(
    model: Path, file: Path, settings: Mapping[str, str] | None = None, metric: str | None = None
) -> Evaluation:
    """Score an exported model on the labelled rows of a file, with the definitions of the sweep's scores.

    Args:
        model: a folder that `export_trial` wrote.
        file: CSV, TSV, JSON or Parquet with the columns of texts and labels that the model was trained on.
        settings: how the file is read, as YAML text: `separator`, `quoting`, `encoding`, `empty`, and `label`, another
            column with the labels.
        metric: the metric that gets a 95 % bootstrap interval over rows; None: the first one of the task.

    Raises:
        ConfigError: if the folder is not an export, the file cannot be used, it has labels that the model does not
            know, or the task does not have the metric.
    """
    facts = read_facts(model)
    task_name = facts.settings.dataset.task
    metrics = TASK_METRICS[task_name]
    if metric is not None and metric not in metrics:
        raise ConfigError(f"--metric {metric}: is no metric of {task_name}; take one of {', '.join(metrics)}")
    metric = metric or next(iter(metrics))
    dataset = _dataset(model, file, facts, settings or {})
    from trainable.tasks.registry import TASKS  # imports torch: only for a file and settings that exist

    task = TASKS[task_name]
    rows, names, results = read_labelled(dataset, task.reader)
    problems = [*results.problems, *_label_problems(file, names, facts.label_names)]
    if not len(rows.examples):
        problems = problems or [f"{file}: has no row"]
    if problems:
        raise ConfigError(problems)
    from search.engine.answers import answers_to_rows
    from search.engine.scoring import Predictions, scores_of
    from search.export.classifier import Classifier

    examples = rows.examples
    outputs = Classifier.load(model, facts).outputs(examples)
    predictions = Predictions("test", task, outputs, examples.labels, tuple(names))
    scores = scores_of(predictions, metric)
    if task_name in GENERATES:  # the loss needs the model's probabilities of the correct texts, not its answers
        scores = replace(scores, metrics={name: value for name, value in scores.metrics.items() if name != "loss"})
    evaluation = Evaluation(str(model), str(file), metric, scores, notes=tuple(results.notes))
    if task_name not in ONE_CLASS_A_ROW:
        return evaluation
    answers = answers_to_rows(predictions, facts.answers(), lambda: examples)
    assert answers is not None  # these tasks have a loss of each row
    return replace(evaluation, confusions=_confusions(answers), mistakes=_mistakes(answers, rows))


def _dataset(model: Path, file: Path, facts: FolderFacts, settings: Mapping[str, str]) -> Dataset:
    """Return the settings of the model's data set with the file in the place of its own."""
    check_names(settings, (*READING, "label"), "evaluate")
    kind = KINDS.get(file.suffix.lower())
    if kind is None or not file.is_file():
        known = ", ".join(KINDS)
        raise ConfigError(f"{file}: must be a file with labels, of one of the suffixes {known}")
    given = dataset_of({"train": str(file)}, settings).model_dump(exclude_unset=True, by_alias=True)
    own = facts.settings.dataset.model_dump()
    kept = {name: value for name, value in own.items() if name in _OF_THE_MODEL and value is not None}
    labels = own.get("labels") or {name: name for name in facts.label_names}
    if facts.settings.dataset.task in ONE_CLASS_A_ROW:
        kept |= {"labels": labels}
    try:
        return Dataset.model_validate(
            {"task": facts.settings.dataset.task, "empty": facts.settings.dataset.empty, **kept, **given}
        )
    except ValidationError as error:
        raise ConfigError(f"{model / 'trial.json'}: is damaged: {error!s:.300}; export the model again") from None


def _label_problems(file: Path, found: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return why labels of a file are not those of the model; none for labels without names."""
    if list(found) == list(known) or not found:
        return []
    return [
        f"{file}: its labels are not those of the model: {first_few(dict.fromkeys(found))} in the file, "
        f"{first_few(dict.fromkeys(known))} in the model; all labels of the model must occur"
    ]


def _confusions(answers: RowAnswers) -> tuple[Confusion, ...]:
    counts = Counter((str(row.true), str(row.predicted)) for row in answers.wrong)
    return tuple(Confusion(*labels, count) for labels, count in counts.most_common(MOST_MISTAKES))


def _mistakes(answers: RowAnswers, rows: LocatedExamples) -> tuple[Mistake, ...]:
    worst = sorted(answers.wrong, key=lambda row: -(row.confidence or 0.0))[:MOST_MISTAKES]
    return tuple(
        Mistake(
            position=rows.position(each.row),
            text=rows.examples.shown(each.row),
            label=str(each.true),
            predicted=str(each.predicted),
            probability=each.confidence or 0.0,
        )
        for each in worst
    )
