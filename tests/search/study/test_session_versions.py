"""Sessions that run with other versions are named in the sweep's notes, and not refused."""

from pathlib import Path

import pytest

from search.plan.settings import SweepSettings
from search.study import session_versions
from search.study.session_versions import note_versions, version_notes
from search.study.sweep_study import SweepStudy
from spaces import parse_space

SPACE = parse_space({"target.epochs": {"int": [1, 3]}})


def test_other_versions_are_noted_and_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(**versions: str) -> list[str]:
        monkeypatch.setattr(session_versions, "versions", lambda: versions)
        study = open_study()
        note_versions(study)
        return version_notes(study)

    def open_study() -> SweepStudy:
        return SweepStudy(tmp_path / "study.db", SweepSettings(name="tiny"), SPACE, 0)

    for _ in range(2):  # trials of a session that stored no versions
        open_study().begin_search_trial()
    first = "after 2 trials the sweep continued with other versions: "
    assert session(torch="2.9", code="a") == [first + "torch unknown before, 2.9 after, code unknown before, a after"]
    assert len(session(torch="2.9", code="a")) == 1
    assert session(torch="2.9", code="b")[1:] == [first + "code a before, b after"]
