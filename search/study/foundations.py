"""What a sweep's numbers stand on, and whether it has changed: encoders, tokenizers, data, and this program."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from search.plan.data import stage_uses
from search.plan.data_use import DataUse
from search.plan.plan import Plan
from search.provenance import versions
from search.study.sweep_study import SweepStudy
from trainable.inputs.prepare import Prepared, stage_data
from trainable.model.encoder import fingerprint
from trainable.model.limits import resolve_encoder

Foundations = dict[str, list[str]]
"""Fingerprints by what they are of: a kind (`encoder`, `tokenizer`, `source`, `target`), a blank, and a name."""
VERSIONS = "versions"
"""Under this name the study notes which versions ran, each with the number of trials that had begun before."""
_PUT_BACK = "put back what was there, or run the experiment under another name (--set sweep.name=...)"


class SessionVersions(TypedDict):
    """Which versions a session ran, as the study notes it."""

    before: int
    """Trials that had begun before."""
    versions: dict[str, str]
    """By package."""


def foundations(plan: Plan, storage: Path, prepared: Mapping[DataUse, Prepared]) -> Foundations:
    """Fingerprints of all encoders, tokenizers and data sets that a trial may use, by what `check_data` prepared."""
    found: dict[str, set[str]] = {}
    for use, made in prepared.items():
        found.setdefault(f"{use.stage} {use.name}", set()).add(made.data_fingerprint)
    given = [value for name, value in plan.space.corners() if name == "encoder"] or [plan.base["encoder"]]
    names = {
        resolve_encoder(str(encoder), plan.roots): encoder for encoder in given
    }  # as the experiment has them, wherever it lies
    for config, stage in {config.encoder: (config, stage) for _, stage, config in stage_uses(plan)}.values():
        name = names[config.encoder]
        found[f"tokenizer {name}"] = {stage_data(config, stage, plan.workspace(storage)).tokenizer_fingerprint}
        found[f"encoder {name}"] = {fingerprint(config.encoder)}
    return {name: sorted(prints) for name, prints in found.items()}


def changed(there: Mapping[str, list[str]], here: Mapping[str, list[str]]) -> list[str]:
    """A sentence on each thing that a sweep stood on and that is not the same any more."""
    differing = [name for name in there if there[name] != here.get(name)]
    return [f"{_in_words(name)} changed since the sweep began; {_PUT_BACK}" for name in differing]


def _in_words(what: str) -> str:
    kind, _, name = what.partition(" ")
    if kind == "encoder":
        return f"encoder {name!r}: its weights or its config.json have"
    if kind == "tokenizer":
        return f"encoder {name!r}: its tokenizer has"
    return f"{kind}: the data set {name!r} has"


def note_versions(study: SweepStudy) -> None:
    """Note the versions of this session, if they are not those of the one before."""
    noted: list[SessionVersions] = study.noted(VERSIONS, [{"before": 0, "versions": {}}] if study.records else [])
    if not noted or noted[-1]["versions"] != versions():
        study.note(VERSIONS, [*noted, {"before": len(study.records), "versions": versions()}])


def version_notes(study: SweepStudy) -> list[str]:
    """A sentence on each time that a session went on with other versions than the one before."""
    noted: list[SessionVersions] = study.noted(VERSIONS, [])
    return [
        f"after {later['before']} trials the sweep went on with other versions: "
        + _differences(earlier["versions"], later["versions"])
        for earlier, later in zip(noted, noted[1:], strict=False)
    ]


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{n} {before.get(n, 'unknown')} before, {after.get(n, 'unknown')} after" for n in names)
