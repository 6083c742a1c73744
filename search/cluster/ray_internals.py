"""Everything that touches what Ray does not document: private modules, private arguments, internal switches.

No other module may, which tests/test_architecture.py checks. Each function says which need it serves and why no setting
of Ray does. All were checked with Ray 2.60. Each has a test in tests/search/cluster/test_ray_internals.py that fails
where another version changed what it relies on: read both before you raise the version.

What belongs to Tune is imported in the functions, because that takes seconds and a sweep starts Ray before it.
"""

import atexit
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ray._private import ray_constants, services, worker
from ray._private import utils as ray_utils
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled, without types

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import TrialScheduler

NO_METRICS = {"RAY_enable_metrics_collection": "0"}
"""Variables of a Ray that opens no port for metrics, which every user of the machine could read. `ray.init` has no
argument for that."""
HEAD_ONLY = {"node:__internal_head__": 0.001}
"""A resource that only the head has: what asks for this little of it runs there and takes no CPU from others. Ray's own
libraries use it; what is documented needs the node's id, and Tune takes none."""

_CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_ANSWER_SECONDS = 10.0


class RayAddresses(NamedTuple):
    """Where the processes of Ray listen that a driver needs."""

    raylet: str
    """Path of the socket of this machine's node."""
    head: str
    """`host:port` of the cluster's head."""


def import_in_new_processes(modules: str) -> dict[str, str]:
    """Variables of a Ray whose processes import a module (several: with commas between) before they have work.

    A `worker_process_setup_hook` is the documented way, but it belongs to a job, so that it runs after the driver has
    joined. Processes that Ray starts at once have begun then without it.
    """
    return {"RAY_preload_python_modules": modules}


def keep_idle_processes(seconds: float) -> dict[str, str]:
    """Variables of a Ray that ends a process without work only after so many seconds, instead of one.

    When a trial takes a CPU, Ray has one process more than CPUs that are free. It would end the next trial's, which is
    still importing. There is no setting for it.
    """
    return {"RAY_idle_worker_killing_time_threshold_ms": str(int(1000 * seconds))}


def arguments_of_own_ray(folder: Path) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray that only this machine reaches, with its sockets and logs in a folder.

    Without `ENABLE_RAY_CLUSTER = False`, which is meant for systems without clusters, Ray turns 127.0.0.1 into the
    machine's outer address, and every port listens on all networks. `ray start` has options for both, `ray.init` has
    not. Call `allow_clusters` before a cluster is joined.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False
    return {"_node_ip_address": "127.0.0.1", "_temp_dir": str(folder)}


def allow_clusters() -> None:
    """Undo what `arguments_of_own_ray` set in this process."""
    ray_constants.ENABLE_RAY_CLUSTER = True


@contextmanager
def job_server(enabled: bool) -> Iterator[None]:
    """Within it, Ray's agent is started with the server that runs jobs, or without it.

    Who reaches that server can run commands. Ray leaves it out only where the packages of its dashboard are missing, so
    it is told that they are.
    """
    original = ray_utils.get_dashboard_dependency_error
    if not enabled:
        ray_utils.get_dashboard_dependency_error = lambda: ImportError("left out")
    try:
        yield
    finally:
        ray_utils.get_dashboard_dependency_error = original


def skip_ray_shutdown_at_exit() -> None:
    """Let this process end without Ray's own shutdown, which would wait for processes that are dead."""
    atexit.unregister(worker.shutdown)


