"""Turn the results of the preflight into checks, each with errors, warnings or neither; this module needs no Ray."""

import os
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
from trainable.preview.dry_run import DryRunResult, Pace
from trainable.store.files import CACHE_BYTES

GIB = 2**30
LEAST_LOAD = 0.4
"""The time check warns from this many computing processes of others for each core."""

_LARGE = "batch_size or padding_length (for images image_size)"


def nodes_check(silent: Mapping[str, str], answered: Mapping[str, NodeReport]) -> Check:
    """Check that every node answers and has the driver's versions.

    Args:
        silent: name of each node without an answer, and the reason.
        answered: name of each other node, and its report.
    """
    ours = versions()
    errors = [f"{name}: {reason}" for name, reason in silent.items()]
    errors += [
        f"{name}: has {package} {theirs}, the driver {ours[package]}; install the same on every node"
        for name, node in answered.items()
        for package, theirs in node.versions.items()
        if theirs != ours[package]
    ]
    listed = ", ".join(f"{package} {version}" for package, version in ours.items())
    return Check.of("nodes", f"{plural(len(answered), 'node')} with {listed}", errors)


def storage_check(storage: Path, folder: Path, answered: Mapping[str, NodeReport], files: Mapping[str, str]) -> Check:
    """Check that every node sees the driver's files in the storage, and the driver the nodes' files.

    Args:
        storage: the folder that the user named.
        folder: the folder in the storage into which each node writes a file.
        answered: name of each node that answered, and its report.
        files: name of each node, and of its file.
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
    """Check that a batch of the most expensive settings passes both stages on each kind of node.

    Args:
        results: name of each node that tried it, and the result or the reason why there is none.
        costliest: the searched settings of the batch.
        gpus: GPUs of each worker.
    """
    sizes = {name: value for name, value in costliest.items() if name.rpartition(".")[2] in ORDER}
    where = ", ".join(f"{name}={value}" for name, value in sizes.items()) or "no searched setting makes a batch larger"
    smaller = f"lower its {_LARGE}, or raise trial.micro_batches or sweep.gpus_per_trial"
    errors, warnings = [], []
    for name, result in results.items():
        if isinstance(result, str):
            warnings.append(f"{name}: {result}")
            continue
        errors += [f"{name}: {problem}; the most expensive settings are {where}" for problem in result.problems]
        for stage, parts in result.cut.items():
            cut = f"{name}: a whole {stage} batch of the most expensive settings ({where}) does not fit into memory"
            warnings.append(f"{cut}; it is computed in {parts} parts, with the same result")
        sharing = int(1 / gpus) if 0 < gpus < 1 else 1
        if sharing * result.gpu_bytes > result.gpu_total > 0:
            warnings.append(
                f"{name}: {sharing} trials share a GPU of {result.gpu_total / GIB:.1f} GiB, and one takes up to "
                f"{result.gpu_bytes / GIB:.1f} GiB ({where}); {smaller}"
            )
    devices = ", ".join(dict.fromkeys(r.device for r in results.values() if isinstance(r, DryRunResult)))
    fact = f"the most expensive settings train on {devices}: {where}" if devices else "not tried: no node has room yet"
    return Check.of("batch", fact, errors, warnings)


def memory_check(trial_bytes: int, free: int, slots: int, fitting: int) -> Check:
    """Report the memory that trials take; warn if it has room for fewer trials at a time than the CPUs.

    Args:
        trial_bytes: peak memory of a trial with the most expensive settings, in bytes.
        free: memory of all nodes that trials can take, in bytes.
        slots: trials at a time that the CPUs and GPUs allow.
        fitting: trials at a time that will run.
    """
    fact = f"a trial takes up to {trial_bytes / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are free"
    effect = f"only {fitting} of {slots} trials run at a time" if fitting < slots else "a trial may run out of memory"
    way_out = f"lower the largest {_LARGE}, or raise trial.micro_batches"
    warnings = [f"{effect}, as memory is short; {way_out}"] if fitting < slots or trial_bytes > free else []
    return Check.of("memory", fact, warnings=warnings)


def precision_check(results: Mapping[str, DryRunResult | str]) -> Check:
    """Report the precision in which each kind of node computes; warn if it is slow or differs between nodes."""
    used = {n: r.arithmetic for n, r in results.items() if isinstance(r, DryRunResult) and r.arithmetic}
    reasons = {computed.reason for computed in used.values()}
    fact = reasons.pop() if len(reasons) == 1 else "; ".join(f"{n}: {c.reason}" for n, c in used.items())
    warnings = [f"{name}: {computed.warning}" for name, computed in used.items() if computed.warning]
    if len({computed.precision for computed in used.values()}) > 1:
        warnings.append("a trial's score depends on its node, as nodes differ in precision; set precision: fp32")
    return Check.of("precision", fact or "unknown: no batch was tried", (), warnings)


def disk_check(storage: Path, forecaster: Forecaster, slots: int, done: int, trials: int | None = None) -> Check:
    """Check that the disk has room for the files of the sweep.

    Args:
        storage: the folder of all sweeps.
        forecaster: the sweep's forecaster.
        slots: number of trials at a time.
        done: number of trials whose models are there already.
        trials: search trials for which there is time; None without a time limit, and if no batch was measured.
    """
    free = shutil.disk_usage(storage).free
    needs = forecaster.disk_bytes(slots, done, trials)
    need = sum(needs.values())
    sizes = f"{free / GIB:.1f} GiB free, about {need / GIB:.1f} GiB needed ({', '.join(needs)})"
    errors = []
    if need > free:
        errors.append(
            f"--storage {storage.absolute()}: {sizes}; free some space, lower sweep.trials, or give another folder"
        )
    caches = (
        f"less than {CACHE_BYTES / GIB:.0f} GiB are left for the cache of frozen layers' outputs, which may need it"
    )
    warnings = [caches] if forecaster.freezes and free - need < CACHE_BYTES else []
    return Check.of("disk", sizes, errors, warnings)


def computing_processes() -> tuple[float, int]:
    """Return how many processes compute on this machine, and its cores; the lower average leaves out this new sweep."""
    minute, five, _ = os.getloadavg()
    return min(minute, five), os.cpu_count() or 1


def slowest_paces(
    forecaster: Forecaster, results: Mapping[str, DryRunResult | str], slots: int
) -> Mapping[str, Pace] | None:
    """Return the paces of the node on which the sweep would take longest; None if no batch was measured."""
    usable = [r.paces for r in results.values() if isinstance(r, DryRunResult) and not r.problems]
    return max(usable, key=lambda paces: forecaster.time(paces, slots).high, default=None)


def time_check(
    forecaster: Forecaster,
    results: Mapping[str, DryRunResult | str],
    slots: int,
    load: tuple[float, int] | None = None,
    elapsed: float = 0.0,
    cut: str = "",
) -> Check:
    """Forecast how long the sweep will take, at the pace of the slowest node that was tried.

    Args:
        forecaster: the sweep's forecaster.
        results: name of each node that tried a batch, and the result or the reason why there is none.
        slots: number of trials at a time.
        load: computing processes of others, and cores; given only if there is one node.
        elapsed: seconds of the sweep's minutes that are used.
        cut: a sentence on what the sweep leaves out to keep to its minutes; empty if it leaves out nothing.
    """
    paces = slowest_paces(forecaster, results, slots)
    if paces is None:
        return Check("time", "warning", ("unknown until a batch has been tried",))
    forecast = str(forecaster.time(paces, slots, elapsed))
    notes = [cut] if cut else []
    if load and load[0] >= LEAST_LOAD * load[1]:
        others, cores = load
        notes.append(
            f"about {others:.1f} other processes compute on this machine's {cores} cores; "
            "the forecast assumes that this stays so"
        )
    return Check.of("time", forecast, warnings=notes)
