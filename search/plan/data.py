"""Checks and tokenises every data set that the trials of a plan may use, before anything starts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

from search.check import Check
from search.errors import PlanError
from search.plan.data_use import DataUse
from search.plan.plan import Plan, encoder_problems
from spaces import SpaceError
from trainable.data.subset import subset_notes
from trainable.errors import ConfigError
from trainable.inputs.folds import has_folds
from trainable.inputs.prepare import TokenizedDataset, tokenized_dataset_of
from trainable.inputs.words import words_cut
from trainable.metrics.metric import ONE_CLASS_A_ROW
from trainable.model.limits import resolve_encoder
from trainable.model.pooling import BI_ENCODER, auto_pooling
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage
from trainable.tasks.registry import TASKS, read_splits

StageUse = tuple[str, Stage, TrialConfig]
"""A stage of a possible trial: its name, its settings, and those of the trial."""
T = TypeVar("T")


def check_data(plan: Plan, storage: Path) -> dict[DataUse, TokenizedDataset]:
    """Read, check and tokenise every data set that a trial may use, so that no trial needs to do it.

    Nothing is written, not even to the cache, before all data sets have been read and checked.

    Returns:
        The prepared data of each use; the same data appear once for each tokenizer.

    Raises:
        PlanError: naming every mistake in the data.
    """
    workspace = plan.workspace(storage)
    uses = list(stage_uses(plan))
    problems = [*encoder_problems(plan), *_data_problems(plan, uses, workspace.roots)]
    prepared: dict[DataUse, TokenizedDataset] = {}
    for name, stage, config in uses if not problems else ():
        made = _collect_problems(problems, partial(tokenized_dataset_of, config, stage, workspace))
        if made is not None:
            use = DataUse(name, made.name, made.fingerprint)
            prepared[use] = _with_notes(prepared.get(use, made), _subset_notes(made, name, stage, config))
    if problems:
        raise PlanError(problems)
    return prepared


def _may_encode_apart(plan: Plan) -> bool:
    values = [value for name, value in plan.space.corners() if name == "pooling"] or [plan.base.get("pooling")]
    return BI_ENCODER in values


def _data_problems(plan: Plan, uses: list[StageUse], roots: tuple[Path, ...]) -> list[str]:
    problems: list[str] = []
    # The number of training rows of each data set, and its labels; the rows themselves are not kept.
    rows, labels = dict[str, int](), dict[str, tuple[str, ...]]()
    for name, stage, config in uses:
        dataset = config.dataset_of(stage)
        key = dataset.model_dump_json()
        if key not in rows:
            splits = _collect_problems(problems, partial(read_splits, dataset, roots))
            rows[key], labels[key] = (len(splits.train), splits.label_names) if splits else (0, ())
            single = splits is not None and len(splits.text_columns) == 1
            if splits and name == "target" and (single or dataset.choice_columns) and _may_encode_apart(plan):
                has = "choices" if dataset.choice_columns else "single texts"
                problems.append(f"pooling: bi_encoder needs pairs of texts, and the target has {has}; try mean")
        if rows[key] and isinstance(stage.train_rows, int) and stage.train_rows > rows[key]:
            problems.append(
                f"{name}.train_rows: {stage.train_rows} is more than the {rows[key]} training rows; lower it"
            )
        most = max((n for n in plan.settings.labels_rows if isinstance(n, int)), default=0)
        if name == "target" and rows[key] and most > rows[key]:
            problems.append(f"sweep.labels_curve: {most} is more than the {rows[key]} training rows; lower it")
        task, metric = TASKS[dataset.task], config.metric_of(stage)
        if rows[key] and (problem := task.threshold_problem(stage.decides_at, metric, labels[key])):
            problems.append(f"{name}.threshold: {problem}")
    return list(dict.fromkeys(problems))


def _subset_notes(made: TokenizedDataset, name: str, stage: Stage, config: TrialConfig) -> list[str]:
    """Return what a person should know of the rows that `train_rows` takes of each class, and of words cut off."""
    if stage.long_texts == "cut" and (cut := words_cut(made.splits["validation"].tokens, stage.padding_length)):
        length = f"padding_length {stage.padding_length} cuts {cut:.1%} of the validation words off"
        counted = f"they count as wrong unless their tag is {made.label_names[0]}; `long_texts: windows` reads them"
        return [f"{name}: {length}; {counted}"]
    if made.task not in ONE_CLASS_A_ROW:
        return []
    labels, seed = made.splits["train"].strata, config.dataset_of(stage).split_seed
    return [f"{name}: {note}" for note in subset_notes(labels, made.label_names, stage.train_rows, seed)]


def _with_notes(made: TokenizedDataset, notes: list[str]) -> TokenizedDataset:
    """Add notes to a data set, each once."""
    return replace(made, notes=tuple(dict.fromkeys([*made.notes, *notes])))


def stage_uses(plan: Plan) -> Iterator[StageUse]:
    """Yield stages that together use every encoder, data set and number of rows that the plan allows."""
    extremes = [{name: value} for name, value in plan.space.corners()]
    data = [c for c in extremes for name in c if name == "encoder" or name.endswith((".enabled", ".dataset"))]
    rows = [c for c in extremes for name in c if name.endswith((".train_rows", ".threshold", ".image_size"))]
    for data_choice, rows_choice in product([*data, {}], [*rows, {}]):
        try:
            config = plan.config(plan.space.complete(data_choice | rows_choice))
        except SpaceError:  # no trial has both values
            continue
        for name, stage in config.stages().items():
            yield name, stage, config


def held_out_rows(plan: Plan, prepared: Mapping[DataUse, TokenizedDataset]) -> int:
    """Return the smallest number of validation rows of a target, if they are taken from few training rows, else 0."""
    targets = [made for use, made in prepared.items() if use.stage == "target"]
    stages = [config.target for name, _, config in stage_uses(plan) if name == "target"]
    if not all(has_folds(made, stage) for made in targets for stage in stages):
        return 0
    return min((len(made.splits["validation"].labels) for made in targets), default=0)


def summarise_data(prepared: Mapping[DataUse, TokenizedDataset]) -> Check:
    """Return the line of the checklist about the prepared data; notes and warnings name their data set."""
    rows = [f"{use.stage} {use.name} ({len(made.splits['train'].labels)})" for use, made in prepared.items()]
    notes = [f"{made.name}: {note}" for made in prepared.values() for note in (*made.warnings, *made.notes)]
    warned = any(made.warnings for made in prepared.values())
    # Several stages or encoders may share a data set, and its notes should appear once.
    sentences = (f"training rows: {', '.join(rows)}", *dict.fromkeys(notes))
    return Check("data", "warning" if warned else "ok", sentences)


def summarise_encoders(plan: Plan) -> Check:
    """Return the line of the checklist about the encoders: how each is read; notes follow."""
    encoders = [value for name, value in plan.space.corners() if name == "encoder"] or [plan.base["encoder"]]
    settings = [value for name, value in plan.space.corners() if name == "pooling"]
    lines, notes = [], []
    for encoder in dict.fromkeys(map(str, encoders)):
        names = []
        for setting in dict.fromkeys(map(str, settings or [plan.base.get("pooling", "auto")])):
            auto = auto_pooling(resolve_encoder(encoder, plan.roots)) if setting == "auto" else None
            names.append(f"auto ({auto.mode})" if auto else setting)
            notes += [auto.note] if auto and auto.note else []
        lines.append(f"{encoder}, pooling {' or '.join(names)}")
    return Check("encoder", "warning" if notes else "ok", ("; ".join(lines), *notes))


def _collect_problems(problems: list[str], make: Callable[[], T]) -> T | None:
    """Return the result of `make`; if it raises, add its mistakes to the list and return None."""
    try:
        return make()
    except (ConfigError, SpaceError) as error:
        problems += error.problems
        return None
