"""Compares an experiment with the one in a sweep's folder, and lists each difference by its dotted path."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from search.errors import PlanError
from search.plan.data_use import DataUse
from search.plan.plan import Plan
from search.plan.settings import CHANGEABLE, SweepSettings
from search.redaction import redact
from search.storage.driver_lock import driver_of
from search.storage.sweep_folder import Experiment, SavedPlan, SweepFolder, load_saved_plan
from trainable.settings.values import Nested

Difference = tuple[Any, Any]
"""The values of a setting there (in the sweep's folder) and here (in the experiment); `...` if it is not set."""


def name_taken_problems(folder: SweepFolder, plan: Plan) -> list[str]:
    """Say why `run` cannot begin under the name of an existing sweep, and which commands to use instead."""
    another = "take another name (--set sweep.name=...), or remove the folder"
    if driver := driver_of(folder.path):
        look = f"`{folder.command('show')}` shows its progress"
        return [f"sweep.name: {folder.path} is being run by {driver}; {look}, or {another}"]
    if not folder.plan.is_file():
        return [f"sweep.name: {folder.path} exists and holds no sweep; {another}"]
    found = differences(load_saved_plan(folder), plan.to_mapping())
    if plan.settings.ranked_sources:  # there, it is what the ranking has kept
        found.pop("space.source.dataset", None)
    if not found:
        commands = [
            folder.command("resume"),
            folder.command(*plan.settings.command_for_more(20)),
            folder.command("show"),
        ]
        ways = "continue it with `{}`, search longer with `{}`, look at it with `{}`".format(*commands)
        return [f"sweep.name: {folder.path} holds the same experiment; {ways}, {another}"]
    options = [word for name, (_, here) in found.items() for word in ("--set", f"{name}={_format(name, here)}")]
    way_out = another
    if all(name.removeprefix("sweep.") in CHANGEABLE for name in found):
        way_out = f"change it there with `{folder.command('resume', *options)}`, {another}"
    listed = [describe_difference(name, pair) for name, pair in found.items()]
    return [f"sweep.name: {folder.path} holds another experiment; {way_out}; it differs in", *listed]


def load_older_facts(plan: Plan, storage: Path) -> SavedPlan:
    """Read the stored plan of the sweep that `sweep.start_from` names.

    Raises:
        PlanError: if there is no such sweep, or if it optimised another metric.
    """
    name, metric = str(plan.settings.start_from), plan.settings.metric
    try:
        facts = load_saved_plan(SweepFolder(storage, name))
    except PlanError as error:
        raise PlanError([f"sweep.start_from: {problem}" for problem in error.problems]) from None
    if facts["sweep"]["metric"] != metric:
        there = f"{name} optimised {facts['sweep']['metric']}, not {metric}"
        raise PlanError([f"sweep.start_from: {there}; their scores cannot be compared, leave it out"])
    return facts


def describe_difference(name: str, pair: Difference) -> str:
    """Return a difference as a sentence."""
    there, here = (_format(name, value) for value in pair)
    return f"{name}: {there} there, {here} here"


def differences(there: Experiment, here: Experiment) -> dict[str, Difference]:
    """Return the settings that differ between two experiments, as `Plan.to_mapping` writes them, by dotted path."""
    first, second = dict(_settings(there)), dict(_settings(here))
    names = dict.fromkeys([*first, *second])
    pairs = {name: (first.get(name, ...), second.get(name, ...)) for name in names}
    return {name: pair for name, pair in pairs.items() if _text(pair[0]) != _text(pair[1])}


def changed_data(there: Iterable[DataUse], here: Iterable[DataUse]) -> list[str]:
    """Return one sentence for each data set whose fingerprints differ there and here."""
    names = dict.fromkeys((use.stage, use.name) for use in sorted(set(there) ^ set(here)))
    return [
        f"the {stage}'s data set {name!r} or its tokenizer has changed since the sweep began, or this version reads "
        "them differently; restore the old data, use the version that began the sweep, or run a new sweep"
        for stage, name in names
    ]


def _settings(facts: Experiment) -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted path; a list, and a domain of the space, is one value."""
    # The file of an older sweep lacks newer settings: there they have their defaults.
    defaults = SweepSettings(name=facts["sweep"]["name"]).model_dump(mode="json")
    yield from ((f"sweep.{name}", value) for name, value in {**defaults, **facts["sweep"]}.items())
    yield from flatten(facts["trial"], "trial.")
    yield from ((f"space.{name}", domain) for name, domain in facts["space"].items())


def flatten(nested: Nested, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by dotted path; a list is one value."""
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: Any) -> str:
    return "not set" if value is ... else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _format(name: str, value: Any) -> str:
    return redact(value) if name == "sweep.tracking_uri" and isinstance(value, str) else _text(value)
