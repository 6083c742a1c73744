"""Which trial is to be exported, and whether that can be: from the sweep's files, without torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search.place import Place
from search.plan import Plan, load_sweep
from search.records import Outcome, State, TrialRecord
from search.show import current_outcome
from trainable.errors import ConfigError


@dataclass(frozen=True)
class Chosen:
    """A trial with a model."""

    plan: Plan
    storage: Path
    outcome: Outcome
    record: TrialRecord
    checkpoint: Path


def choose(
    name: str, storage: Path, to: Path, trial: int | None = None, overrides: Mapping[str, str] | None = None
) -> Chosen:
    """Find a sweep's trial with its model, and see that it can be exported to that folder.

    Args:
        name: the sweep.
        storage: the folder of all sweeps.
        to: a folder that does not exist yet, or is empty.
        trial: the trial's number; none means the winner, by the best of its seeds on validation.
        overrides: settings of the sweep that are to hold for the choice, as `current_outcome` takes them.

    Raises:
        PlanError: if there is no such sweep.
        ConfigError: if the trial has no model, or `to` is taken.
    """
    _check_target(to)
    place = Place(storage, name)
    plan, outcome = load_sweep(place), current_outcome(name, storage, overrides)
    return Chosen(plan, storage, outcome, *_choose(outcome, trial, place.folder))


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


def _choose(outcome: Outcome, trial: int | None, sweep: Path) -> tuple[TrialRecord, Path]:
    """The winner's run, or the trial asked for, if it has a model, and the checkpoint with that.

    Raises:
        ConfigError: if it has none, naming the trials that have.
    """
    models = {record.number: model for record in outcome.trials if (model := _model(record, sweep))}
    there = f"trials that can be exported: {', '.join(map(str, models)) or 'none'}"
    number = outcome.exported if trial is None else trial
    if number is None:
        raise ConfigError(f"{outcome.name}: no trial has finished, so there is no winner to export; {there}")
    record = next((record for record in outcome.trials if record.number == number), None)
    if record is None:
        raise ConfigError(f"--trial {number}: {outcome.name} has no such trial; {there}")
    if number in models:
        return record, models[number]
    if record.state is not State.FINISHED:
        raise ConfigError(f"--trial {number}: it is {record.state}, and only a finished trial has a model; {there}")
    raise ConfigError(
        f"trial {number}: its model {record.checkpoint_in(sweep)} is gone; a sweep keeps the models of its finalists "
        f"and of the best sweep.keep_best trials (--set sweep.keep_best=...), and deletes the others; {there}"
    )


def _model(record: TrialRecord, sweep: Path) -> Path | None:
    """The checkpoint of a finished trial, where its model lies there still."""
    folder = record.checkpoint_in(sweep)
    if record.state is not State.FINISHED or folder is None:
        return None
    return folder if all((folder / name).is_file() for name in ("trial.json", "model.safetensors")) else None
