"""What is checked before a sweep spends anything: storage, tracking, every node, a batch, the disks, the time.

What needs the cluster runs as Ray tasks, begun before the driver opens its tracking and awaited after it: one task on
every node, and on each kind of node that a trial can run on, one batch of the space's most expensive settings; on this
machine alone a process that has been started beforehand can take that.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from search.check import Check
from search.cluster.capacity import Capacity
from search.cluster.node_check import NodeReport, check_node
from search.plan.plan import Plan
from search.preflight.checks import batch_check, disk_check, nodes_check, precision_check, storage_check, time_check
from search.preflight.costliest import costliest_trial, random_draw
from search.preflight.forecast import Forecaster
from search.redaction import redact
from search.startup.dry_run_process import DryRunProcess
from search.storage.sweep_folder import SweepFolder
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import open_tracker
from search.tracking.tracker import Tracker, check_uri
from trainable.errors import ConfigError
from trainable.preview.dry_run import DryRunResult, dry_run
from trainable.store.files import temporary_folder

DRAWN = 128
"""Trials that are drawn at random to stand for the sweep's."""
NODE_SECONDS, BATCH_SECONDS = 60.0, 300.0
"""How long a node may take to answer, and a batch to be trained, with the wait for a free slot."""


class Preflight:
    """The checks that need the cluster, begun when this is made.

    Args:
        plan: the experiment, its data prepared.
        storage: the folder of all sweeps, which can be written here.
        capacity: what the sweep will run on.
        done: trials that have run already; where there are some, no batch needs to be tried.
        process: tries the batch on this machine, where it has begun to.
    """

    def __init__(
        self,
        plan: Plan,
        storage: Path,
        capacity: Capacity,
        done: int = 0,
        process: DryRunProcess | None = None,
    ) -> None:
        self.plan, self.storage, self.capacity, self.done = plan, storage, capacity, done
        self._process = process
        self._workspace = plan.workspace(storage)
        self._costliest, self._config = costliest_trial(plan, self._workspace)
        self._closing = ExitStack()
        self._folder = self._closing.enter_context(temporary_folder(storage.absolute()))
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._node_checks = {_name(n): self._begin_node_check(n["NodeID"]) for n in nodes}
        self._files = {_name(n): str(n["NodeID"]) for n in nodes}
        self._batches = {} if done or process else self._begin_batches([n for n in nodes if self._has_room(n)])

    def _begin_node_check(self, node: str) -> Any:
        if node == ray.get_runtime_context().get_node_id():
            return ray.put(check_node(str(self._folder), node))  # a task would take a process that could be a trial's
        return _on(node, check_node).remote(str(self._folder), node)

    def _begin_batches(self, nodes: list[dict[str, Any]]) -> dict[str, Any]:
        kinds = {_kind(node): node for node in reversed(nodes)}
        settings = self.plan.settings
        return {
            _name(node): _on(
                node["NodeID"], dry_run, num_cpus=settings.cpus_per_trial, num_gpus=self.capacity.gpus
            ).remote(self._config, self._workspace, settings.threads)
            for node in kinds.values()
        }

    def _has_room(self, node: dict[str, Any]) -> bool:
        there = node["Resources"]
        return bool(
            there.get("CPU", 0) >= self.plan.settings.cpus_per_trial and there.get("GPU", 0) >= self.capacity.gpus
        )

    def checks(self) -> list[Check]:
        """Wait for the answers; every check, the ones that found nothing wrong too."""
        plan, slots = self.plan, self.capacity.slots
        try:
            answers = self._answers(self._node_checks, NODE_SECONDS, str)
            nodes = {name: node for name, node in answers.items() if isinstance(node, NodeReport)}
            silent = {name: str(why) for name, why in answers.items() if not isinstance(why, NodeReport)}
            shared = storage_check(self.storage, self._folder, nodes, self._files)
        finally:
            self._closing.close()
        forecaster = Forecaster(plan, random_draw(plan, DRAWN), self._config, self._workspace)
        disk = disk_check(self.storage, forecaster, slots, self.done)
        found = [nodes_check(silent, nodes), shared, disk]
        if self.done:
            return found
        batches = self._tried()
        found += [precision_check(batches), batch_check(batches, self._costliest, self.capacity.gpus)]
        return [*found, time_check(forecaster, batches, slots, _load() if len(self._files) == 1 else None)]

    def _tried(self) -> dict[str, DryRunResult | str]:
        """What came of the batches, by the name of their node."""
        if self._process is None:
            return self._answers(self._batches, BATCH_SECONDS, _broken)
        (here,) = self._files
        return {here: self._process.answer(BATCH_SECONDS)}

    def _answers(self, tasks: Mapping[str, Any], seconds: float, died: Callable[[str], Any]) -> dict[str, Any]:
        """What the tasks return, by the name of their node; a node that has left the cluster meanwhile is left out."""
        answers = {name: _answer(task, seconds, died) for name, task in tasks.items()}
        there = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        return {name: answer for name, answer in answers.items() if self._files[name] in there}


