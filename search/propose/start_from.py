"""What an older sweep has learnt, for the sampler of a new one: its trials where the two spaces agree."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.errors import PlanError
from search.plan.changes import Difference, describe_difference, flatten, load_older_facts
from search.plan.data_use import DataUse, from_stored
from search.plan.plan import Plan
from search.propose.sampler_study import StoredTrial, best_and_latest, build_trial, trial_to_json
from search.storage.sqlite_lock import check_unlocked
from search.storage.store_uri import sqlite_uri
from search.storage.sweep_folder import SweepFolder
from spaces import Point
from trainable.errors import ConfigError
from trainable.settings.config import build_config
from trainable.settings.values import Nested, Params

MOST = 1000
"""Trials that are taken over at most."""
_LISTED = 8  # differences that the note names


class EarlierTrials(TypedDict):
    """What a sweep's sampler knew beforehand, as the study notes it."""

    note: str
    """A sentence on where it is from."""
    trials: list[StoredTrial]


def load_earlier_trials(plan: Plan, storage: Path, data: Iterable[DataUse]) -> EarlierTrials:
    """Trials of the sweep that `sweep.start_from` names, for the sampler alone, and a note of where they are from.

    A trial agrees if its settings are a point of this sweep's space, and if what only the older sweep searched has
    the value that is fixed here. What is fixed in both may differ: the note says so.

    Args:
        plan: the new sweep.
        storage: the folder of both.
        data: which data the new sweep uses.

    Raises:
        PlanError: if there is no such sweep, if it searched for another metric, or if no trial agrees.
    """
    facts, name = load_older_facts(plan, storage), str(plan.settings.start_from)
    ended = _ended(SweepFolder(storage, name))
    differing: dict[str, Difference] = {}
    agreeing = [trial for old in ended if (trial := _agreeing(plan, facts["trial"], old, differing))]
    if not agreeing:
        what = f"none of the {len(ended)} trials that ended in {name} is a point of this space with what is fixed here"
        raise PlanError([f"sweep.start_from: {what}; leave it out, or widen the space"])
    trials = best_and_latest(agreeing, plan.settings.direction, MOST)
    note = f"the sampler knew {len(trials)} of the {len(ended)} trials that ended in {name} before the first one here"
    sentences = [
        *(describe_difference(*item) for item in differing.items()),
        *_other_data(from_stored(facts["data"]), data),
    ]
    if sentences:
        more = [f"and {len(sentences) - _LISTED} more"] if len(sentences) > _LISTED else []
        note += f", where other things were fixed: {'; '.join(sentences[:_LISTED] + more)}"
    return {"note": note, "trials": [trial_to_json(trial) for trial in trials]}


def _ended(folder: SweepFolder) -> list[FrozenTrial]:
    """The older search's trials that ended with a value, in their order."""
    if not folder.study.is_file():
        return []
    check_unlocked(folder.study)
    study = optuna.load_study(study_name=folder.name, storage=sqlite_uri(folder.study))
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [trial for trial in trials if trial.user_attrs.get("role", "search") == "search" and trial.value is not None]


def _agreeing(plan: Plan, base: Nested, old: FrozenTrial, differing: dict[str, Difference]) -> FrozenTrial | None:
    """An older trial as one of this space; None if it is none. What is fixed otherwise is added to `differing`."""
    try:
        settings = build_config({**base, "metric": plan.settings.metric}, old.params).to_flat()
        settings = {**settings, **old.params}
        point = _point(plan, settings)
        there, here = dict(flatten(settings)), dict(flatten({**build_config(plan.base, point).to_flat(), **point}))
    except ConfigError:  # settings that no trial could have today
        return None
    fixed = [name for name in {**there, **here} if name not in plan.space.names]
    others = {name: (there.get(name, ...), here.get(name, ...)) for name in fixed if there.get(name) != here.get(name)}
    if plan.space.check(point) or any(name in old.params for name in others):
        return None
    differing |= {name: pair for name, pair in others.items() if name not in differing}
    return build_trial(plan.space, point, old.state, old.value, old.intermediate_values)


def _point(plan: Plan, settings: Params) -> Point:
    """The names of this sweep's space that count, with the values that all settings of a trial give them."""
    given = {name: settings[name] for name in plan.space.names if name in settings}
    return {name: given[name] for name in plan.space.active(given) if name in given}


def _other_data(there: Iterable[DataUse], here: Iterable[DataUse]) -> list[str]:
    """Data sets of the same name that are not the same: no fingerprint of the one is among those of the other."""
    first, second = _by_name(there), _by_name(here)
    return [f"the {name}'s data" for name in sorted(first.keys() & second.keys()) if not first[name] & second[name]]


def _by_name(data: Iterable[DataUse]) -> dict[str, set[str]]:
    prints: dict[str, set[str]] = {}
    for use in data:
        prints.setdefault(f"{use.stage} {use.name}", set()).add(use.fingerprint)
    return prints
