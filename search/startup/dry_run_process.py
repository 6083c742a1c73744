"""A separate process on this machine: it does the dry run, then the baselines, then the first source stage.

It imports while the driver imports, and computes while Ray and slots start. As a Ray task the dry run would wait for
Ray and for the imports of a slot's process. No trial could use that process afterwards, because Ray makes no actor of
a process that has run a task. Trials find the source stage in the cache, see `search/startup/first_source.py`.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import TypeAdapter

from search.startup.garbage_collection import no_garbage_collection

if TYPE_CHECKING:  # the driver starts this process before its own slow imports
    from search.plan.plan import Plan
    from trainable.baselines.results import BaselineFolder
    from trainable.preview.dry_run import DryRunResult
    from trainable.settings.config import TrialConfig

FIRST_SOURCE_SECONDS = 600
"""The process ends a source stage that takes longer: it probably hangs, and trials wait for it."""


class BaselineTask(NamedTuple):
    """The baselines to compute after the dry run."""

    trial: "TrialConfig"
    """The settings from which they take encoder, data and padding."""
    folder: "BaselineFolder"


class DryRunProcess:
    """A process that imports the code of a dry run and waits for a task; leaving its context kills it."""

    def __init__(self) -> None:
        # Use the driver's own path, as the current folder may hold modules of the same names.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command, pipe = [sys.executable, "-P", "-m", "search.startup.dry_run_process"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Kill the process, and wait until it writes no more files."""
        with suppress(BrokenPipeError), self._process:  # the pipe may still hold an unread task
            self._process.kill()

    @property
    def running(self) -> bool:
        """Return whether the process has not ended yet."""
        return self._process.poll() is None

    def begin(
        self,
        plan: "Plan",
        storage: Path,
        costliest: "TrialConfig",
        on_gpu: bool,
        baselines: BaselineTask | None = None,
    ) -> None:
        """Start the dry run of a trial; if it succeeds, the process then computes the baselines of the sweep.

        After them, on CPUs, it trains the source stage of the search's first trial.

        Args:
            plan: the experiment, its data prepared.
            storage: the folder of all sweeps.
            costliest: the plan's most expensive trial.
            on_gpu: whether trials use a GPU.
            baselines: the baselines; None means that none are computed.
        """
        task = _task(plan, storage, costliest, on_gpu, baselines)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` reports why the process has died
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, seconds: float) -> "DryRunResult | str":
        """Return the result of the dry run, or the message that it has not ended within so many seconds."""
        from trainable.preview.dry_run import DryRunResult

        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        if not select.select([stdout], [], [], seconds)[0]:
            return f"no answer in {seconds:.0f} s"
        if answer := stdout.readline():
            # Until something waits for an ended process, the system keeps it as a zombie.
            threading.Thread(target=self._process.wait, name="dry-run", daemon=True).start()
            return TypeAdapter(DryRunResult).validate_json(answer)
        errors, code = stderr.read(), self._process.wait()
        if code < 0:
            reason = f"signal {-code} ended the process of the dry run"
            return DryRunResult("", problems=(f"{reason}; memory may have run out",))
        message = errors.decode(errors="replace").strip() or f"its process ended with {code}"
        return DryRunResult("", problems=(message.splitlines()[-1],))


def _task(
    plan: "Plan", storage: Path, costliest: "TrialConfig", on_gpu: bool, baselines: BaselineTask | None = None
) -> dict[str, object]:
    """Return the task of the process, as values for JSON."""
    from trainable.preview.source_rows import seconds_for_source
    from trainable.workspace import Workspace

    # A GPU's memory is left to its slots, and several workers would train a source stage together.
    first = None if on_gpu or plan.settings.workers_per_trial > 1 else _first_trial(plan)
    return {
        "costliest": _as_json(costliest),
        "first": _as_json(first) if first and first.source_stages() else None,
        "workspace": TypeAdapter(Workspace).dump_python(plan.workspace(storage), mode="json"),
        "baselines": baselines
        and {
            "trial": _as_json(baselines.trial),
            "folder": str(baselines.folder.path.absolute()),
            "folds": plan.folds,
            "refit": plan.refits,
        },
        "threads": plan.settings.threads,
        "on_gpu": on_gpu,
        "source_seconds": plan.settings.minutes and seconds_for_source(plan.settings.minutes),
        "cuts_source": plan.leaves_source_rows_open(),
    }


def _first_trial(plan: "Plan") -> "TrialConfig | None":
    """Return the first trial of the search; a search with trials of an older sweep may begin with another one."""
    from search.propose.proposer import Proposer

    point = Proposer(plan.settings, plan.space).propose([])
    return plan.config(point.params) if point else None


def _as_json(config: "TrialConfig") -> object:
    return config.model_dump(mode="json", by_alias=True)


def _serve() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of libraries must not mix with the answer
    with suppress(OSError):  # only Linux has this file
        # If memory runs out, the system ends this process and not the driver.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with no_garbage_collection():
        from search.startup.first_source import SHORT_SECONDS, train_first_sources
        from trainable.baselines.compute import compute_baselines
        from trainable.baselines.results import BaselineFolder
        from trainable.preview.dry_run import DryRunResult, dry_run
        from trainable.preview.source_rows import rows_that_fit
        from trainable.settings.config import build_config
        from trainable.workspace import Workspace

    line = sys.stdin.readline()
    if not line:  # the driver has ended
        return
    task = json.loads(line)
    if not task["on_gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    workspace = TypeAdapter(Workspace).validate_python(task["workspace"])
    costliest = build_config(task["costliest"])
    result = dry_run(costliest, workspace, task["threads"])
    with answers:
        answers.write(TypeAdapter(DryRunResult).dump_json(result) + b"\n")
    if result.problems:
        return
    _continue_without_output()
    if asked := task["baselines"]:
        trial, folder = build_config(asked["trial"]), BaselineFolder(Path(asked["folder"]))
        compute_baselines(trial, workspace, folder, asked["folds"], asked["refit"])
    if task["first"]:
        first, paces, seconds = build_config(task["first"]), result.paces, task["source_seconds"] or SHORT_SECONDS
        if not paces.keys() >= first.source_stages().keys():  # a condition left a stage out of the dry run
            return
        if task["cuts_source"] and (rows := rows_that_fit(costliest, workspace, paces["source"], seconds)):
            first = build_config(task["first"], {"source.train_rows": rows})
        train_first_sources(first, workspace, paces, min(SHORT_SECONDS, seconds))


def _continue_without_output() -> None:
    """Discard all output, as the driver reads no more; end with the driver, or after `FIRST_SOURCE_SECONDS`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    signal.alarm(FIRST_SOURCE_SECONDS)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve()
