"""Start Ray on this machine, or join a running cluster."""

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from search.cluster.authentication import MODE, environment, mode_of
from search.cluster.capacity import count_gpu_slots, one_slot_per_cpu
from search.cluster.local_ray import QUIET, LocalRay, shut_down
from search.cluster.ray_internals import (
    allow_clusters,
    head_address,
    keep_idle_processes,
    reload_token,
    same_priority,
)
from search.plan.settings import SweepSettings
from search.startup import slots
from trainable.errors import ConfigError

LISTEN_SECONDS = 10.0
"""Longest wait for a connection to the address of a cluster."""

_started: list[LocalRay] = []


@contextmanager
def starting(address: str | None, settings: SweepSettings) -> Iterator[None]:
    """Start Ray in the background if no address is given; end or leave Ray when the block ends."""
    if address is None:
        _started.append(_start(settings))
    try:
        yield
    except KeyboardInterrupt:
        if _started:
            _started[-1].abandon()
        raise
    finally:
        leave()


def join(address: str | None, settings: SweepSettings, say: Callable[[str], None] = lambda sentence: None) -> None:
    """Start Ray on this machine, or join the cluster at an address (`auto`: the one of this machine).

    Args:
        address: a running cluster; None starts Ray here, or waits for the start that `starting` has begun.
        settings: the sweep's settings.
        say: called with a message if Ray is slow to start.

    Raises:
        ConfigError: if Ray cannot be started, if nothing listens at the address, or if that cluster cannot be joined.
    """
    if address is None:
        if not _started:
            _started.append(_start(settings))
        _started[-1].wait(say)
        return
    if not _listens(address):  # Ray would wait for many minutes without a message
        raise ConfigError(
            f"--address {address}: nothing listens there; is the cluster up, and this its head's address?"
        )
    allow_clusters()
    try:
        head = address if "://" in address else head_address(address)
        with environment({MODE: mode_of(address, head)}):
            reload_token()
            ray.init(address=address, **QUIET)
    except ConfigError:
        raise
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--address {address}: cannot join that Ray cluster ({reason})") from None


def leave() -> None:
    """End Ray if it was started here, or leave the cluster; do nothing if none was joined.

    Garbage collection is off meanwhile. If another thread collected a reference to a Ray object at the wrong moment,
    Ray would look for its worker, find none, and end the whole process with only a line in a log.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        if _started:
            _started.pop().end()
        else:
            shut_down()
        reload_token()
    finally:
        if collects:
            gc.enable()


def copy_logs(into: Path) -> None:
    """Copy Ray's logs into a folder if Ray was started here; the logs of a cluster stay on its nodes."""
    if _started:
        _started[-1].copy_logs(into)


def _listens(address: str) -> bool:
    """Return whether a process listens at `host:port`; True for other addresses, such as `auto`, which Ray looks up."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def _start(settings: SweepSettings) -> LocalRay:
    gpu_slots = count_gpu_slots(settings)
    variables = slots.MALLOC_VARIABLES | same_priority()
    if gpu_slots or one_slot_per_cpu(settings):
        variables = variables | keep_idle_processes(slots.IDLE_SECONDS)
    arguments = {"num_cpus": gpu_slots or None}  # Ray starts one process for each CPU at once
    # Only worker groups need the dashboard: with it Ray frees their placement groups (ray issue 54305).
    return LocalRay(arguments, variables, dashboard=settings.workers_per_trial > 1)
