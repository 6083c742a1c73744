"""Chooses the trial to export and checks that it can be exported, from the sweep's files and without torch."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.export.formats.about import FORMATS, Format, FormatChoice, check_installed
from search.export.smaller.options import Smaller
from search.plan.plan import Plan, load_sweep
from search.plan.target_task import target_tasks
from search.record.records import Outcome, State, TrialRecord, ranked
from search.record.scores import Baseline
from search.record.trial_names import ONLY_MEASURED, Key
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder
from trainable.answers.answer import Answers
from trainable.answers.registry import ANSWERS
from trainable.baselines.results import TEXT_MODEL_FILE, WEIGHTS_FILE, config_of
from trainable.errors import ConfigError


@dataclass(frozen=True)
class Chosen:
    """A trial with a model."""

    plan: Plan
    storage: Path
    outcome: Outcome
    record: TrialRecord
    checkpoint: Path
    to: Path
    """The folder for the model; it does not exist yet, or is empty."""
    format: Format
    """The format of that folder."""
    baseline: Baseline | None = None
    """The baseline whose model it is; `record` then describes its run."""
    smaller: Smaller = Smaller()
    """How the model is made smaller, if at all."""


def choose(
    name: str,
    storage: Path,
    to: Path,
    trial: int | None = None,
    overrides: Mapping[str, str] | None = None,
    seed: int | None = None,
    format: FormatChoice = "auto",
) -> Chosen:
    """Find a sweep's trial with its model, and check that it can be exported to that folder.

    Args:
        name: the sweep.
        storage: the folder of all sweeps.
        to: a folder that does not exist yet, or is empty.
        trial: the trial's number; none means the winner.
        overrides: settings of the sweep to be used for the choice, as `current_outcome` takes them.
        seed: of the run to export, if a finalist ran on several; none means the best on validation.
        format: of the folder.

    Raises:
        PlanError: if there is no such sweep.
        ConfigError: if the trial has no model, `to` is taken, the format cannot hold the model, or packages that it
            needs are not installed.
    """
    _check_target(to)
    if format != "auto":
        check_installed(FORMATS[format], FORMATS[format].to_write, f"--format {format}")
    folder = SweepFolder(storage, name)
    plan, outcome = load_sweep(folder), current_outcome(name, storage, overrides)
    task = target_tasks(plan.base, plan.space)[0]
    if task not in ANSWERS:
        raise ConfigError(f"{name}: no format of an export can hold a model of the task {task} yet")
    offered = [record for record in outcome.trials if record.role not in ONLY_MEASURED]
    models = {record.key: model for record in offered if (model := _model(record, folder.path))}
    with_model = ranked([record for record in offered if record.key in models], outcome.direction)
    if (baseline := outcome.winner_as_baseline) and trial is None:
        checkpoint = folder.path / str(baseline.checkpoint)
        resolved = _baseline_format(format, plan, baseline, checkpoint, with_model, ANSWERS[task])
        record = _as_record(baseline, config_of(checkpoint).seed)
        return Chosen(plan, storage, outcome, record, checkpoint, to, resolved, baseline)
    record = _choose(outcome, offered, models, trial, seed, folder.path)
    reads = ANSWERS[task].head or plan.config(record.params).pooling
    resolved = resolve_format(format, plan, record.title, reads, with_model)
    return Chosen(plan, storage, outcome, record, models[record.key], to, resolved)


def _baseline_format(
    asked: FormatChoice,
    plan: Plan,
    baseline: Baseline,
    checkpoint: Path,
    with_model: Sequence[TrialRecord],
    answers: type[Answers],
) -> Format:
    """Return the format to write for a baseline's model.

    Raises:
        ConfigError: if the format cannot hold it, or its files are gone.
    """
    if (checkpoint / WEIGHTS_FILE).is_file():
        reads = answers.head or config_of(checkpoint).pooling
        return resolve_format(asked, plan, baseline.title, reads, with_model)
    there = f"trials that can be exported: {_listed(with_model)}"
    if not (checkpoint / TEXT_MODEL_FILE).is_file():
        raise ConfigError(f"the baseline {baseline.title}: its model {checkpoint} is gone; {there}")
    if answers.content != "text":
        reason = f"it gives every {answers.content} the same answer, so there is nothing to export"
        raise ConfigError(f"the baseline {baseline.title} won: {reason}; name a trial; {there}")
    if asked != "auto":
        reason = f"the baseline {baseline.title} won, which has no encoder; leave --format out"
        raise ConfigError(f"--format {asked}: {reason}, or name a trial; {there}")
    return "skops"


def _as_record(baseline: Baseline, seed: int) -> TrialRecord:
    """Return a baseline as a finished run, which is what an export describes; no trial has its number."""
    metrics = {f"target.validation.{name}": value for name, value in baseline.metrics.items()}
    return TrialRecord(-1, State.FINISHED, {}, seed, value=baseline.value, metrics=metrics, seconds=baseline.seconds)


def _check_target(to: Path) -> None:
    try:
        there = list(to.iterdir())
    except FileNotFoundError:
        there = []
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot become a folder ({error.strerror}); name a new one") from None
    if there:
        raise ConfigError(f"--to {to}: the folder is not empty; name a new one, or remove it")
    if to.is_symlink() and not to.exists():
        raise ConfigError(f"--to {to}: is a link to nothing; name a new folder")
    parent = next(folder for folder in to.resolve().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ConfigError(f"--to {to}: no folder can be made in {parent}; name another place")


def resolve_format(
    asked: FormatChoice, plan: Plan, title: str, pooling: str, with_model: Sequence[TrialRecord]
) -> Format:
    """Return the format to write.

    Args:
        asked: what the user asks for.
        plan: of the sweep.
        title: the name of the run to export.
        pooling: what the head of its model reads: its `pooling`, or what the task decides.
        with_model: all runs that can be exported, the best first.

    Raises:
        ConfigError: if the format cannot hold the run's model; the message names the best trial that it can hold.
    """
    holding = [name for name, about in FORMATS.items() if pooling in about.poolings]
    if asked == "auto":
        return holding[0]
    if asked in holding:
        return asked
    about, can = FORMATS[asked], f"Formats that can hold this trial: {', '.join(holding)}"
    if pooling in {kind.head for kind in ANSWERS.values()}:  # the task decides, so all trials are alike
        raise ConfigError(f"--format {asked}: cannot hold models of this task. {can}")
    others = (run for run in with_model if plan.config(run.params).pooling in about.poolings)
    best = next(others, None)
    way = f"no trial with a model is without this obstacle; a new sweep with `pooling: {about.poolings[0]}` gives one"
    if best:
        way = f"the best trial without this obstacle is {best.number}: --trial {best.number}"
    raise ConfigError(f"--format {asked}: {title} has `pooling: {pooling}`, and {about.obstacle}; {way}. {can}")


def _choose(
    outcome: Outcome,
    offered: Sequence[TrialRecord],
    models: Mapping[Key, Path],
    trial: int | None,
    seed: int | None,
    sweep: Path,
) -> TrialRecord:
    """Return the run to export: the requested trial or the winner, with its best seed.

    Raises:
        ConfigError: if it has no model; the message lists the trials that have one.
    """
    there = f"trials that can be exported: {_listed([record for record in offered if record.key in models])}"
    number = outcome.winner if trial is None else trial
    if number is None:
        raise ConfigError(f"{outcome.name}: no trial has finished, so there is no winner to export; {there}")
    # A seed means a run that was scored: the one on all rows was not.
    scored = [record for record in offered if record.role != "refit" or seed is None]
    runs = [record for record in scored if record.number == number and seed in (None, record.seed)]
    if not runs:
        asked = f"--trial {number}" + ("" if seed is None else f" --seed {seed}")
        raise ConfigError(f"{asked}: {outcome.name} has no such trial; {there}")
    if outcome.exported is not None and (trial, seed) == (None, None):
        best = outcome.record(outcome.exported)  # or none at all: only this run has a test score
    else:
        best = ranked([run for run in runs if run.key in models] or runs, outcome.direction)[0]
    if best.key in models:
        return best
    if not best.has_model:
        raise ConfigError(f"{best.title}: it is {best.state}, and its model was not saved; {there}")
    raise ConfigError(
        f"{best.title}: its model {best.checkpoint_in(sweep)} is gone; a sweep keeps the models of its finalists "
        f"and of the best sweep.keep_best trials (--set sweep.keep_best=...), and deletes the others; {there}"
    )


def _model(record: TrialRecord, sweep: Path) -> Path | None:
    """Return the checkpoint of a trial that ended with a model, if that is still there."""
    folder = record.checkpoint_in(sweep)
    if not record.has_model or folder is None:
        return None
    return folder if all((folder / name).is_file() for name in ("trial.json", "model.safetensors")) else None


def _listed(records: Sequence[TrialRecord]) -> str:
    """Return the numbers of trials, with their seeds if there are several."""
    seeds: dict[int, list[int]] = defaultdict(list)
    for record in records:
        if record.seed not in seeds[record.number]:  # the run on all rows has the seed of the search trial
            seeds[record.number].append(record.seed)
    shown = (f"{n}" + (f" (seeds {', '.join(map(str, of))})" if len(of) > 1 else "") for n, of in seeds.items())
    return ", ".join(shown) or "none"