def reload_token() -> None:
    """Let Ray read the mode and the token from the environment again, which it does only once in a process."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def head_address(address: str) -> str:
    """`host:port` of a cluster's head.

    Args:
        address: as `ray.init` takes it; `auto` is looked up on this machine.

    Raises:
        ConnectionError: if no cluster is found.
        ValueError: if it is no address.
    """
    return str(services.canonicalize_bootstrap_address_or_die(address))


def head_refuses(host_and_port: str, token: str | None = None) -> bool | None:
    """Whether a head refuses a token, or refuses those without one; None where no head of Ray answers in 10 s.

    A driver whose mode is not the cluster's joins, then loses every trial. Ray has no question for the mode; this one
    takes no arguments, and the head answers it at once.
    """
    import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

    shown = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(host_and_port) as channel:
        try:
            channel.unary_unary(_CHECK_ALIVE)(b"", timeout=_ANSWER_SECONDS, metadata=shown)
        except grpc.RpcError as error:
            return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def ray_addresses() -> RayAddresses:
    """Where the Ray listens that this process has joined. Ray itself notices a death only after a minute."""
    node: Any = worker._global_node
    return RayAddresses(node.raylet_socket_name, node.gcs_address)


def use_waiting_processes(inherits: bool) -> None:
    """Let Tune run trials in processes that have imported already.

    Tune gives each trial variables: one that Lightning reads, and some of the driver's, such as keys for AWS. Ray
    starts a new process for a trial with variables of its own. There is no setting for it.

    Args:
        inherits: whether processes of trials have the driver's environment anyway, as where Ray was started here.
    """
    from ray.tune.execution import class_cache

    class_cache.DEFAULT_ENV_VARS.clear()
    handed_on = _propagated_variables()
    class_cache.ENV_VARS_TO_PROPAGATE = set() if inherits else handed_on


@cache
def _propagated_variables() -> set[str]:
    """The driver's variables that Tune gives to trials, as they were at the first call."""
    from ray.tune.execution import class_cache

    return set(class_cache.ENV_VARS_TO_PROPAGATE)


def skip_snapshots_at_checkpoints() -> None:
    """Let Tune write no snapshot of all trials after each checkpoint.

    It writes one every ten seconds anyway, and a sweep resumes from its study. `num_to_keep` alone forces the further
    ones, and no setting stops them.
    """
    from ray.tune.execution.experiment_state import _ExperimentCheckpointManager

    _ExperimentCheckpointManager.on_trial_checkpoint = lambda self, trial: None  # type: ignore[method-assign]


def replay_to_scheduler(
    scheduler: "TrialScheduler", name: str, config: Mapping[str, Any], results: Iterable[dict[str, Any]]
) -> None:
    """Tell a scheduler the results of a trial of an earlier session.

    Tune restores a scheduler only from its own snapshot. This hands it a trial that Tune does not run, and no
    controller, which the schedulers used here do not ask at a new trial or a result.

    Args:
        scheduler: told.
        name: of the trial, unlike every other's.
        config: of the trial.
        results: its reports, in order.
    """
    from ray.tune.experiment import Trial

    trial = Trial("earlier", config=dict(config), trial_id=name, stub=True)
    scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]  # no controller, see above
    for result in results:
        scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]  # likewise


def actor_of(trial: "Trial") -> "ActorHandle[Any] | None":
    """The actor that runs a trial, or None while it has none. Only it can be killed alone, where it hangs."""
    return trial.temporary_state.ray_actor


def allow_deaths(trial: "Trial", number: int) -> None:
    """Let a trial be tried again after so many further deaths of its process; none after that.

    `FailureConfig(max_failures=...)` counts over the whole trial and is the same for all.
    """
    trial.max_failures = trial.num_failures + number


def reason_of_death(trial: "Trial") -> str:
    """What Ray says of the last death of a trial's process; empty where it has not died.

    Callbacks are not told. `get_error` looks where the file is copied to up to ten seconds later, so this reads the
    original, to which Tune appends each death.
    """
    about: Any = trial.run_metadata
    if about.error_filename is None:
        return ""
    said = Path(str(trial.error_file)).read_text(encoding="utf-8", errors="replace")
    return said.rpartition("Failure # ")[2]


def ask_for_checkpoint(result: dict[str, Any]) -> None:
    """Let Tune write a checkpoint at a report, from a callback that hears of it.

    Documented is only that a trainable returns the key. Callbacks may write it because Tune reads it after them.
    """
    from ray.tune.result import SHOULD_CHECKPOINT

    result[SHOULD_CHECKPOINT] = True
