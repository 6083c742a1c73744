"""The checks before a sweep starts: storage, tracking, every node, one batch, disk space, time.

Checks that need the cluster are Ray tasks. They start before the driver opens the tracking, which does not wait for
them: one node check on every node, and on each kind of node that has room for a trial, a dry run of the most
expensive settings. If Ray runs only on this machine, a process started earlier can do the dry run.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from pydantic import TypeAdapter
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from search.check import Check
from search.cluster.capacity import Capacity, free_memory, limit_to_memory
from search.cluster.node_check import NodeReport, check_node
from search.plan.plan import Plan
from search.preflight.checks import (
    batch_check,
    computing_processes,
    disk_check,
    memory_check,
    nodes_check,
    precision_check,
    slowest_paces,
    storage_check,
    time_check,
)
from search.preflight.costliest import costliest_trial, random_draw
from search.preflight.forecast import Forecaster, TrialTimes
from search.redaction import redact
from search.startup.dry_run_process import DryRunProcess
from search.storage.sweep_folder import SweepFolder
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import open_tracker
from search.tracking.replay import Replay
from search.tracking.tracker import Tracker, check_uri
from trainable.errors import ConfigError
from trainable.preview.dry_run import DryRunResult, Pace, dry_run
from trainable.preview.source_rows import rows_that_fit, seconds_for_source
from trainable.store.files import temporary_folder

DRAWN = 128
"""Number of random trials that represent the trials of the sweep."""
FORECASTS = ("memory", "time")
"""Checks whose facts are printed even if there is no warning."""
TRIAL_BYTES = "trial_bytes"
"""User attribute of the study: the memory of a trial in bytes, as a dry run has measured it."""
PACES = "paces"
"""User attribute of the study: the pace of each stage, as the preflight of the first session has measured it."""
_PACES = TypeAdapter(dict[str, Pace])
NODE_SECONDS, BATCH_SECONDS = 60.0, 300.0
"""Longest time for a node's answer, and for a dry run with its wait for a free slot."""


