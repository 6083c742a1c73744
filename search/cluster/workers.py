"""Workers that join a cluster after the sweep has begun: how many are expected, and the wait for the first."""

import os
import time
from collections.abc import Callable

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

EXPECTED = "TRANSFERSWEEP_WORKERS"
"""Environment variable: the largest number of workers that the cluster will have; `transfersweep submit` sets it."""
WAIT_MINUTES = 20.0
"""Longest wait until there is room for a trial. A machine of a cloud needs about five minutes."""
_LOOK_SECONDS = 5.0  # between two looks; Ctrl-C works only between them


def expected_workers() -> int:
    """Return how many workers the cluster will have; 0 if nobody has said it.

    Raises:
        ConfigError: if the variable is not a number.
    """
    text = os.environ.get(EXPECTED, "0")
    if not text.isdecimal():
        raise ConfigError(f"{EXPECTED}={text}: must be the largest number of workers of the cluster, such as 8")
    return int(text)


def wait_for_workers(settings: SweepSettings, say: Callable[[str], None]) -> None:
    """Wait until a joined cluster has room for a trial, if workers are expected; an autoscaler starts them meanwhile.

    Args:
        settings: settings of the sweep.
        say: receives a sentence if workers are missing.

    Raises:
        ConfigError: if there is no room after `WAIT_MINUTES`.
    """
    need = {"CPU": settings.cpus_per_trial, **({"GPU": settings.gpus_per_trial} if settings.gpus_per_trial else {})}
    here, expected = _nodes_with(need), expected_workers()
    if here < expected:
        say(f"{here} of {expected} workers have joined the cluster; the sweep uses the others as they join")
    if not expected or here >= settings.workers_per_trial:
        return
    group = placement_group([need] * settings.workers_per_trial)  # what an autoscaler sees; it ends with this process
    try:
        if not group.wait(_LOOK_SECONDS):
            say(f"waiting up to {WAIT_MINUTES:.0f} minutes for workers with room for a trial")
            _wait_for(group)
    finally:
        remove_placement_group(group)


def _nodes_with(need: dict[str, float]) -> int:
    """Return how many nodes have the resources of one worker of a trial, whether they are in use or not."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(all(node.get(name, 0) >= amount for name, amount in need.items()) for node in nodes)


def _wait_for(group: PlacementGroup) -> None:
    deadline = time.monotonic() + 60 * WAIT_MINUTES
    while not group.wait(_LOOK_SECONDS):
        if time.monotonic() > deadline:
            raise ConfigError(
                f"sweep: the cluster had no room for a trial within {WAIT_MINUTES:.0f} minutes; `ray status` on the "
                "head says which workers there are and why others do not start"
            )
