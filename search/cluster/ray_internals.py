"""All uses of undocumented parts of Ray: private modules, private arguments, internal switches.

Only this module may use them; tests/test_architecture.py checks that. Each function says what it is for and why no
setting of Ray does it. All were checked with Ray 2.60. Each has a test in tests/search/cluster/test_ray_internals.py
that fails if another version changes what the function depends on. Read both before you raise the version.

The functions import Tune themselves, because that takes seconds and a sweep starts Ray before it.
"""

import atexit
import os
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
"""Environment variables that keep Ray from opening a port for metrics, which every user of the machine could read.
`ray.init` has no argument for that."""
HEAD_ONLY = {"node:__internal_head__": 0.001}
"""A resource that only the head has. A task that needs this little of it runs there and takes no CPU from others. Ray's
own libraries use it. The documented way needs the node's id, which Tune does not accept."""

_CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_ANSWER_SECONDS = 10.0


class RayAddresses(NamedTuple):
    """Addresses of the Ray processes that a driver needs."""

    raylet: str
    """Path of the socket of the raylet on this machine."""
    head: str
    """`host:port` of the cluster's head."""


def same_priority() -> dict[str, str]:
    """Return variables with which trials get the priority (niceness) of this process.

    Ray runs its workers with niceness 15. Beside another process that computes they would get about 3 % of a core.
    There is no setting for this.
    """
    return {"RAY_worker_niceness": str(os.nice(0))}


def keep_idle_processes(seconds: float) -> dict[str, str]:
    """Return variables with which Ray ends a process without work only after so many seconds, not after one.

    When a trial takes a CPU, Ray has one process more than free CPUs, and would end the process for the next trial.
    There is no setting for this.
    """
    return {"RAY_idle_worker_killing_time_threshold_ms": str(int(1000 * seconds))}


def arguments_of_own_ray(folder: Path) -> dict[str, Any]:
    """Return arguments of `ray.init` for a Ray that only this machine can reach, with sockets and logs in a folder.

    It also sets `ENABLE_RAY_CLUSTER = False`, which is meant for systems without clusters. Otherwise Ray would replace
    127.0.0.1 by the machine's external address, and every port would listen on all networks. `ray start` has options
    for both; `ray.init` has none. Call `allow_clusters` before you join a cluster.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False
    return {"_node_ip_address": "127.0.0.1", "_temp_dir": str(folder)}


def allow_clusters() -> None:
    """Undo the setting of `arguments_of_own_ray` in this process."""
    ray_constants.ENABLE_RAY_CLUSTER = True


@contextmanager
def job_server(enabled: bool) -> Iterator[None]:
    """Start Ray's agent within this block with or without the server that runs jobs.

    Anyone who can reach that server can run commands. Ray starts without it only if the packages of its dashboard are
    missing, so this makes Ray believe that they are.
    """
    original = ray_utils.get_dashboard_dependency_error
    if not enabled:
        ray_utils.get_dashboard_dependency_error = lambda: ImportError("left out")
    try:
        yield
    finally:
        ray_utils.get_dashboard_dependency_error = original


def skip_ray_shutdown_at_exit() -> None:
    """Let this process end without Ray's own shutdown, which would wait for dead processes."""
    atexit.unregister(worker.shutdown)