class Preflight:
    """The checks that need the cluster; creating this object starts them.

    Args:
        plan: the experiment, its data prepared.
        storage: the folder of all sweeps; the driver can write to it.
        capacity: the slots and GPUs of the sweep.
        done: number of trials that have run already; if there are any, no dry run is needed.
        dry_run: the process that already does the dry run on this machine, if there is one.
        elapsed: seconds of the sweep's minutes that are used.
    """

    def __init__(
        self,
        plan: Plan,
        storage: Path,
        capacity: Capacity,
        done: int = 0,
        dry_run: DryRunProcess | None = None,
        elapsed: float = 0.0,
    ) -> None:
        self.plan, self.storage, self.capacity, self.done = plan, storage, capacity, done
        self._dry_run, self._elapsed = dry_run, elapsed
        self.trial_bytes = 0
        """Measured memory of a trial; 0 before `checks`, unless an earlier session has measured it."""
        self.paces: Mapping[str, Pace] = {}
        """Pace of each stage on the slowest node; empty before `checks`, unless an earlier session has measured it."""
        self._workspace = plan.workspace(storage)
        self._costliest, self._config = costliest_trial(plan, self._workspace)
        self._closing = ExitStack()
        self._folder = self._closing.enter_context(temporary_folder(storage.absolute()))
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._node_checks = {_name(n): self._begin_node_check(n["NodeID"]) for n in nodes}
        self._files = {_name(n): str(n["NodeID"]) for n in nodes}
        self._batches = {} if done or dry_run else self._begin_batches([n for n in nodes if self._has_room(n)])

    def _begin_node_check(self, node: str) -> Any:
        if node == ray.get_runtime_context().get_node_id():
            # A Ray task would use up a process that could run trials.
            return ray.put(check_node(str(self._folder), node))
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
        resources = node["Resources"]
        return bool(
            resources.get("CPU", 0) >= self.plan.settings.cpus_per_trial
            and resources.get("GPU", 0) >= self.capacity.gpus
        )

    def checks(self) -> list[Check]:
        """Wait for the answers and return every check, also those without errors.

        If the source stage would take too much of the sweep's minutes, `plan` then gives it fewer rows.
        """
        try:
            answers = self._answers(self._node_checks, NODE_SECONDS, str)
            nodes = {name: node for name, node in answers.items() if isinstance(node, NodeReport)}
            silent = {name: str(why) for name, why in answers.items() if not isinstance(why, NodeReport)}
            shared = storage_check(self.storage, self._folder, nodes, self._files)
        finally:
            self._closing.close()
        found = [nodes_check(silent, nodes), shared]
        if self.done:
            return [*found, self._disk_check(), *self._limit_to_memory({})]
        batches = self._dry_run_results()
        found += [precision_check(batches), batch_check(batches, self._costliest, self.capacity.gpus)]
        found += self._limit_to_memory(batches)
        slots = self.capacity.slots
        self.paces = slowest_paces(self.forecaster, batches, slots) or {}
        cut = self._cut_source()
        load = computing_processes() if len(self._files) == 1 else None
        return [*found, self._disk_check(), time_check(self.forecaster, batches, slots, load, self._elapsed, cut)]

    def _disk_check(self) -> Check:
        slots = self.capacity.slots
        trials = self.forecaster.fitting_trials(self.paces, slots, self._elapsed) if self.paces else None
        return disk_check(self.storage, self.forecaster, slots, self.done, trials)

    def _cut_source(self) -> str:
        """Give the source stage of the plan only the rows for which there is time; return a sentence if it has more."""
        minutes = self.plan.settings.minutes
        if minutes is None or not self.plan.leaves_source_rows_open() or "source" not in self.paces:
            return ""
        seconds = seconds_for_source(minutes)
        rows = rows_that_fit(self._config, self._workspace, self.paces["source"], seconds)
        if rows is None:
            return ""
        self.plan = replace(self.plan, source_rows=rows)
        self.forecaster = self._new_forecaster()
        return (
            f"source stages train on {rows} rows, about {seconds:.0f} s, as all rows would take more than a third of "
            "the minutes; trial.source.train_rows sets another number"
        )

    @cached_property
    def forecaster(self) -> Forecaster:
        """Return the forecaster of time and disk space."""
        return self._new_forecaster()

    def _new_forecaster(self) -> Forecaster:
        return Forecaster(self.plan, random_draw(self.plan, DRAWN), self._config, self._workspace)

    def _limit_to_memory(self, results: Mapping[str, DryRunResult | str]) -> list[Check]:
        """Reduce the slots of `capacity` to those that have room in memory; return a check if a trial was measured."""
        measured = [result.process_bytes for result in results.values() if isinstance(result, DryRunResult)]
        self.trial_bytes, slots = max([self.trial_bytes, *measured]), self.capacity.slots
        self.capacity = limit_to_memory(self.capacity, self.plan.settings, self.trial_bytes)
        if not self.trial_bytes:
            return []
        return [memory_check(self.trial_bytes, free_memory(), slots, self.capacity.slots)]

    def _dry_run_results(self) -> dict[str, DryRunResult | str]:
        """Return the results of the dry runs by the name of their node."""
        if self._dry_run is None:
            return self._answers(self._batches, BATCH_SECONDS, _failed_dry_run)
        (here,) = self._files
        return {here: self._dry_run.answer(BATCH_SECONDS)}

    def _answers(self, tasks: Mapping[str, Any], seconds: float, died: Callable[[str], Any]) -> dict[str, Any]:
        """Return the results of tasks by the name of their node, without nodes that have left the cluster meanwhile."""
        answers = {name: _answer(task, seconds, died) for name, task in tasks.items()}
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        return {name: answer for name, answer in answers.items() if self._files[name] in alive}


