"""Records in the study which versions each session ran with, and reports when they differ."""

from collections.abc import Mapping
from typing import TypedDict

from search.provenance import versions
from search.study.sweep_study import SweepStudy

VERSIONS = "versions"
"""User attribute of the study: a list of `SessionVersions`, with an entry for each change of versions."""


class SessionVersions(TypedDict):
    """The versions of a session, as the study stores them."""

    before: int
    """Number of trials that had begun before the session."""
    versions: dict[str, str]
    """Version by package."""


def note_versions(study: SweepStudy) -> None:
    """Store the versions of this session if they differ from those of the previous one."""
    noted: list[SessionVersions] = study.user_attr(VERSIONS, [{"before": 0, "versions": {}}] if study.records else [])
    if not noted or noted[-1]["versions"] != versions():
        study.set_user_attr(VERSIONS, [*noted, {"before": len(study.records), "versions": versions()}])


def version_notes(study: SweepStudy) -> list[str]:
    """Return a sentence on each session that ran with other versions than the previous one."""
    noted: list[SessionVersions] = study.user_attr(VERSIONS, [])
    return [
        f"after {later['before']} trials the sweep continued with other versions: "
        + _differences(earlier["versions"], later["versions"])
        for earlier, later in zip(noted, noted[1:], strict=False)
    ]


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{n} {before.get(n, 'unknown')} before, {after.get(n, 'unknown')} after" for n in names)
