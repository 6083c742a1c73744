"""The preflight on a real cluster of this machine: before a sweep, and alone as `doctor`."""

import copy
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner
from yaml_text import dump_yaml

from search.__main__ import app
from search.check import Check
from search.cluster import connection
from search.cluster.capacity import Capacity, free_memory
from search.cluster.node_check import check_node
from search.engine.start import start_sweep
from search.plan.data import check_data
from search.plan.plan import Plan, build_plan
from search.plan.settings import SweepSettings
from search.preflight.costliest import costliest_trial
from search.preflight.doctor import print_checks
from search.preflight.preflight import Preflight, _on, run_preflight
from search.startup.dry_run_process import DryRunProcess
from search.storage.sweep_folder import SweepFolder, check_storage, create_sweep_folder
from search.study.sweep_study import SweepStudy
from trainable.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    connection.join(None, SweepSettings(name="tiny"))
    yield
    connection.leave()


@pytest.fixture
def plan_of(blocks: dict[str, Any], tmp_path: Path) -> Callable[..., Plan]:
    def build(sweep: dict[str, Any] | None = None, **trial: Any) -> Plan:
        changed = copy.deepcopy(blocks)
        changed["sweep"] |= sweep or {}
        changed["trial"] |= trial
        plan = build_plan(changed, (Path(),), "mine.yaml")
        check_data(plan, tmp_path)
        return plan

    return build


