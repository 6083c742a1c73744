"""Joining Ray: a fresh cluster on this machine, or a running one."""

import errno
import gc
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray._private import ray_constants

from search.errors import HaltError
from search.settings import SweepSettings
from trainable.errors import ConfigError

TOKEN_FILE = Path("~/.ray/auth_token")
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
PRELOAD = "RAY_preload_python_modules"
SLOT_MODULES = "trainable.preload"
"""What the processes of slots import, some seconds long, while the driver is not ready for them yet."""
PATIENCE = "RAY_idle_worker_killing_time_threshold_ms"
PATIENCE_MS = 60_000
"""How long a process may wait for its slot's first trial. When a trial takes a CPU, Ray has one process more than CPUs
that are free, and by its own measure of a second it would end the next slot's, which is still importing."""
TUNABLES = ("hugetlb=1", f"mmap_threshold={2**25}", f"trim_threshold={2**31}")
"""How slots take memory, where glibc hands it out: in huge pages, which they keep. Else each step of training would
wait for pages of 4 kB that the step before has given back."""
BROKEN_OFF = {os.strerror(number) for number in (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED)}
"""All that Ray's errors say where it has died; those of the operating system say their number too."""
LISTEN_SECONDS = 10.0
"""How long whoever listens at the address of a cluster may take to say so."""


_starter = ThreadPoolExecutor(1, thread_name_prefix="ray")
"""What Ray starts is killed when the thread that started it ends, so that this one must live as long as the driver."""
_started: list[Future[None]] = []


@contextmanager
def starting(address: str | None, settings: SweepSettings) -> Iterator[None]:
    """Start Ray in the background, if it is to be started here; what is not joined is ended on the way out."""
    if address is None:
        _started.append(_starter.submit(_start, settings))
    try:
        yield
    finally:
        if _started:
            _started.pop().result()
            leave()


def join(address: str | None, settings: SweepSettings) -> None:
    """Start Ray on this machine, or join the cluster at an address (`auto`: the one of this machine).

    A cluster with token authentication is joined with the token of `RAY_AUTH_TOKEN`,
    `RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token`.

    Raises:
        ConfigError: if there is no cluster at the address, or it refuses the token.
    """
    if address is None:
        (_started.pop() if _started else _starter.submit(_start, settings)).result()
        return
    if not _listens(address):  # Ray would wait for it, many minutes, without a word
        raise ConfigError(
            f"--address {address}: nothing listens there; is the cluster up, and this its head's address?"
        )
    ray_constants.ENABLE_RAY_CLUSTER = True
    if TOKEN_FILE.expanduser().exists() or os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--address {address}: cannot join that Ray cluster ({reason})") from None


def leave() -> None:
    """End Ray where it was started here, or leave the cluster; does nothing where none was joined.

    No garbage is collected meanwhile: another thread that collects a reference to an object at the wrong moment asks
    Ray for what is no longer there, and Ray ends the whole process then, with nothing but a line in a log.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if collects:
            gc.enable()


@contextmanager
def broken_off_in_words(resume: str) -> Iterator[None]:
    """Turn what a call to a Ray that has just died raises into one sentence.

    Later calls end the process: Ray's own code does that when it has found nobody for a minute.

    Raises:
        HaltError: if Ray is no longer there.
    """
    try:
        yield
    except OSError as error:
        if str(error) not in BROKEN_OFF:
            raise
        raise HaltError(f"the connection to Ray broke off ({error}); once it is there again: `{resume}`") from None


def _listens(address: str) -> bool:
    """Whether somebody listens at `host:port`; other addresses, such as `auto`, are Ray's to look up."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def _start(settings: SweepSettings) -> None:
    # Ray's own switch for systems without clusters: without it every port of a cluster that is started here listens on
    # all networks, and those of its metrics answer whoever asks. Ray turns an address of 127.0.0.1 into the outer one.
    ray_constants.ENABLE_RAY_CLUSTER = False
    slots_on_gpus = _slots_on_gpus(settings)
    variables = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}" for name in TUNABLES)}
    if slots_on_gpus or _all_are_slots(settings):
        variables |= {PRELOAD: SLOT_MODULES, PATIENCE: str(PATIENCE_MS)}
    with _inherited(variables):
        ray.init(
            address="local",
            num_cpus=slots_on_gpus or None,  # Ray starts a process for each CPU at once
            _node_ip_address="127.0.0.1",
            # The dashboard is needed only for worker groups: it lets Ray free their places (ray issue 54305).
            include_dashboard=settings.workers_per_trial > 1,
            dashboard_host="127.0.0.1",
            **QUIET,
        )


@contextmanager
def _inherited(variables: dict[str, str]) -> Iterator[None]:
    """Let processes that are started meanwhile see variables, but for those that the user has set."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _all_are_slots(settings: SweepSettings) -> bool:
    """Whether each of the processes that Ray starts at once, one for each CPU, will have a trial to run."""
    return _takes_one_cpu(settings) and settings.max_concurrent is None and not torch.cuda.device_count()


def on_gpus(settings: SweepSettings) -> bool:
    """Whether trials on this machine have GPUs."""
    return settings.gpus_per_trial != 0 and torch.cuda.device_count() > 0


def _slots_on_gpus(settings: SweepSettings) -> int:
    """How many trials of one CPU each this machine's GPUs have room for; 0 where trials are of another kind."""
    if not on_gpus(settings) or not _takes_one_cpu(settings):
        return 0
    fit = int(torch.cuda.device_count() / (settings.gpus_per_trial or 1.0) + 1e-9)  # so that 0.1 is ten a GPU
    return min(fit, settings.max_concurrent or fit, os.cpu_count() or 1)


def _takes_one_cpu(settings: SweepSettings) -> bool:
    """Whether a trial is one process, of one CPU."""
    return settings.workers_per_trial == 1 and settings.cpus_per_trial == 1


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
