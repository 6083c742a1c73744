"""Loads trials of an older sweep, from which the sampler of a new sweep learns (`sweep.start_from`)."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.errors import PlanError
from search.plan.changes import Difference, describe_difference, flatten, load_older_facts
from search.plan.data_use import DataUse, from_stored
from search.plan.plan import Plan
from search.plan.shares import without_shares
from search.propose.sampler_study import StoredTrial, best_and_latest, build_trial, trial_to_json
from search.storage.sqlite_lock import check_unlocked
from search.storage.store_uri import sqlite_uri
from search.storage.sweep_folder import SavedPlan, SweepFolder
from spaces import Point, parse_space
from trainable.errors import ConfigError
from trainable.settings.config import build_config
from trainable.settings.values import Params

MOST_TRIALS = 1000
"""Largest number of trials that are loaded."""
_MOST_DIFFERENCES = 8  # more are only counted in the note


class EarlierTrials(TypedDict):
    """The trials that a sampler learns from before the first trial of its sweep, as the study stores them."""

    note: str
    """A sentence that says which sweep they are from, and what differs there."""
    trials: list[StoredTrial]


def load_earlier_trials(plan: Plan, storage: Path, data: Iterable[DataUse]) -> EarlierTrials:
    """Return trials of the sweep that `sweep.start_from` names, and a note about them; only the sampler uses them.

    A trial is used if its settings are a point of this sweep's space. A name that only the older sweep searched must
    have the value that is fixed here. Settings that are fixed in both sweeps may differ: the note lists them.

    Args:
        plan: the new sweep.
        storage: the folder of both.
        data: the data that the new sweep uses.

    Raises:
        PlanError: if there is no such sweep, if it optimised another metric, or if no trial can be used.
    """
    facts, name = load_older_facts(plan, storage), str(plan.settings.start_from)
    ended = _ended(SweepFolder(storage, name))
    differing: dict[str, Difference] = {}
    usable = [trial for old in ended if (trial := _as_new_trial(plan, facts, old, differing))]
    if not usable:
        what = f"none of the {len(ended)} ended trials of {name} fits this space and the settings that are fixed here"
        raise PlanError([f"sweep.start_from: {what}; leave it out, or widen the space"])
    trials = best_and_latest(usable, plan.settings.direction, MOST_TRIALS)
    note = f"the sampler learnt from {len(trials)} of the {len(ended)} ended trials of {name} before the first trial"
    sentences = [
        *(describe_difference(*item) for item in differing.items()),
        *_other_data(from_stored(facts["data"]), data),
    ]
    if sentences:
        more = [f"and {len(sentences) - _MOST_DIFFERENCES} more"] if len(sentences) > _MOST_DIFFERENCES else []
        note += f"; that sweep differs: {'; '.join(sentences[:_MOST_DIFFERENCES] + more)}"
    return {"note": note, "trials": [trial_to_json(trial) for trial in trials]}


def _ended(folder: SweepFolder) -> list[FrozenTrial]:
    """Return the search trials of the older sweep that ended with a value, in their order."""
    if not folder.study.is_file():
        return []
    check_unlocked(folder.study)
    study = optuna.load_study(study_name=folder.name, storage=sqlite_uri(folder.study))
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [trial for trial in trials if trial.user_attrs.get("role", "search") == "search" and trial.value is not None]


def _as_new_trial(
    plan: Plan, facts: SavedPlan, old: FrozenTrial, differing: dict[str, Difference]
) -> FrozenTrial | None:
    """Return an older trial as one of this space, None if it does not fit; add fixed differences to `differing`."""
    base, sampled = (
        {**facts["trial"], "metric": plan.settings.metric},
        without_shares(parse_space(facts["space"]), old.params),
    )
    try:
        settings = build_config(base, sampled).to_flat()
        settings = {**settings, **old.params}
        point = _point(plan, settings)
        fixed_here = build_config(plan.base, without_shares(plan.space, point)).to_flat()
        there, here = dict(flatten(settings)), dict(flatten({**fixed_here, **point}))
    except ConfigError:  # this version no longer allows the settings
        return None
    fixed = [name for name in {**there, **here} if name not in plan.space.names]
    others = {name: (there.get(name, ...), here.get(name, ...)) for name in fixed if there.get(name) != here.get(name)}
    if plan.space.check(point) or any(name in old.params for name in others):
        return None
    differing |= {name: pair for name, pair in others.items() if name not in differing}
    return build_trial(plan.space, point, old.state, old.value, old.intermediate_values)


def _point(plan: Plan, settings: Params) -> Point:
    """Return the active names of this sweep's space with their values among all settings of a trial."""
    given = {name: settings[name] for name in plan.space.names if name in settings}
    return {name: given[name] for name in plan.space.active(given) if name in given}


def _other_data(there: Iterable[DataUse], here: Iterable[DataUse]) -> list[str]:
    """Name the data sets that have no fingerprint in common in the two sweeps."""
    first, second = _by_name(there), _by_name(here)
    return [f"the {name}'s data" for name in sorted(first.keys() & second.keys()) if not first[name] & second[name]]


def _by_name(data: Iterable[DataUse]) -> dict[str, set[str]]:
    """Return the fingerprints of each stage and data set name: one for each tokenizer."""
    prints: dict[str, set[str]] = {}
    for use in data:
        prints.setdefault(f"{use.stage} {use.name}", set()).add(use.fingerprint)
    return prints
