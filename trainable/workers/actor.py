"""The trial as Ray runs it: a Tune trainable whose actor is reused, alone or at the head of a Ray Train worker group.

With one worker the trial runs in the Tune actor itself: Python, torch, tokens and base weights are paid for once a
slot. With several, the actor keeps one `TorchTrainer` worker group alive over all its trials and sends it commands:
`run_trial`'s loop is the same on each rank, the first one talks, all hear the answers. No other file knows Ray.
"""

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import ray.train
import torch
import torch.distributed as dist
import transformers
from ray import tune
from ray.exceptions import RayError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.result import DONE, SHOULD_CHECKPOINT
from ray.util.queue import Empty, Queue

from trainable.checkpoint import best_value
from trainable.compute.device import Ranks, gpu_is_unusable
from trainable.errors import ConfigError, PeerDiedError, TrialError, disk_is_full, error_text
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.settings.values import Nested
from trainable.store.checksums import intact
from trainable.store.files import write_folder
from trainable.trial import Trial
from trainable.workers.messages import Resources, TrialFailure, TrialReport, TrialTask
from trainable.workers.runner import LocalRunner, Runner
from trainable.workspace import Workspace

IDLE_SECONDS = 7 * 24 * 3600
"""How long a worker group may wait for its next trial."""
START_AGAIN = "the trial starts again from its beginning"


