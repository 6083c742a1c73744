"""Joining Ray: a fresh cluster on this machine, or a running one."""

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import torch
from ray._private import ray_constants, services

from search.cluster.authentication import MODE, environment, mode_of, refresh
from search.cluster.local_ray import QUIET, LocalRay, shut_down
from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

PRELOAD = "RAY_preload_python_modules"
SLOT_MODULES = "trainable.workers.preload"
"""What the processes of slots import, some seconds long, while the driver is not ready for them yet."""
PATIENCE = "RAY_idle_worker_killing_time_threshold_ms"
PATIENCE_MS = 60_000
"""How long a process may wait for its slot's first trial. When a trial takes a CPU, Ray has one process more than CPUs
that are free, and by its own measure of a second it would end the next slot's, which is still importing."""
TUNABLES = ("hugetlb=1", f"mmap_threshold={2**25}", f"trim_threshold={2**31}")
"""How slots take memory, where glibc hands it out: in huge pages, which they keep. Else each step of training would
wait for pages of 4 kB that the step before has given back."""
LISTEN_SECONDS = 10.0
"""How long whoever listens at the address of a cluster may take to say so."""


_started: list[LocalRay] = []


@contextmanager
def starting(address: str | None, settings: SweepSettings) -> Iterator[None]:
    """Start Ray in the background, if it is to be started here; it is ended on the way out."""
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
        address: a running cluster; None starts one here, or waits for the one that `starting` has begun.
        settings: of the sweep.
        say: told when Ray is slow to start.

    Raises:
        ConfigError: if Ray cannot be started, or there is no cluster at the address, or it cannot be joined.
    """
    if address is None:
        if not _started:
            _started.append(_start(settings))
        _started[-1].wait(say)
        return
    if not _listens(address):  # Ray would wait for it, many minutes, without a word
        raise ConfigError(
            f"--address {address}: nothing listens there; is the cluster up, and this its head's address?"
        )
    ray_constants.ENABLE_RAY_CLUSTER = True
    try:
        head = address if "://" in address else services.canonicalize_bootstrap_address_or_die(address)
        with environment({MODE: mode_of(address, head)}):
            refresh()
            ray.init(address=address, **QUIET)
    except ConfigError:
        raise
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
        if _started:
            _started.pop().end()
        else:
            shut_down()
        refresh()
    finally:
        if collects:
            gc.enable()


def keep_logs(into: Path) -> None:
    """Copy the logs of a Ray that was started here; those of a cluster stay on its nodes."""
    if _started:
        _started[-1].keep_logs(into)


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


def _start(settings: SweepSettings) -> LocalRay:
    slots_on_gpus = _slots_on_gpus(settings)
    variables = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}" for name in TUNABLES)}
    if slots_on_gpus or _all_are_slots(settings):
        variables |= {PRELOAD: SLOT_MODULES, PATIENCE: str(PATIENCE_MS)}
    arguments = {"num_cpus": slots_on_gpus or None}  # Ray starts a process for each CPU at once
    # Worker groups alone need the dashboard: it lets Ray free their places (ray issue 54305).
    return LocalRay(arguments, variables, dashboard=settings.workers_per_trial > 1)


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
