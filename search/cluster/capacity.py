"""Number of trials that can run at a time: on this machine before Ray has started, and in a joined cluster."""

import os
from dataclasses import dataclass, replace

import ray
import torch

from search.cluster.workers import EXPECTED
from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

MARGIN = 1.15
"""A slot takes up to so many times the memory of a dry run, as it keeps pages between batches of different sizes."""


def one_slot_per_cpu(settings: SweepSettings) -> bool:
    """Return whether every process that Ray starts at once, one for each CPU, will run trials."""
    return _one_cpu_per_trial(settings) and settings.max_concurrent is None and not torch.cuda.device_count()


def trials_use_gpus(settings: SweepSettings) -> bool:
    """Return whether trials on this machine use GPUs."""
    return settings.gpus_per_trial != 0 and torch.cuda.device_count() > 0


def count_gpu_slots(settings: SweepSettings) -> int:
    """Return how many one-CPU trials the GPUs of this machine can run at a time; 0 if trials are of another kind."""
    if not trials_use_gpus(settings) or not _one_cpu_per_trial(settings):
        return 0
    fit = int(torch.cuda.device_count() / (settings.gpus_per_trial or 1.0) + 1e-9)  # so that 0.1 gives ten on each GPU
    return min(fit, settings.max_concurrent or fit, os.cpu_count() or 1)


def _one_cpu_per_trial(settings: SweepSettings) -> bool:
    """Return whether a trial is one process with one CPU."""
    return settings.workers_per_trial == 1 and settings.cpus_per_trial == 1


@dataclass(frozen=True)
class Capacity:
    """The resources of a sweep."""

    slots: int
    """Number of trials that run at a time, at least 1."""
    gpus: float
    """GPUs of each worker of a trial: 0 on CPUs, below 1 if trials share a GPU."""
    memory: int = 0
    """Bytes of memory that Ray reserves for each trial, so that no more trials start than have room; 0: none."""


def capacity_for(settings: SweepSettings) -> Capacity:
    """Return the slots and GPUs that the cluster offers now; by default a trial takes one GPU if there is any.

    Raises:
        ConfigError: if not even one trial has room.
    """
    resources, gpus = ray.cluster_resources(), settings.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if resources.get("GPU", 0) >= 1 else 0.0
    slots = count_slots(settings, gpus)
    if slots < 1:
        raise ConfigError(
            f"sweep: a trial needs {settings.workers_per_trial} x {settings.cpus_per_trial:g} CPUs and {gpus:g} GPUs, "
            f"the cluster has {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs; lower "
            "cpus_per_trial, gpus_per_trial or workers_per_trial; on a cluster whose workers have still to join, say "
            f"with {EXPECTED} how many"
        )
    return Capacity(slots, gpus)


def count_slots(settings: SweepSettings, gpus: float, memory: int = 0) -> int:
    """Return how many trials the cluster can run at a time now; 0 if there is no room for any.

    Args:
        settings: settings of the sweep.
        gpus: GPUs of each worker of a trial.
        memory: bytes that are reserved for each trial; 0: none.
    """
    resources = ray.cluster_resources()
    fits = resources.get("CPU", 0) // (settings.cpus_per_trial * settings.workers_per_trial)
    if gpus:
        fits = min(fits, resources.get("GPU", 0) // (gpus * settings.workers_per_trial))
    if memory:
        fits = min(fits, _slots_with_memory(settings, memory))
    return int(min(fits, settings.max_concurrent or fits))


def limit_to_memory(capacity: Capacity, settings: SweepSettings, trial_bytes: int) -> Capacity:
    """Return the capacity with no more slots than have room in the memory of the nodes, but with at least one.

    Trials on GPUs and trials of several workers are not limited.

    Args:
        capacity: what `capacity_for` returned.
        settings: settings of the sweep.
        trial_bytes: memory of a trial with the most expensive settings; 0 if it is not known.
    """
    if not trial_bytes or capacity.gpus or settings.workers_per_trial > 1:
        return capacity
    need = min(int(MARGIN * trial_bytes), int(max(node.get("memory", 0) for node in _nodes())))
    slots = _slots_with_memory(settings, max(1, need))
    return replace(capacity, slots=max(1, slots), memory=need) if slots < capacity.slots else capacity


def _slots_with_memory(settings: SweepSettings, memory: int) -> int:
    """Return how many trials of one worker have both their CPUs and their memory on one node."""
    return sum(
        int(min(node.get("CPU", 0) // settings.cpus_per_trial, node.get("memory", 0) // memory)) for node in _nodes()
    )


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def free_memory() -> int:
    """Return the bytes of memory of all nodes that trials can take; Ray counts a container's limit, too."""
    return int(ray.cluster_resources().get("memory", 0))
