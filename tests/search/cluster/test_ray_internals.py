"""One test for each undocumented part of Ray that a sweep uses; a failing test names what has changed."""

import os
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
import ray
from ray import tune
from ray._private import ray_constants, services, worker
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # compiled, without types
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.schedulers.trial_scheduler import FIFOScheduler
from ray.util import placement_group

from search.cluster import ray_internals as internals
from search.cluster.authentication import MODE, TOKEN, environment
from search.engine.schedule.schedulers import SCHEDULERS
from trainable.metrics.metric import Direction

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = secrets.token_hex(32)
PROPAGATED = "AWS_SESSION_TOKEN"


@pytest.fixture(scope="module")
def own_ray() -> Iterator[Path]:
    """Start Ray with all internal settings and return its folder."""
    variables = {MODE: "token", TOKEN: SECRET, **internals.NO_METRICS}
    variables |= internals.keep_idle_processes(60) | internals.same_priority()
    with tempfile.TemporaryDirectory(prefix="internals-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        with environment(variables), internals.job_server(enabled=False):
            internals.reload_token()
            arguments = internals.arguments_of_own_ray(Path(folder) / "ray")
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, **arguments)
        deadline = time.monotonic() + 60
        while len(_idle()) < 2 and time.monotonic() < deadline:  # one for each CPU, started at once
            time.sleep(0.5)
        yield Path(folder)
        ray.shutdown()
        internals.reload_token()


class Slot(tune.Trainable):
    """Three steps."""

    _ends = False

    def end(self) -> None:
        self._ends = True

    def step(self) -> dict[str, Any]:
        time.sleep(0.2)
        return {"done": self.iteration == 2}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / ("last" if self._ends else "file")).touch()

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing, as no state is saved."""


class Watch(tune.Callback):
    """Asks for a checkpoint at each report, kills the actor after the first one, and records all events."""

    def __init__(self) -> None:
        self.checkpoints, self.actors, self.reasons, self.before = 0, list[Any](), list[str](), list[str]()
        self.processes, self.files = set[int](), set[str]()

    def on_trial_result(self, trial: Trial, result: dict[str, Any], **info: Any) -> None:  # type: ignore[override]
        internals.ask_for_checkpoint(result)
        self.actors.append(internals.actor_of(trial))
        internals.let_actor_end(trial)
        self.processes.add(result["pid"])
        if len(self.actors) == 1:
            self.before.append(internals.reason_of_death(trial))
            internals.allow_deaths(trial, 1)

    def on_checkpoint(self, checkpoint: Any, **info: Any) -> None:  # type: ignore[override]
        self.checkpoints += 1
        self.files |= {file.name for file in Path(checkpoint.path).iterdir()}
        if self.checkpoints == 1:
            ray.kill(self.actors[0])

    def on_trial_recover(self, trial: Trial, **info: Any) -> None:  # type: ignore[override]
        self.reasons.append(internals.reason_of_death(trial))

    def __getstate__(self) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def swept_by_tune(own_ray: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Watch, int, Any, set[int]]:
    """Run Tune with one death; return the events, number of snapshots, result, and processes that waited before."""
    watch, waiting = Watch(), _idle()
    run = tune.RunConfig(
        name="tune",
        storage_path=str(tmp_path_factory.mktemp("tune")),
        checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        failure_config=tune.FailureConfig(max_failures=0),
        callbacks=[watch],
        verbose=0,
    )
    # Tune also writes a snapshot each time a period has passed, which on a slow machine would come in between.
    period = {"TUNE_GLOBAL_CHECKPOINT_S": "3600"}
    with environment({PROPAGATED: "one of those that Tune passes on", **period}):
        internals.use_waiting_processes(inherits=True)
        internals.skip_snapshots_at_checkpoints()
        saves = patch.object(TuneController, "save_to_dir", autospec=True, side_effect=TuneController.save_to_dir)
        with saves as saved:
            [result] = tune.Tuner(Slot, run_config=run).fit()
    return watch, saved.call_count, result, waiting


def test_trials_take_processes_that_wait(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, *_, waiting = swept_by_tune
    assert len(watch.processes) == 2  # one has died
    assert watch.processes <= waiting


def test_processes_have_the_priority_of_this_one(own_ray: Path) -> None:
    assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)


def test_processes_without_work_are_kept(own_ray: Path) -> None:
    ray.get([ray.remote(lambda: time.sleep(1)).remote() for _ in range(2)])  # both wait then
    before = _idle()
    group = placement_group([{"CPU": 1}])  # trials take CPUs like this; then Ray has a process too many
    assert group.wait(10)
    time.sleep(4)
    assert len(before) >= 2
    assert before <= _idle()
    ray.util.remove_placement_group(group)


def test_ray_uses_the_given_folder(own_ray: Path) -> None:
    assert Path(internals.ray_addresses().raylet).is_relative_to(own_ray)
    assert (own_ray / "ray" / "session_latest" / "logs").is_dir()


def test_everything_listens_on_this_machine_alone(own_ray: Path) -> None:
    assert _listening()
    assert {address.ip for address in _listening()} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_no_port_for_metrics_is_open(own_ray: Path) -> None:
    (node,) = ray.nodes()
    assert node["MetricsExportPort"] not in {address.port for address in _listening()}


def _idle() -> set[int]:
    """Return the processes of Ray that wait for work; Ray makes no actor of a process that has run a task."""
    return {p.pid for p in psutil.Process().children(recursive=True) if "IDLE" in " ".join(p.cmdline()[:1])}


def _listening() -> list[Any]:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return [c.laddr for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"]


def test_the_server_that_runs_jobs_is_left_out(own_ray: Path) -> None:
    assert worker._global_node is not None
    assert worker._global_node.dashboard_agent_listen_port == -1  # for Ray: none
    assert ray._private.utils.get_dashboard_dependency_error() is None  # as before


def test_clusters_can_be_joined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_global_node", None)
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    internals.arguments_of_own_ray(Path("/tmp/any"))
    assert services.get_node_ip_address() == "127.0.0.1"
    internals.allow_clusters()
    assert services.get_node_ip_address() == services.node_ip_address_from_perspective()


AT_EXIT = """
import atexit, sys
import ray
from search.cluster.ray_internals import skip_ray_shutdown_at_exit
if {leaves}:
    skip_ray_shutdown_at_exit()
