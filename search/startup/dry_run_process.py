"""A process of its own on this machine that tries the preflight's batch, then trains the first source stage.

It imports while the driver does, and computes while Ray and slots start. As a Ray task the batch would have to wait
for Ray and for the imports of a slot's process, and would use that one up: Ray makes no actor of a process that has
run a task. The source stage goes to trials as every one does, by the cache, see `search/startup/first_source.py`.
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
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from search.startup.garbage_collection import no_garbage_collection

if TYPE_CHECKING:  # the driver makes the process before it imports what takes long
    from search.plan.plan import Plan
    from trainable.preview.dry_run import DryRunResult
    from trainable.settings.config import TrialConfig

FIRST_SOURCE_SECONDS = 600
"""When a source stage ends that takes longer than any short one could, as where it hangs: trials wait for it."""


class DryRunProcess:
    """A process that imports what a rehearsal needs, and waits for one; a context manager that kills it."""

    def __init__(self) -> None:
        # The driver's own path: the folder it was started in may hold modules of the same names.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command, pipe = [sys.executable, "-P", "-m", "search.startup.dry_run_process"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError), self._process:  # what it was told may still wait to be read
            self._process.kill()

    def begin(self, plan: "Plan", storage: Path, costliest: "TrialConfig", on_gpu: bool) -> None:
        """Rehearse a trial; on CPUs train the source stage of the search's first one then.

        Args:
            plan: its data are prepared.
            storage: the folder of all sweeps.
            costliest: the plan's most expensive trial.
            on_gpu: whether trials have a GPU.
        """
        task = _task(plan, storage, costliest, on_gpu)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` says what it died of
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, seconds: float) -> "DryRunResult | str":
        """What came of the batch, or that it has not ended in so many seconds."""
        from trainable.preview.dry_run import DryRunResult

        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        if not select.select([stdout], [], [], seconds)[0]:
            return f"no answer in {seconds:.0f} s"
        if answer := stdout.readline():
            # Once it has ended: until somebody waits for it, the system keeps it as a zombie.
            threading.Thread(target=self._process.wait, name="dry-run", daemon=True).start()
            return TypeAdapter(DryRunResult).validate_json(answer)
        errors, code = stderr.read(), self._process.wait()
        if code < 0:
            reason = f"the process that tried a batch was ended by signal {-code}"
            return DryRunResult("", problems=(f"{reason}, as where memory runs out",))
        said = errors.decode(errors="replace").strip() or f"its process ended with {code}"
        return DryRunResult("", problems=(said.splitlines()[-1],))


def _task(plan: "Plan", storage: Path, costliest: "TrialConfig", on_gpu: bool) -> dict[str, object]:
    """What the process is to do, as JSON."""
    from trainable.workspace import Workspace

    # A GPU's memory is for its slots, and several workers train a source stage together.
    first = None if on_gpu or plan.settings.workers_per_trial > 1 else _first_trial(plan)
    return {
        "costliest": _as_json(costliest),
        "first": _as_json(first) if first and first.source else None,
        "workspace": TypeAdapter(Workspace).dump_python(plan.workspace(storage), mode="json"),
        "threads": plan.settings.threads,
        "on_gpu": on_gpu,
    }


def _first_trial(plan: "Plan") -> "TrialConfig | None":
    """The trial that the search begins with; another one where it knows an older sweep and begins with its sampler."""
    from search.propose.proposer import Proposer

    point = Proposer(plan.settings, plan.space).propose([])
    return plan.config(point.params) if point else None


def _as_json(config: "TrialConfig") -> object:
    return config.model_dump(mode="json", by_alias=True)


def _serve() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    with suppress(OSError):  # only Linux has it
        # Where memory runs out, this ends and not the driver.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with no_garbage_collection():
        from search.startup.first_source import train_first_source
        from trainable.preview.dry_run import DryRunResult, dry_run
        from trainable.settings.config import build_config
        from trainable.workspace import Workspace

    line = sys.stdin.readline()
    if not line:  # the driver has ended
        return
    task = json.loads(line)
    if not task["on_gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    workspace = TypeAdapter(Workspace).validate_python(task["workspace"])
    made = dry_run(build_config(task["costliest"]), workspace, task["threads"])
    with answers:
        answers.write(TypeAdapter(DryRunResult).dump_json(made) + b"\n")
    if task["first"] and "source" in made.paces and not made.problems:
        _continue_without_output()
        train_first_source(build_config(task["first"]), workspace, made.paces["source"])


def _continue_without_output() -> None:
    """Write to nobody, as nobody reads any more; end with the driver, or once this takes far too long."""
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
