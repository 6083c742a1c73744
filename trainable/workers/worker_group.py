"""Runs trials on several workers: a Ray Train worker group that stays alive from trial to trial.

The Tune actor sends commands through one Ray queue and reads replies from another. The first rank takes each command
and broadcasts it to the other ranks, so that all ranks run the same loop.
"""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed as dist
import transformers
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue

from trainable.compute.device import Ranks, gpu_is_unusable
from trainable.deadline import NO_DEADLINE, Deadline
from trainable.errors import ConfigError, PeerDiedError, TrialError, disk_is_full, error_text
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.settings.values import Nested
from trainable.trial import Trial
from trainable.workers.messages import Resources
from trainable.workspace import Workspace

IDLE_SECONDS = 7 * 24 * 3600
"""Time that a worker group may wait for its next trial."""


class GroupRunner:
    """Runs one trial after another on a worker group, which is started again if it breaks."""

    def __init__(self, workspace: Workspace, workers: Resources) -> None:
        self._workspace, self._workers = workspace, workers
        self._launch()

    def _launch(self) -> None:
        """Start the worker group, and a thread that waits until it ends."""
        options, workers = {"num_cpus": 0}, self._workers
        self._commands, self._replies = Queue(actor_options=options), Queue(actor_options=options)
        self._trial_waits, self._broken = False, False
        trainer = TorchTrainer(
            run_worker,
            train_loop_config={
                "commands": self._commands,
                "replies": self._replies,
                "workspace": self._workspace,
                "threads": workers.threads,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.count,
                use_gpu=workers.gpus > 0,
                resources_per_worker={"CPU": workers.cpus, **({"GPU": workers.gpus} if workers.gpus else {})},
            ),
            torch_config=TorchConfig(timeout_s=IDLE_SECONDS),
            run_config=ray.train.RunConfig(
                storage_path=str(self._workspace.cache / "scratch"), name=f"group-{uuid.uuid4().hex[:8]}"
            ),
        )
        self._failure: ray.train.TrainingFailedError | None = None
        self._thread = threading.Thread(target=self._fit, args=(trainer,), daemon=True)
        self._thread.start()

    def _fit(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            self._failure = error

    def start(self, settings: Nested, resume: Path | None, deadline: Deadline = NO_DEADLINE) -> None:
        """Begin a trial; the trial before ends, finished or not."""
        if self._broken:
            self._thread.join()
            self._end_queues()
            self._launch()
        if self._trial_waits:
            self._commands.put(("stop", None))
        self._commands.put(("run", (settings, resume, deadline)))
        self._trial_waits = False

    def next_report(self) -> Report:
        """Train to the next report and return it."""
        if self._trial_waits:
            self._commands.put(("go", None))
        content = self._reply()
        assert isinstance(content, Report)
        return content

    def save(self, folder: Path, ends: bool = False) -> None:
        """Write a checkpoint between two reports; the model with the best weights so far if the trial `ends`.

        The first worker writes it to a folder that all nodes share.
        """
        self._commands.put(("save", (folder, ends)))
        self._reply()

    def _reply(self) -> Any:
        """Return the content of the workers' next reply; raise the error that ended their trial."""
        kind, content = self._next_reply()
        self._trial_waits = kind not in ("failed", "broken")
        self._broken = kind == "broken"
        if not self._trial_waits:
            raise content if isinstance(content, OSError) else TrialError(content)
        return content

    def _next_reply(self) -> tuple[str, Any]:
        while True:
            try:
                return self._replies.get(timeout=5)  # type: ignore[no-any-return]  # what `_run_trial` puts there
            except Empty:
                if not self._thread.is_alive():
                    raise PeerDiedError("the trial's worker group died") from self._failure

    def close(self) -> None:
        """Let the worker group end by itself: a killed one would keep its placement group (ray issue 54305)."""
        if self._trial_waits:
            self._commands.put(("stop", None))
        self._commands.put(("quit", None))
        self._thread.join(timeout=60)
        self._end_queues()

    def _end_queues(self) -> None:
        self._commands.shutdown()
        self._replies.shutdown()


def run_worker(config: dict[str, Any]) -> None:
    """Run one trial after another on one rank of the worker group, until the command `quit`."""
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(config["threads"])
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    commands = _broadcast_commands(config["commands"], ranks)
    for command, content in commands:
        if command == "quit":
            return
        if command == "run":
            settings, resume, deadline = content
            _run_trial(settings, resume, deadline, config["workspace"], ranks, commands, config["replies"])


def _run_trial(
    settings: Nested,
    resume: Path | None,
    deadline: Deadline,
    workspace: Workspace,
    ranks: Ranks,
    commands: Iterator[tuple[str, Any]],
    replies: Queue,
) -> None:
    """Run one trial on one rank; the first rank sends the reports, any rank an error of its own."""
    is_first = ranks.rank == 0
    try:
        trial = Trial(build_config(settings), workspace, resume, ranks, deadline)
        for report in trial.reports():
            if is_first:
                replies.put(("report", report))
            for command, content in commands:
                if command == "save":
                    folder, ends = content
                    if ends:
                        trial.end()
                    if is_first:
                        trial.save(folder)
                        replies.put(("saved", None))
                elif command == "go":
                    break
                else:
                    return
    except (TrialError, ConfigError) as error:  # wrong settings or data: it occurs on every rank
        if is_first:
            replies.put(("failed", str(error)))
    except PeerDiedError:
        raise
    except Exception as error:  # maybe on one rank only, so the whole group ends
        if not gpu_is_unusable(error):  # else Tune continues the trial with a new group
            replies.put(("broken", error if disk_is_full(error) else error_text(error)))
        raise


def _broadcast_commands(queue: Queue, ranks: Ranks) -> Iterator[tuple[str, Any]]:
    """Yield the Tune actor's commands: the first rank takes them from the queue and sends them to all ranks."""
    while True:
        command: list[Any] = [queue.get() if ranks.rank == 0 else None]
        dist.broadcast_object_list(command)
        yield command[0]