@pytest.fixture
def impossible(blocks: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Return an experiment whose mistake only a trial finds: `head: keep` although the labels differ."""
    other = tmp_path / "other.csv"
    other.write_text("text,label\n" + "".join(f"words {i},{'spam' if i % 2 else 'ham'}\n" for i in range(60)))
    blocks["trial"]["source"] |= {"dataset": {"csv": str(other)}}
    blocks["trial"]["target"] |= {"head": "keep"}
    return blocks


def test_every_check_is_made(running: None, plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    checks = {check.name: check for check in Preflight(plan_of(), tmp_path, Capacity(slots=2, gpus=0)).checks()}
    assert list(checks) == ["nodes", "storage", "precision", "batch", "memory", "disk", "time"]
    assert {check.state for check in checks.values()} <= {"ok", "warning"}
    assert checks["batch"].state == "ok"
    assert "source.enabled=True" in checks["batch"].sentences[0]
    assert "learning_rate" not in checks["batch"].sentences[0]
    assert checks["time"].sentences[0].endswith("on 2 slots")
    assert checks["memory"].sentences[0].startswith("a trial takes up to 0.")
    assert list(tmp_path.glob(".transfersweep-*")) == []


def test_a_process_that_was_started_tries_the_batch(
    running: None, plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = plan_of()
    with DryRunProcess() as process:
        process.begin(plan, tmp_path, costliest_trial(plan, plan.workspace(tmp_path))[1], on_gpu=False)
        preflight = Preflight(plan, tmp_path, Capacity(slots=2, gpus=0), dry_run=process)
        checks = {check.name: check for check in preflight.checks()}
    assert preflight._batches == {}
    assert checks["batch"].state == "ok"
    assert checks["time"].sentences[0].endswith("on 2 slots")


def test_where_trials_have_run_no_batch_is_tried(running: None, plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    preflight = Preflight(plan_of(), tmp_path, Capacity(slots=2, gpus=0), done=1)
    assert [check.name for check in preflight.checks()] == ["nodes", "storage", "disk"]


def test_a_resume_knows_the_memory_of_a_trial(running: None, plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    free = free_memory()
    for need, slots in ((free // 3, 2), (2 * free // 3, 1), (2 * free, 1)):
        preflight = Preflight(plan_of(), tmp_path, Capacity(slots=2, gpus=0), done=1)
        preflight.trial_bytes = need
        check = preflight.checks()[-1]
        assert preflight.capacity.slots == slots
        assert (check.name, check.state) == ("memory", "ok" if slots == 2 else "warning")
        assert preflight.capacity.memory <= free
    assert "only 1 of 2 trials run at a time, as memory is short" in check.sentences[1]
    several = Preflight(plan_of({"workers_per_trial": 2}), tmp_path, Capacity(slots=2, gpus=0), done=1)
    several.trial_bytes = free
    several.checks()
    assert several.capacity == Capacity(slots=2, gpus=0)


def test_a_node_without_room_for_a_trial_is_not_tried(
    running: None, plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    """This is the case on a cluster that has not grown yet."""
    plan = plan_of({"cpus_per_trial": 4096})
    checks = {check.name: check for check in Preflight(plan, tmp_path, Capacity(slots=1, gpus=0)).checks()}
    assert checks["batch"].sentences == ("not tried: no node has room yet",)
    assert checks["time"].state == "warning"


def test_a_node_that_leaves_meanwhile_is_left_out(running: None, plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    """A spot instance may leave: a task for it can never run, but the other nodes are fine."""
    preflight, gone = Preflight(plan_of(), tmp_path, Capacity(slots=2, gpus=0)), "e" * 56
    for tasks in (preflight._node_checks, preflight._batches):
        tasks["gone"] = _on(gone, check_node).remote(str(tmp_path), gone)
    preflight._files["gone"] = gone
    checks = {check.name: check for check in preflight.checks()}
    assert {checks[name].state for name in ("nodes", "batch")} == {"ok"}
    assert checks["nodes"].sentences[0].startswith("1 node ")


def test_several_workers_are_tried_as_parts_of_a_batch(
    running: None, plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    preflight = Preflight(plan_of({"workers_per_trial": 2}), tmp_path, Capacity(slots=1, gpus=0))
    assert {check.name: check.state for check in preflight.checks()}["batch"] == "ok"


def test_a_source_that_takes_too_long_gets_fewer_rows(
    running: None, blocks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that trains the first source stage uses as many rows."""
    monkeypatch.setattr("trainable.preview.source_rows.LEAST_ROWS", 1)
    monkeypatch.setattr("trainable.preview.source_rows._STEP", 1)
    monkeypatch.setattr("trainable.preview.source_rows.SHARE", 1e-3)
    del blocks["trial"]["source"]["train_rows"]
    blocks["sweep"] |= {"minutes": 0.5}
    plan = build_plan(blocks, (Path(),), "mine.yaml")
    check_data(plan, tmp_path)
    preflight = Preflight(plan, tmp_path, Capacity(slots=2, gpus=0))
    time = preflight.checks()[-1]
    rows = preflight.plan.source_rows
    assert any(sentence.startswith(f"source stages train on {rows} rows, about 0 s") for sentence in time.sentences)
    assert {config.source.train_rows for config in preflight.forecaster.draw if config.source} == {rows}
    assert not preflight.plan.leaves_source_rows_open()


def test_all_mistakes_come_at_once(
    running: None, impossible: dict[str, Any], plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    plan, folder = plan_of({"tracking_uri": "nonsense://x"}), SweepFolder(tmp_path, "tiny")
    create_sweep_folder(folder, {**plan.to_mapping(), "id": "1", "data": {}})
    with pytest.raises(ConfigError) as caught:
        run_preflight(
            plan, folder, Capacity(slots=2, gpus=0), SweepStudy(folder.study, plan.settings, plan.space, 0), Console()
        )
    first, second = caught.value.problems
    assert first.startswith("sweep.tracking_uri: ")
    assert "target.head: 'keep' needs the same labels" in second
    assert "source.enabled=True" in second


def test_weights_that_do_not_match_the_configuration_are_reported(
    running: None, plan_of: Callable[..., Plan], tiny_bert: str, tmp_path: Path
) -> None:
    """Before the batch, only the headers of the weights are read."""
    encoder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": config["num_hidden_layers"] + 1}))
    preflight = Preflight(plan_of(encoder=str(encoder)), tmp_path, Capacity(slots=1, gpus=0))
    (batch,) = (check for check in preflight.checks() if check.name == "batch")
    assert batch.state == "error"
    assert "the most expensive settings are source.enabled=True" in batch.sentences[0]
    assert "\n" not in batch.sentences[0]


@pytest.mark.parametrize("where", ["/proc/no/such", "a file/runs"])
def test_a_storage_that_cannot_be_written_is_an_error(where: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        check_storage(tmp_path / where)


def test_a_sweep_that_cannot_work_leaves_its_name_free(impossible: dict[str, Any], tmp_path: Path) -> None:
    connection.leave()
    with pytest.raises(ConfigError, match="needs the same labels"):
        start_sweep(build_plan(impossible, (Path(),), "mine.yaml"), tmp_path / "runs")
    assert not (tmp_path / "runs" / "tiny").exists()
    assert not ray.is_initialized()


def _doctor(blocks: dict[str, Any], folder: Path, *options: str) -> Result:
    connection.leave()
    file = folder / "mine.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    return CliRunner().invoke(app, ["doctor", str(file), *options])


def test_doctor_runs_nothing(blocks: dict[str, Any], tmp_path: Path) -> None:
    done = _doctor(blocks, tmp_path, "--storage", str(tmp_path / "runs"), "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["ok"] is True
    names = [check["check"] for check in report["checks"]]
    assert names == ["data", "encoder", "tracking", "nodes", "storage", "precision", "batch", "memory", "disk", "time"]
    assert not (tmp_path / "runs" / "tiny").exists()
    assert not ray.is_initialized()


def test_doctor_says_what_is_wrong(impossible: dict[str, Any], tmp_path: Path) -> None:
    done = _doctor(impossible, tmp_path, "--storage", str(tmp_path / "runs"), "--json")
    assert done.exit_code == 2, done.output
    report = json.loads(done.stdout)
    assert report["ok"] is False
    assert [check["check"] for check in report["checks"] if check["state"] == "error"] == ["batch"]


@pytest.mark.parametrize(("encoding", "marks"), [("utf-8", "✓!✗"), ("ascii", ("ok", "warning", "error"))])
def test_the_checklist_has_a_mark_for_each_check(encoding: str, marks: Sequence[str]) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    checks = [
        Check.of("precision", "as it should be"),
        Check.of("disk", "enough", warnings=["but tight"]),
        Check.of("batch", "", errors=["too large"]),
    ]
    print_checks(checks, Console(file=written))
    written.seek(0)
    lines = written.read().splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(marks)
    assert [line.split(maxsplit=2)[-1] for line in (lines[0], lines[1], lines[3])] == [
        "as it should be",
        "enough",
        "too large",
    ]
    assert lines[2].strip() == "but tight"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--storage", "/proc/no"), "--storage /proc/no: cannot be written"),
        (("--set", "trial.target.dataset={csv: gone.csv}"), "gone.csv"),
        (("--set", "sweep.trails=1"), "did you mean 'trials'"),
    ],
)
def test_doctor_makes_as_many_checks_as_possible(
    options: tuple[str, str], words: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    done = _doctor(blocks, tmp_path, "--storage", str(tmp_path / "runs"), *options)
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "Traceback" not in done.output