called = set()
sys.setprofile(lambda frame, event, argument: called.add((frame.f_globals.get("__name__"), frame.f_code.co_name)))
atexit._run_exitfuncs()
sys.setprofile(None)
print(("ray._private.worker", "shutdown") in called)
"""


@pytest.mark.parametrize("leaves", [True, False])
def test_rays_own_shutdown_is_left_out_at_exit(leaves: bool) -> None:
    code = AT_EXIT.format(leaves=leaves)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(not leaves)


def test_the_token_is_read_again(monkeypatch: pytest.MonkeyPatch, own_ray: Path) -> None:
    loader = AuthenticationTokenLoader.instance()
    for token in (secrets.token_hex(32), SECRET):
        monkeypatch.setenv(MODE, "token")
        monkeypatch.setenv(TOKEN, token)
        internals.reload_token()
        assert loader.get_raw_token() == token


def test_an_address_becomes_host_and_port(own_ray: Path) -> None:
    assert internals.head_address("127.0.0.1:6379") == "127.0.0.1:6379"
    assert internals.head_address(internals.ray_addresses().head) == internals.ray_addresses().head
    with pytest.raises(ValueError, match="Invalid address"):
        internals.head_address("no address")


def test_a_head_says_whether_it_refuses_a_token(own_ray: Path, free_port: Callable[[], int]) -> None:
    head = internals.ray_addresses().head
    assert internals.head_refuses(head) is True
    assert internals.head_refuses(head, secrets.token_hex(32)) is True
    assert internals.head_refuses(head, SECRET) is False
    assert internals.head_refuses(f"127.0.0.1:{free_port()}") is None


def test_ray_addresses_are_those_of_live_processes(own_ray: Path) -> None:
    raylet, head = internals.ray_addresses()
    assert stat.S_ISSOCK(os.stat(raylet).st_mode)
    host, _, port = head.rpartition(":")
    socket.create_connection((host, int(port)), 5).close()


def test_the_head_has_a_resource_of_its_own(own_ray: Path) -> None:
    @ray.remote(num_cpus=0, resources=internals.HEAD_ONLY)
    def here() -> str:
        return ray.get_runtime_context().get_node_id()

    assert ray.get(here.remote()) == ray.get_runtime_context().get_node_id()


def test_tune_passes_on_variables_only_if_they_are_not_inherited() -> None:
    for inherits in (True, False, True, False):
        internals.use_waiting_processes(inherits)
        with environment({PROPAGATED: "x"}):
            made: Any = class_cache._ActorClassCache().get(type("Other", (Slot,), {}))
        assert made._default_options["runtime_env"].get("env_vars", {}) == ({} if inherits else {PROPAGATED: "x"})


def test_checkpoints_cost_no_snapshot(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, snapshots, _, _ = swept_by_tune
    assert watch.checkpoints >= 3
    assert snapshots <= 2  # at the start and at the end


def test_a_callback_asks_for_a_checkpoint(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, *_ = swept_by_tune
    assert watch.checkpoints == len(watch.actors)


def test_an_actor_ends_before_its_checkpoint(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, *_ = swept_by_tune
    assert "last" in watch.files
    assert "file" not in watch.files


def test_the_actor_of_a_trial_can_be_killed(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, *_ = swept_by_tune
    assert isinstance(watch.actors[0], ray.actor.ActorHandle)
    assert len(set(watch.actors)) == 2


def test_ray_reports_why_a_process_died(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    watch, *_ = swept_by_tune
    assert watch.before == [""]
    (reason,) = watch.reasons
    assert "killed by `ray.kill`" in reason


def test_a_trial_is_tried_again_as_often_as_allowed(swept_by_tune: tuple[Watch, int, Any, set[int]]) -> None:
    """The run, which by default allows no death, survived one; then check Tune's own rule."""
    *_, result, _ = swept_by_tune
    assert result.error is None
    trial = Trial("stub", stub=True)
    for allowed, deaths, again in ((2, 2, True), (2, 1, True), (2, 3, False), (0, 1, False)):
        internals.allow_deaths(trial, allowed)
        trial.run_metadata.num_failures += deaths
        assert trial.should_recover() == again
    assert internals.actor_of(trial) is None


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_receive_earlier_trials(name: str) -> None:
    class Recorder(FIFOScheduler):
        """Records what reaches the scheduler that a sweep would use."""

        def __init__(self) -> None:
            self.inner, self.seen = SCHEDULERS[name](Direction("max")), list[Any]()

        def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
            self.inner.on_trial_add(tune_controller, trial)

        def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
            decision = self.inner.on_trial_result(tune_controller, trial, result)
            self.seen.append((trial.trial_id, trial.config["key"], decision))
            return decision

    recorder, results = Recorder(), [{"percent_done": percent, "value": 0.1} for percent in (25, 50)]
    for number in range(2):
        internals.replay_to_scheduler(recorder, f"earlier-{number}", {"key": number}, results)
    assert [(seen[0], seen[1]) for seen in recorder.seen] == [(f"earlier-{n}", n) for n in (0, 0, 1, 1)]
    assert {seen[2] for seen in recorder.seen} <= {TrialScheduler.CONTINUE, TrialScheduler.STOP}