def run_preflight(
    plan: Plan,
    folder: SweepFolder,
    capacity: Capacity,
    study: SweepStudy,
    console: Console,
    process: DryRunProcess | None = None,
) -> Tracker:
    """Check all that can be checked, and open the tracking meanwhile.

    Args:
        plan: the experiment, its data prepared.
        folder: the sweep's folder.
        capacity: what the sweep will run on.
        study: the study, with the trials that have run already.
        console: told the time it will take, and what deserves a warning.
        process: as `Preflight` takes it.

    Returns:
        The sweep's tracker, to be closed by the caller.

    Raises:
        ConfigError: with every reason for which the sweep cannot run.
    """
    flight = Preflight(plan, folder.storage, capacity, len(study.records), process)
    with ExitStack() as closing:
        problems: list[str] = []
        try:
            tracker = closing.enter_context(open_tracker(plan, folder, study))
        except ConfigError as error:
            problems += error.problems
        checks = flight.checks()
        problems += [sentence for check in checks if check.state == "error" for sentence in check.sentences]
        if problems:
            raise ConfigError(problems)
        for check in checks:
            for sentence in check.sentences if check.name == "time" else check.sentences[1:]:
                console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        closing.pop_all()
        return tracker


def tracking_check(plan: Plan, storage: Path) -> Check:
    """Whether the sweep's tracking answers."""
    uri = plan.tracking_uri(storage)
    try:
        check_uri(uri)
    except ConfigError as error:
        return Check("tracking", "error", error.problems)
    return Check("tracking", "ok", (f"{redact(uri)} answers",))


def _load() -> tuple[float, int]:
    """How many processes compute on this machine, and its cores; a sweep that has just begun hardly counts."""
    minute, five, _ = os.getloadavg()
    return min(minute, five), os.cpu_count() or 1


def _on(node: str, function: Any, num_cpus: float = 0, num_gpus: float = 0) -> Any:
    """The function as a task on the node of that id and no other, tried once."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(function)
    return task.options(num_cpus=num_cpus, num_gpus=num_gpus, scheduling_strategy=there, max_retries=0)


def _answer(task: Any, seconds: float, died: Callable[[str], Any] = str) -> Any:
    """What a task returns; as text that it did not in time, or what `died` makes of the reason why it cannot."""
    ready, _ = ray.wait([task], timeout=seconds)
    if not ready:
        ray.cancel(task, force=True)
        return f"no answer in {seconds:.0f} s, as where no slot is free"
    try:
        return ray.get(task)
    except RayTaskError as error:
        return died(str(error).strip().splitlines()[-1])
    except RayError as error:
        return died(str(error).strip().splitlines()[0])


def _broken(reason: str) -> DryRunResult:
    return DryRunResult("", problems=(reason,))


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def _kind(node: dict[str, Any]) -> tuple[object, ...]:
    """What tells nodes apart for a trial: the kind of GPU, how many, and the CPUs."""
    there = node["Resources"]
    return there.get("CPU"), there.get("GPU"), tuple(sorted(n for n in there if n.startswith("accelerator_type:")))
