"""Brings a sweep from the storage of a cluster to a storage folder of this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from search.errors import PlanError
from search.jobs.remote import Cluster
from search.jobs.shipment import FOLDER
from search.record.records import Outcome
from search.storage.sweep_folder import SweepFolder, load_outcome, load_saved_plan
from trainable.errors import ConfigError
from trainable.store.files import write_folder

MODELS = "tune-*"
"""Pattern of the folders of a sweep that hold checkpoints."""


def fetch(cluster: Cluster, folder: SweepFolder) -> Outcome:
    """Copy a finished sweep: everything but the checkpoints of trials that are not the winner.

    An earlier copy is replaced. The tables and encoders that were submitted with the sweep come along.

    Args:
        cluster: where the sweep ran.
        folder: of the copy, which need not exist.

    Returns:
        The outcome as the copy has it.

    Raises:
        PlanError: if the folder holds anything but an earlier copy.
        ConfigError: if the cluster is not up, or has no finished sweep of that name.
    """
    name = folder.name
    with tempfile.TemporaryDirectory() as temporary:
        first = SweepFolder(Path(temporary), name)
        first.path.mkdir()
        for file in (first.plan, first.outcome):
            _download(cluster, f"{name}/{file.name}", first.path)
        _check_free(folder, load_saved_plan(first)["id"])
        outcome = load_outcome(first)
    if outcome is None or not outcome.complete:
        raise ConfigError(f"{name}: has not ended; `transfersweep status {name} --cluster {cluster.file}` says more")

    def copy(into: Path) -> None:
        cluster.download(f"{name}/", into, leave_out=[MODELS, "*.lock"])
        for checkpoint in sorted(set(_models(outcome))):
            (into / checkpoint).mkdir(parents=True)
            cluster.download(f"{name}/{checkpoint}/", into / checkpoint)

    submitted = f"{FOLDER}/{name}"
    if cluster.has(submitted):  # not if the sweep was started on the cluster itself
        write_folder(folder.storage / submitted, lambda into: cluster.download(f"{submitted}/", into))
    write_folder(folder.path, copy)
    found = load_outcome(folder)
    assert found is not None
    return found


def _check_free(folder: SweepFolder, sweep: str) -> None:
    """Check that a folder holds nothing but an earlier copy of the sweep with that id."""
    if not folder.path.exists():
        return
    if not folder.plan.is_file() or load_saved_plan(folder)["id"] != sweep:
        raise PlanError([f"{folder.path}: holds something else; name another --storage, or move it away"])


def _download(cluster: Cluster, file: str, to: Path) -> None:
    try:
        cluster.download(file, to)
    except ConfigError as error:
        raise ConfigError(f"{file}: is not in {cluster.storage} of the cluster, or not yet ({error})") from None


def _models(outcome: Outcome) -> Iterator[str]:
    """Yield the checkpoints of the winner's runs, relative to the sweep's folder; none if a baseline won."""
    for record in outcome.trials:
        is_winner = record.number == outcome.winner or record.key == outcome.exported
        if is_winner and record.has_model and record.checkpoint:
            yield record.checkpoint
