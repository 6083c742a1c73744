"""The preflight's batch in a process of its own on this machine.

It imports while the driver does, and trains while Ray starts. As a Ray task the batch would have to wait for Ray and
for the imports of a slot's process, and would use that one up: Ray makes no actor of a process that has run a task.
"""

import gc
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

if TYPE_CHECKING:  # the driver makes the process before it imports what takes long
    from search.plan import Plan
    from trainable.rehearsal import Rehearsal


class RehearsalProcess:
    """A process that imports what a rehearsal needs, and waits for one; a context manager that kills it."""

    def __init__(self) -> None:
        # The driver's own path: the folder it was started in may hold modules of the same names.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command, pipe = [sys.executable, "-P", "-m", "search.rehearsal_process"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError), self._process:  # what it was told may still wait to be read
            self._process.kill()

    def begin(self, plan: "Plan", storage: Path, on_gpu: bool) -> None:
        """Rehearse the plan's most expensive trial.

        Args:
            plan: its data are prepared.
            storage: the folder of all sweeps.
            on_gpu: whether trials have a GPU.
        """
        from search.corner import dearest_trial
        from trainable.workspace import Workspace

        workspace = plan.workspace(storage)
        _, config = dearest_trial(plan, workspace)
        task = {
            "config": config.model_dump(mode="json", by_alias=True),
            "workspace": TypeAdapter(Workspace).dump_python(workspace, mode="json"),
            "threads": plan.settings.threads,
            "on_gpu": on_gpu,
        }
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` says what it died of
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, seconds: float) -> "Rehearsal | str":
        """What came of it, or that it has not ended in so many seconds."""
        from trainable.rehearsal import Rehearsal

        try:
            answer, errors = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"no answer in {seconds:.0f} s"
        if self._process.returncode < 0:
            reason = f"the process that tried a batch was ended by signal {-self._process.returncode}"
            return Rehearsal("", problems=(f"{reason}, as where memory runs out",))
        if self._process.returncode:
            said = errors.decode(errors="replace").strip() or f"its process ended with {self._process.returncode}"
            return Rehearsal("", problems=(said.splitlines()[-1],))
        return TypeAdapter(Rehearsal).validate_json(answer)


def _serve() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this ends and not the driver
    gc.disable()  # imports make much, and nothing to collect
    from trainable.config import build_config
    from trainable.rehearsal import Rehearsal, rehearse
    from trainable.workspace import Workspace

    gc.enable()
    line = sys.stdin.readline()
    if not line:  # the driver has ended
        return
    task = json.loads(line)
    if not task["on_gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    workspace = TypeAdapter(Workspace).validate_python(task["workspace"])
    made = rehearse(build_config(task["config"]), workspace, task["threads"])
    with answers:
        answers.write(TypeAdapter(Rehearsal).dump_json(made))


if __name__ == "__main__":
    _serve()
