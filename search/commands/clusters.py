"""Commands for a sweep on a cluster that `ray up` has started."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.commands.options import (
    SHARED,
    AsJson,
    ClusterFile,
    ClusterStorage,
    Experiment,
    Set,
    Storage,
    SweepName,
    pairs,
    print_result,
    readable_errors,
)

if TYPE_CHECKING:
    from search.jobs.client import Jobs


def submit(
    experiment: Experiment,
    cluster: ClusterFile,
    cluster_storage: ClusterStorage = SHARED,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the sweep of that name on the cluster.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once, without the sweep's output.")] = False,
) -> None:
    """Run a sweep on a cluster; it goes on when this command or this machine ends."""
    with readable_errors():
        from search.jobs.remote import Cluster
        from search.jobs.submit import prepare
        from search.plan.plan import find_experiment, load_plan

        changes = pairs(set_)
        plan = load_plan(find_experiment(experiment), changes)
        target = Cluster(cluster, cluster_storage)
        name = plan.settings.name
        with _jobs(cluster) as jobs:
            jobs.check_free(name)  # before its files are replaced
            job = jobs.submit(name, prepare(plan, target, changes if resume else None))
            print(f"{name} runs on the cluster as {job.id}; it goes on when this command ends", file=sys.stderr)
            if not detach:
                _follow(jobs, name, cluster)
        if detach:
            print(f"transfersweep logs {name} --cluster {cluster}    follows it", file=sys.stderr)


def status(name: SweepName, cluster: ClusterFile, as_json: AsJson = False) -> None:
    """Print whether the latest job of a sweep on a cluster waits, runs or has ended."""
    with readable_errors(), _jobs(cluster) as jobs:
        job = jobs.latest(name)
        if as_json:
            print(json.dumps(asdict(job), default=str))
        else:
            since = job.ended if job.has_ended else job.began
            print(f"{name}: {job.state}{f' since {since:%Y-%m-%d %H:%M} UTC' if since else ''} ({job.id})")
            if job.state == "failed" and job.message:
                print(job.message)


def logs(name: SweepName, cluster: ClusterFile) -> None:
    """Print the output of the latest job of a sweep on a cluster; follow it while it runs."""
    with readable_errors(), _jobs(cluster) as jobs:
        _follow(jobs, name, cluster)


def stop(name: SweepName, cluster: ClusterFile) -> None:
    """Stop the latest job of a sweep on a cluster; `submit --resume` continues it."""
    with readable_errors(), _jobs(cluster) as jobs:
        job = jobs.latest(name)
        print(f"{name}: {'is being stopped' if jobs.stop(job) else f'had ended before: {job.state}'} ({job.id})")


def fetch(
    name: SweepName,
    cluster: ClusterFile,
    storage: Storage = Path("runs"),
    cluster_storage: ClusterStorage = SHARED,
    as_json: AsJson = False,
) -> None:
    """Copy a finished sweep with its winner from a cluster to this machine, and print its result."""
    with readable_errors():
        from search.jobs.fetch import fetch as copy
        from search.jobs.remote import Cluster
        from search.storage.sweep_folder import SweepFolder

        print_result(copy(Cluster(cluster, cluster_storage), SweepFolder(storage, name)), as_json)


@contextmanager
def _jobs(cluster: Path) -> Iterator["Jobs"]:
    from search.jobs.client import connect
    from search.jobs.remote import Cluster

    with Cluster(cluster, SHARED).job_server() as address, connect(address) as jobs:
        yield jobs


def _follow(jobs: "Jobs", name: str, cluster: Path) -> None:
    """Print the output of a sweep's latest job until it ends; exit with 1 if the sweep has failed."""
    try:
        job = jobs.follow(jobs.latest(name), lambda text: print(text, end="", flush=True))
    except (KeyboardInterrupt, ConnectionError):
        print(f"\nThe sweep goes on. `transfersweep logs {name} --cluster {cluster}` follows it again", file=sys.stderr)
        raise typer.Exit(130) from None
    if job.state != "finished":
        print(f"{name}: {job.state} {job.message}".rstrip(), file=sys.stderr)
        raise typer.Exit(1)
    print(f"transfersweep fetch {name} --cluster {cluster}    brings the result home", file=sys.stderr)
