"""What the preflight's answers mean: each check as a line of ticks, warnings or mistakes, without Ray."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from search.check import Check
from search.cluster.node_check import NodeReport
from search.preflight.costliest import ORDER
from search.preflight.forecast import Forecaster
from search.provenance import versions
from spaces import Point
from trainable.data.message_text import plural
from trainable.preview.dry_run import DryRunResult
from trainable.store.files import CACHE_BYTES

GIB = 2**30
LEAST_LOAD = 0.4
"""Processes of others that compute, a core, from which on they are worth a word."""


def nodes_check(silent: Mapping[str, str], answered: Mapping[str, NodeReport]) -> Check:
    """Whether every node answers and runs what the driver runs.

    Args:
        silent: why a node did not answer, by its name.
        answered: what the others said, by name.
    """
    ours = versions()
    errors = [f"{name}: {reason}" for name, reason in silent.items()]
    errors += [
        f"{name}: has {package} {theirs}, the driver {ours[package]}; install the same on every node"
        for name, node in answered.items()
        for package, theirs in node.versions.items()
        if theirs != ours[package]
    ]
    said = ", ".join(f"{package} {version}" for package, version in ours.items())
    return Check.of("nodes", f"{plural(len(answered), 'node')} with {said}", errors)


def storage_check(storage: Path, folder: Path, answered: Mapping[str, NodeReport], files: Mapping[str, str]) -> Check:
    """Whether every node reads what the driver writes, and the driver what they write.

    Args:
        storage: as the user named it.
        folder: in the storage, into which the nodes were to write.
        answered: by name, what the nodes said.
        files: by name, what each was to write.
    """
    errors = []
    for name, node in answered.items():
        problem = node.storage
        if not problem and not (folder / files[name]).is_file():
            problem = "writes files there that the driver does not see"
        if problem:
            errors.append(f"--storage {storage.absolute()}: {name} {problem}; give a folder that every node shares")
    return Check.of("storage", f"{storage.absolute()} is shared by {plural(len(answered), 'node')}", errors)


def batch_check(results: Mapping[str, DryRunResult | str], costliest: Point, gpus: float) -> Check:
    """Whether a batch of the most expensive settings went through both stages on each kind of node.

    Args:
        results: by the name of a node, what came of it, or why nothing did.
        costliest: the searched settings of the batch.
        gpus: of each worker.
    """
    sizes = {name: value for name, value in costliest.items() if name.rpartition(".")[2] in ORDER}
    where = ", ".join(f"{name}={value}" for name, value in sizes.items()) or "nothing searched makes it larger"
    smaller = "lower its batch_size or padding_length, or raise trial.micro_batches or sweep.gpus_per_trial"
    errors, warnings = [], []
    for name, made in results.items():
        if isinstance(made, str):
            warnings.append(f"{name}: {made}")
            continue
        errors += [f"{name}: {problem}; the most expensive settings are {where}" for problem in made.problems]
        for stage, parts in made.cut.items():
            cut = f"{name}: memory has no room for a whole {stage} batch of the most expensive settings ({where})"
            warnings.append(f"{cut}; it is computed in {parts} parts, with the same result")
        beside = int(1 / gpus) if 0 < gpus < 1 else 1
        if beside * made.gpu_bytes > made.gpu_total > 0:
            warnings.append(
                f"{name}: {beside} trials share a GPU of {made.gpu_total / GIB:.1f} GiB, and one takes up to "
                f"{made.gpu_bytes / GIB:.1f} GiB ({where}); {smaller}"
            )
    devices = ", ".join(dict.fromkeys(made.device for made in results.values() if isinstance(made, DryRunResult)))
    fact = f"the most expensive settings trains on {devices}: {where}" if devices else "not tried: no node has room yet"
    return Check.of("batch", fact, errors, warnings)


def precision_check(results: Mapping[str, DryRunResult | str]) -> Check:
    """What each kind of node computes in, and whether that costs more than it need."""
    made = {n: r.arithmetic for n, r in results.items() if isinstance(r, DryRunResult) and r.arithmetic}
    reasons = {computed.reason for computed in made.values()}
    fact = reasons.pop() if len(reasons) == 1 else "; ".join(f"{n}: {c.reason}" for n, c in made.items())
    warnings = [f"{name}: {computed.warning}" for name, computed in made.items() if computed.warning]
    if len({computed.precision for computed in made.values()}) > 1:
        warnings.append("a trial's score depends on its node, as nodes differ in precision; set precision: fp32")
    return Check.of("precision", fact or "not known: no batch was tried", (), warnings)


def disk_check(storage: Path, forecaster: Forecaster, slots: int, done: int) -> Check:
    """Whether the disks have room for what the sweep will keep.

    Args:
        storage: the folder of all sweeps.
        forecaster: of the sweep.
        slots: trials at a time.
        done: trials whose models lie there already.
    """
    free = shutil.disk_usage(storage).free
    needs = forecaster.disk_bytes(slots, done)
    need = sum(needs.values())
    said = f"{free / GIB:.1f} GiB free, about {need / GIB:.1f} GiB needed ({', '.join(needs)})"
    errors = []
    if need > free:
        errors.append(f"--storage {storage.absolute()}: {said}; free some, lower sweep.trials, or give another folder")
    caches = f"less than {CACHE_BYTES / GIB:.0f} GiB are left for the outputs of frozen layers, which may take so much"
    tight = [caches] if forecaster.freezes and free - need < CACHE_BYTES else []
    return Check.of("disk", said, errors, tight)


def time_check(
    forecaster: Forecaster, results: Mapping[str, DryRunResult | str], slots: int, load: tuple[float, int] | None = None
) -> Check:
    """How long the sweep will take, at the pace of the slowest node that was tried.

    Args:
        forecaster: of the sweep.
        results: by the name of a node, what came of its batch, or why nothing did.
        slots: trials at a time.
        load: processes of others that compute, on the one node there is, and its cores.
    """
    made = [r for r in results.values() if isinstance(r, DryRunResult) and not r.problems]
    if not made:
        return Check("time", "warning", ("nobody can tell before a batch was tried",))
    said = str(max((forecaster.time(r.paces, slots) for r in made), key=lambda f: f.high))
    busy = []
    if load and load[0] >= LEAST_LOAD * load[1]:
        others, cores = load
        busy.append(
            f"about {others:.1f} other processes compute on this machine's {cores} cores: more or fewer change that"
        )
    return Check.of("time", said, warnings=busy)