def run_preflight(
    plan: Plan,
    folder: SweepFolder,
    capacity: Capacity,
    study: SweepStudy,
    console: Console,
    dry_run: DryRunProcess | None = None,
    elapsed: float = 0.0,
) -> tuple[Plan, Tracker, TrialTimes | None]:
    """Make all checks, and open the tracking meanwhile.

    Args:
        plan: the experiment, its data prepared.
        folder: the sweep's folder.
        capacity: the slots and GPUs of the sweep.
        study: the study, with the trials that have run already.
        console: prints the forecasts, and warnings.
        dry_run: see `Preflight`.
        elapsed: see `Preflight`.

    Returns:
        The plan, where the source may have fewer rows; the sweep's tracker, which the caller closes; and the expected
        times of trials, if a batch was ever measured.

    Raises:
        ConfigError: with every reason why the sweep cannot run.
    """
    preflight = Preflight(plan, folder.storage, capacity, len(study.records), dry_run, elapsed)
    preflight.trial_bytes = study.user_attr(TRIAL_BYTES, 0)
    preflight.paces = _PACES.validate_python(study.user_attr(PACES, {}))
    replay = Replay(plan, study)
    with ExitStack() as closing:
        problems: list[str] = []
        try:
            tracker = closing.enter_context(open_tracker(plan, folder, study, replay))
        except ConfigError as error:
            problems += error.problems
        checks = preflight.checks()
        problems += [sentence for check in checks if check.state == "error" for sentence in check.sentences]
        if problems:
            raise ConfigError(problems)
        for check in checks:
            for sentence in check.sentences if check.name in FORECASTS else check.sentences[1:]:
                console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        study.set_user_attr(TRIAL_BYTES, preflight.trial_bytes)
        replay.plan = preflight.plan
        closing.pop_all()
        return preflight.plan, tracker, _trial_times(preflight, study)


def _trial_times(preflight: Preflight, study: SweepStudy) -> TrialTimes | None:
    """Return the expected times of trials by the measured paces, which the study keeps for later sessions."""
    if not preflight.paces:
        return None
    study.set_user_attr(PACES, _PACES.dump_python(dict(preflight.paces), mode="json"))
    return TrialTimes(preflight.forecaster, preflight.paces)


def tracking_check(plan: Plan, storage: Path) -> Check:
    """Check that the sweep's tracking answers."""
    uri = plan.tracking_uri(storage)
    try:
        check_uri(uri)
    except ConfigError as error:
        return Check("tracking", "error", error.problems)
    return Check("tracking", "ok", (f"{redact(uri)} answers",))


def _on(node: str, function: Any, num_cpus: float = 0, num_gpus: float = 0) -> Any:
    """Return the function as a Ray task that runs once, only on the node with this id."""
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(function)
    return task.options(num_cpus=num_cpus, num_gpus=num_gpus, scheduling_strategy=strategy, max_retries=0)


def _answer(task: Any, seconds: float, died: Callable[[str], Any] = str) -> Any:
    """Return the result of a task; a message if it is late; `died(reason)` if it fails."""
    ready, _ = ray.wait([task], timeout=seconds)
    if not ready:
        ray.cancel(task, force=True)
        return f"no answer in {seconds:.0f} s; perhaps no slot is free"
    try:
        return ray.get(task)
    except RayTaskError as error:
        return died(str(error).strip().splitlines()[-1])
    except RayError as error:
        return died(str(error).strip().splitlines()[0])


def _failed_dry_run(reason: str) -> DryRunResult:
    return DryRunResult("", problems=(reason,))


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def _kind(node: dict[str, Any]) -> tuple[object, ...]:
    """Return the properties of a node that matter to a trial: CPUs, GPUs and the kind of GPU."""
    resources = node["Resources"]
    kinds = sorted(name for name in resources if name.startswith("accelerator_type:"))
    return resources.get("CPU"), resources.get("GPU"), tuple(kinds)
