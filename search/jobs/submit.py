"""Sends an experiment with its files to a cluster, and says which command runs it there."""

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from search.cluster.workers import EXPECTED
from search.jobs.remote import Cluster
from search.jobs.shipment import EXPERIMENT, FOLDER, check_passwords, pack
from search.plan.plan import Plan
from trainable.errors import ConfigError


def prepare(plan: Plan, cluster: Cluster, resume: Mapping[str, str] | None = None) -> str:
    """Copy the experiment, its tables and its encoders to the cluster's storage.

    Args:
        plan: the checked experiment.
        cluster: where the sweep will run.
        resume: the settings to change in the sweep, which exists there and continues; then nothing is copied. None for
            a new sweep.

    Returns:
        The command for the head that runs the sweep.

    Raises:
        PlanError: if the experiment cannot be sent.
        ConfigError: if the cluster is not up, has the sweep already, or lacks the one to resume.
    """
    check_passwords(plan)
    name = plan.settings.name
    # Each line is seen at once. The driver cannot ask Ray how many workers will join, or may be started.
    program = f"PYTHONUNBUFFERED=1 {EXPECTED}={cluster.most_workers} transfersweep"
    options = f"--address auto --storage {cluster.storage}"
    exists, place = cluster.has(name), f"{name}: {cluster.storage} of the cluster"
    if resume is not None:
        if not exists:
            raise ConfigError(f"{place} has no sweep of that name; leave --resume out")
        changes = shlex.join(word for pair in resume.items() for word in ("--set", "=".join(pair)))
        return f"{program} resume {name} {options} {changes}".rstrip()
    if exists:
        raise ConfigError(f"{place} has that sweep already; continue it with --resume, or choose another name")
    with tempfile.TemporaryDirectory() as folder:
        pack(plan, Path(folder))
        cluster.upload(Path(folder), f"{FOLDER}/{name}")
    return f"{program} run {cluster.storage}/{FOLDER}/{name}/{EXPERIMENT} {options}"
