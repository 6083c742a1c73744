"""Joining Ray: a fresh cluster on this machine, or a running one."""

import os
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from search.settings import SweepSettings
from trainable.errors import ConfigError

TOKEN_FILE = Path("~/.ray/auth_token")


def join(address: str | None, needs_dashboard: bool) -> None:
    """Start Ray on this machine, or join the cluster at an address (`auto`: the one of this machine).

    A cluster with token authentication is joined with the token of `RAY_AUTH_TOKEN`,
    `RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token`.

    Raises:
        ConfigError: if there is no cluster at the address, or it refuses the token.
    """
    # Ray's own switch for systems without clusters: without it every port of a cluster that is started here listens on
    # all networks, and those of its metrics answer whoever asks. Ray turns an address of 127.0.0.1 into the outer one.
    ray_constants.ENABLE_RAY_CLUSTER = address is not None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        # The dashboard is needed only for worker groups: it lets Ray free their places (ray issue 54305).
        ray.init(
            address="local",
            _node_ip_address="127.0.0.1",
            include_dashboard=needs_dashboard,
            dashboard_host="127.0.0.1",
            **quiet,
        )
        return
    if TOKEN_FILE.expanduser().exists() or os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--address {address}: cannot join that Ray cluster ({reason})") from None


def gpus_per_worker(settings: SweepSettings) -> float:
    """GPUs of each worker: as set, or one where the cluster has any now."""
    if settings.gpus_per_trial is not None:
        return settings.gpus_per_trial
    return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0


def slots(settings: SweepSettings, gpus: float) -> int:
    """How many trials the cluster has room for now, within `max_concurrent`.

    Raises:
        ConfigError: if not even one has room, and the cluster does not grow by itself.
    """
    there = ray.cluster_resources()
    fits = there.get("CPU", 0) // (settings.cpus_per_trial * settings.workers_per_trial)
    if gpus:
        fits = min(fits, there.get("GPU", 0) // (gpus * settings.workers_per_trial))
    if fits < 1 and os.environ.get("TRANSFERSWEEP_AUTOSCALES") != "1":
        raise ConfigError(
            f"sweep: a trial needs {settings.workers_per_trial} x {settings.cpus_per_trial:g} CPUs and {gpus:g} GPUs, "
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs; lower cpus_per_trial, "
            "gpus_per_trial or workers_per_trial"
        )
    return int(max(1, min(fits, settings.max_concurrent or fits)))