def reload_token() -> None:
    """Let Ray read the mode and the token from the environment again; by itself it reads them once in a process."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def head_address(address: str) -> str:
    """Return the `host:port` of a cluster's head.

    Args:
        address: an address for `ray.init`; `auto` is looked up on this machine.

    Raises:
        ConnectionError: if no cluster is found.
        ValueError: if the address is not valid.
    """
    return str(services.canonicalize_bootstrap_address_or_die(address))


def head_refuses(host_and_port: str, token: str | None = None) -> bool | None:
    """Return whether a head refuses a token, or a request without one; None if no head of Ray answers in 10 s.

    A driver whose mode differs from the cluster's can join, but then loses every trial. Ray has no request for the
    mode. The request used here takes no arguments, and the head answers it at once.
    """
    import grpc  # type: ignore[import-untyped]  # its stubs are a separate package

    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(host_and_port) as channel:
        try:
            channel.unary_unary(_CHECK_ALIVE)(b"", timeout=_ANSWER_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def ray_addresses() -> RayAddresses:
    """Return the addresses of the Ray joined here, so that its death is noticed at once; Ray needs a minute."""
    node: Any = worker._global_node
    return RayAddresses(node.raylet_socket_name, node.gcs_address)


def use_waiting_processes(inherits: bool) -> None:
    """Let Tune run trials in processes that Ray has already started.

    Tune gives each trial environment variables: one that Lightning reads, and some of the driver's, such as keys for
    AWS. For a trial with its own variables Ray starts a new process. There is no setting for this.

    Args:
        inherits: whether the processes of trials have the driver's environment anyway: True if Ray was started here.
    """
    from ray.tune.execution import class_cache

    class_cache.DEFAULT_ENV_VARS.clear()
    propagated = _propagated_variables()
    class_cache.ENV_VARS_TO_PROPAGATE = set() if inherits else propagated


@cache
def _propagated_variables() -> set[str]:
    """Return the names of the driver's variables that Tune gives to trials, as they were at the first call."""
    from ray.tune.execution import class_cache

    return set(class_cache.ENV_VARS_TO_PROPAGATE)


def skip_snapshots_at_checkpoints() -> None:
    """Stop Tune from writing a snapshot of all trials after each checkpoint.

    Tune writes one every ten seconds anyway, and a sweep resumes from its study. `num_to_keep` forces the additional
    snapshots, and no setting stops them.
    """
    from ray.tune.execution.experiment_state import _ExperimentCheckpointManager

    _ExperimentCheckpointManager.on_trial_checkpoint = lambda self, trial: None  # type: ignore[method-assign]


def replay_to_scheduler(
    scheduler: "TrialScheduler", name: str, config: Mapping[str, Any], results: Iterable[dict[str, Any]]
) -> None:
    """Give a scheduler the results of a trial of an earlier session.

    Tune restores a scheduler only from its own snapshot. This passes a trial that Tune does not run, and None as the
    controller: the schedulers used here do not use it for a new trial or a result.

    Args:
        scheduler: receives the results.
        name: a unique name of the trial.
        config: the trial's configuration.
        results: the trial's reports, in order.
    """
    from ray.tune.experiment import Trial

    trial = Trial("earlier", config=dict(config), trial_id=name, stub=True)
    scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]  # no controller, see above
    for result in results:
        scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]  # likewise


def actor_of(trial: "Trial") -> "ActorHandle[Any] | None":
    """Return the actor that runs a trial, or None while it has none; needed to kill one trial that hangs."""
    return trial.temporary_state.ray_actor


def let_actor_end(trial: "Trial") -> None:
    """Call `TuneTrial.end` of a trial's actor, before any later call of Tune: calls run in their order.

    Tune has no way to tell an actor that a checkpoint is its last one.
    """
    if (actor := actor_of(trial)) is not None:
        actor.end.remote()


def allow_deaths(trial: "Trial", number: int) -> None:
    """Let Tune restart a trial after each of the next `number` deaths of its process, and after no later one.

    `FailureConfig(max_failures=...)` counts over the whole trial and is the same for all trials.
    """
    trial.max_failures = trial.num_failures + number


def reason_of_death(trial: "Trial") -> str:
    """Return Ray's message about the last death of a trial's process; empty if it has not died.

    Callbacks do not receive it. `get_error` reads a copy that is up to ten seconds late, so this reads the original
    file, to which Tune appends each death.
    """
    metadata: Any = trial.run_metadata
    if metadata.error_filename is None:
        return ""
    text = Path(str(trial.error_file)).read_text(encoding="utf-8", errors="replace")
    return text.rpartition("Failure # ")[2]


def ask_for_checkpoint(result: dict[str, Any]) -> None:
    """Let Tune write a checkpoint at a report; called from a callback that receives the report.

    Ray documents only that a trainable returns this key. A callback may set it, because Tune reads it after callbacks.
    """
    from ray.tune.result import SHOULD_CHECKPOINT

    result[SHOULD_CHECKPOINT] = True