class TuneTrial(tune.Trainable):
    """One trial at a time for Ray Tune; a step is the way from one report to the next.

    Its Tune config is a `TrialTask`, its results are `TrialReport`s or a `TrialFailure`.
    """

    def setup(  # type: ignore[override]  # the further arguments come from `tune.with_parameters`
        self, config: dict[str, Any], workspace: Workspace, workers: Resources
    ) -> None:
        """Prepare the slot; called once an actor."""
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._runner: Runner = (
            LocalRunner(workspace, workers) if workers.count == 1 else GroupRunner(workspace, workers)
        )
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial into the warm slot."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._task = TrialTask.of(config)
        self._metric = self._task.trial.get("metric", "macro_f1")
        self._resume = intact(Path(self._task.resume), START_AGAIN) if self._task.resume else None
        self._started = False
        self._saved = 0.0
        self._best = best_value(self._resume, self._metric)

    def step(self) -> dict[str, Any]:
        """Run to the next report. A trial that cannot go on ends here, with its `error`: only deaths are retried."""
        try:
            if not self._started:
                self._runner.start(self._task.trial, self._resume)
                self._started = True
            report = self._runner.next_report()
        except (PeerDiedError, RayError):
            raise
        except Exception as error:
            if gpu_is_unusable(error):
                _die(error)
            if disk_is_full(error):
                return TrialFailure(disk_is_full=True).to_result() | {DONE: True}
            # Whatever else it is, it would come again: the same settings on the same data.
            return TrialFailure(error_text(error)).to_result() | {DONE: True}
        said = self._in_trial(report)
        result = said.to_result() | {DONE: said.finished}
        due = said.of_target and self._time_total - self._saved > self._task.checkpoint_seconds
        if said.finished or due:
            self._saved = self._time_total
            result[SHOULD_CHECKPOINT] = True
        return result

    def _in_trial(self, report: Report) -> TrialReport:
        """What a stage's report means for the whole trial."""
        in_target = report.stage == "target"
        value = report.metrics.get(f"target.validation.{self._metric}")
        if value is not None and (report.improved or self._best is None):
            self._best = value
        return TrialReport(
            stage=report.stage,
            stage_step=report.step,
            epoch=report.epoch,
            share=report.progress if in_target else 0.0,
            progress=100 * report.progress if in_target and self._task.compare else 0.0,
            value=None if value is None else self._best,
            metrics=report.metrics,
            improved=report.improved and in_target,
            source_ready=report.stage == "source" and report.last,
            finished=in_target and report.last,
            times=report.times,
            notes=report.notes,
        )

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what is left here Ray copies, file by file, into a folder that others see grow."""

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Write a checkpoint that appears whole, where Ray has made room for it, before the one before goes."""
        saved = super().save(checkpoint_dir)
        if self._started:
            write_folder(Path(saved.checkpoint.path), self._runner.save)  # type: ignore[union-attr]  # there is one
        return saved

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a checkpoint after a death."""
        if (Path(checkpoint) / "trial.json").exists():
            self._resume = intact(Path(checkpoint), START_AGAIN)
            self._saved, self._best = self._time_total, best_value(self._resume, self._metric)
            self._started = False

    def cleanup(self) -> None:
        """Release the worker group."""
        self._runner.close()


def _die(error: Exception) -> NoReturn:
    """End this process, so that Tune takes the trial to a new one, from its last checkpoint; a death is retried."""
    print(f"this process ends, as its GPU can no longer be used: {error_text(error)}", file=sys.stderr, flush=True)
    os._exit(1)


class GroupRunner:
    """Trials over a Ray Train worker group that stays alive from trial to trial."""

    def __init__(self, workspace: Workspace, workers: Resources) -> None:
        self._workspace, self._workers = workspace, workers
        self._launch()

    def _launch(self) -> None:
        """Start the worker group and a thread that waits for its end."""
        options, workers = {"num_cpus": 0}, self._workers
        self._commands, self._replies = Queue(actor_options=options), Queue(actor_options=options)
        self._answered, self._broken = True, False
        trainer = TorchTrainer(
            work,
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

    def start(self, settings: Nested, resume: Path | None) -> None:
        """Begin a trial, giving up the one before."""
        if self._broken:
            self._thread.join()
            self._end_queues()
            self._launch()
        if not self._answered:
            self._commands.put(("stop", None))
        self._commands.put(("run", (settings, resume)))
        self._answered = True

    def next_report(self) -> Report:
        """Go on to the next report."""
        if not self._answered:
            self._commands.put(("go", None))
        content = self._reply()
        assert isinstance(content, Report)
        return content

    def save(self, folder: Path) -> None:
        """Write a checkpoint, between two reports; the first worker writes it, into a folder that all nodes share."""
        self._commands.put(("save", folder))
        self._reply()

    def _reply(self) -> Any:
        """What the workers say next; raises what ended their trial."""
        kind, content = self._next_reply()
        self._answered = kind in ("failed", "broken")
        self._broken = kind == "broken"
        if self._answered:
            raise content if isinstance(content, OSError) else TrialError(content)
        return content

    def _next_reply(self) -> tuple[str, Any]:
        while True:
            try:
                return self._replies.get(timeout=5)  # type: ignore[no-any-return]  # what `_run` puts there
            except Empty:
                if not self._thread.is_alive():
                    raise PeerDiedError("the trial's worker group died") from self._failure

    def close(self) -> None:
        """Let the worker group end by itself: a killed one would keep its placement group (ray issue 54305)."""
        if not self._answered:
            self._commands.put(("stop", None))
        self._commands.put(("quit", None))
        self._thread.join(timeout=60)
        self._end_queues()

    def _end_queues(self) -> None:
        self._commands.shutdown()
        self._replies.shutdown()


def work(config: dict[str, Any]) -> None:
    """What each rank of a worker group does: one trial after another, as commanded."""
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(config["threads"])
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    commands = _commands(config["commands"], ranks)
    for command, content in commands:
        if command == "quit":
            return
        if command == "run":
            settings, resume = content
            _run(settings, resume, config["workspace"], ranks, commands, config["replies"])


def _run(
    settings: Nested,
    resume: Path | None,
    workspace: Workspace,
    ranks: Ranks,
    commands: Iterator[tuple[str, Any]],
    replies: Queue,
) -> None:
    """One trial on one rank; the first rank talks, all ranks hear the answers."""
    leader = ranks.rank == 0
    try:
        trial = Trial(build_config(settings), workspace, resume, ranks)
        for report in trial.reports():
            if leader:
                replies.put(("report", report))
            for command, content in commands:
                if command == "save":
                    if leader:
                        trial.save(content)
                        replies.put(("saved", None))
                elif command == "go":
                    break
                else:
                    return
    except (TrialError, ConfigError) as error:  # settings or data: every rank meets it
        if leader:
            replies.put(("failed", str(error)))
    except PeerDiedError:
        raise
    except Exception as error:  # one rank's alone, perhaps, so that the group ends with it
        if not gpu_is_unusable(error):  # else a new group goes on with the trial
            replies.put(("broken", error if disk_is_full(error) else error_text(error)))
        raise


def _commands(queue: Queue, ranks: Ranks) -> Iterator[tuple[str, Any]]:
    """Commands from the Tune actor, the same on every rank."""
    while True:
        command: list[Any] = [queue.get() if ranks.rank == 0 else None]
        dist.broadcast_object_list(command)
        yield command[0]
