"""`transfersweep list`, `--version` and `-h`."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from typer.testing import CliRunner

from search.__main__ import app
from search.show.sweeps import ListedSweep, sweeps_in
from search.storage.sweep_folder import SweepFolder, load_outcome


def test_sweeps_are_listed_with_their_state_and_score(swept: SweepFolder, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        shutil.copytree(swept.path, tmp_path / name)
    (tmp_path / "b" / "outcome.json").unlink()
    (tmp_path / "c" / "outcome.json").write_text("{}")
    outcome = load_outcome(swept)
    assert outcome is not None and outcome.validation is not None
    first, *others = sweeps_in(tmp_path)
    assert (first.state, first.trials, first.validation) == ("finished", len(outcome.searched), outcome.validation.mean)
    assert others == [ListedSweep("b", "unfinished"), ListedSweep("c", "damaged")]
    command = ["list", "--storage", str(tmp_path)]
    shown = CliRunner().invoke(app, command).stdout
    assert [line.split()[0] for line in shown.splitlines() if "finished" in line or "damaged" in line] == [
        "a",
        "b",
        "c",
    ]
    assert [each["name"] for each in json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)] == [
        "a",
        "b",
        "c",
    ]


def test_no_sweep(tmp_path: Path) -> None:
    assert "No sweep" in CliRunner().invoke(app, ["list", "--storage", str(tmp_path)]).stdout
    refused = CliRunner().invoke(app, ["list", "--storage", str(tmp_path / "none")])
    assert refused.exit_code == 2 and "there is no such folder" in refused.stderr


def test_version_and_help() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"transfersweep {version('transfersweep')}"
    for option in ("-h", "--help"):
        assert "export" in CliRunner().invoke(app, [option]).stdout
