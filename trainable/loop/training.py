"""One stage of fine-tuning: a plain loop that reports each evaluation, where it can be saved and resumed exactly."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from trainable.errors import TrialError
from trainable.inputs.batches import epoch_batches
from trainable.inputs.frozen_output import FrozenOutputStore
from trainable.inputs.split import Split
from trainable.loop.evaluate import compute_logits
from trainable.loop.evaluation_steps import evaluation_steps
from trainable.loop.frozen_reuse import FrozenReuse
from trainable.loop.optimizer_file import contiguous, load_optimizer, save_optimizer
from trainable.loop.optimizers import build_optimizer, decay_factor, schedule_factor, set_learning_rate
from trainable.loop.output_scale import checked_scale, chosen_cut, in_label_units, put_scale_in, validation_scores
from trainable.loop.steps import Steps
from trainable.loop.unfreezing import Unfreezing
from trainable.loop.use_cost import use_cost
from trainable.metrics.metric import is_better
from trainable.model.freezing import train_mode
from trainable.model.stage_weights import StageWeights
from trainable.model.views import first_token_alone
from trainable.progress import Progress, Report, StageContext, with_zero_shot
from trainable.seeds import seed_of
from trainable.settings.stage import Stage, Target
from trainable.tasks.task import NO_SCALE

HEARTBEAT_SECONDS = 20.0
"""Longest time between two reports of a stage on one worker."""


class StageTraining:
    """Trains a model in place on one stage; at the end the model holds the weights with the best validation score."""

    def __init__(
        self, model: PreTrainedModel, train: Split, validation: Split, stage: Stage, context: StageContext
    ) -> None:
        self.model, self.validation, self.stage, self.context = model, validation, stage, context
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])
        # The order of the next lines matters, as each one uses the model as the lines before have left it.
        torch.nn.Module.to(model, context.device)
        costs = use_cost(model, validation.inputs, stage, context) if isinstance(stage, Target) else {}
        self._use_cost = {f"{context.name}.{name}": cost for name, cost in costs.items()}
        used = train.inputs.used_ids(), validation.inputs.used_ids()
        self._weights = StageWeights(model, stage, context.seed, *used)
        self.frozen, self.trained = self._weights.frozen, self._weights.trained
        self.optimizer = build_optimizer(model, stage, context.device)
        # A view copies the references to submodules, so the weights must have been prepared before.
        self.steps = Steps(first_token_alone(model), train, self.trained, self.optimizer, stage, context)
        self.reuse = FrozenReuse(model, self.frozen, self.steps)
        self.steps_per_epoch = -(-len(train.labels) // stage.batch_size)
        self.total = self.steps_per_epoch * stage.epochs
        self._unfreezing = Unfreezing(model, stage, self.total, self.trained, self.frozen)
        self._is_scored = not isinstance(stage, Target) or stage.fold is not None
        self.output_scale = checked_scale(context.task.output_scale(train.labels), model, stage)
        self.progress = Progress(micro_batches=context.micro_batches)
        self.before_evaluation: Callable[[], None] | None = None  # but the one at the start
        self._best: dict[str, torch.Tensor] | None = None
        self._evaluations, self._has_scale = 0, False

    def reuse_frozen_output(self, store: FrozenOutputStore) -> None:
        """Compute the frozen layers' output only once; if that is not exact, add the reason to the clock's notes."""
        self.validation = self.reuse.begin(store, self.validation)

    def reports(self) -> Iterator[Report]:
        """Train from the current step to the end or the deadline, with a report after each evaluation.

        The last report has `last`; after a deadline it has `cut`. In both cases the best weights are in the model.

        Raises:
            TrialError: if a loss is not a finite number.
        """
        for report in self.evaluations():
            if report.cut and not report.metrics:
                report = replace(self._evaluate(), cut=True)
            if report.last or report.cut:
                self.finish()
            yield report

    def evaluations(self) -> Iterator[Report]:
        """Yield the same reports with the last weights in the model; at the deadline without an evaluation."""
        if self._ended():
            yield replace(self._report(self.progress.best_metrics), last=True)
            return
        stops = evaluation_steps(self.stage, len(self.steps.train.labels), len(self.validation.labels))
        for stop in (stop for stop in stops if stop > self.progress.step):
            yield from self._train_until(stop)
            report = self._evaluate() if self.progress.step == stop else self._report({})
            ended = self._ended()
            cut = not ended and self._out_of_time()
            yield replace(report, last=ended, cut=cut)
            if ended or cut:
                return

    def _ended(self) -> bool:
        """Return whether all steps are done, or the last `patience` evaluations brought no gain."""
        patience = self.stage.patience
        return self.progress.step >= self.total or (patience is not None and self.progress.stale >= patience)

    def _out_of_time(self) -> bool:
        """Return whether the first rank has no time for another step before the evaluation at the deadline."""
        return self.context.deadline.at < math.inf and self.context.ranks.broadcast_flag(self._time_is_up())

    def _time_is_up(self) -> bool:
        """Return whether an evaluation of the usual duration would end after the deadline."""
        part = self.context.clock.parts.get(f"{self.context.name}.evaluate")
        return self.context.deadline.left() <= (part.seconds / self._evaluations if part and self._evaluations else 0.0)

    def _train_until(self, stop: int) -> Iterator[Report]:
        """Take optimiser steps up to number `stop`, or to the deadline, with a heartbeat every `HEARTBEAT_SECONDS`."""
        clock, name = self.context.clock, f"{self.context.name}.train"
        self._train_mode()
        losses: list[torch.Tensor] = []
        last_report = time.monotonic()
        for step in range(self.progress.step, stop):
            with clock.part(name) as spent:
                self._unfreeze(step)
                set_learning_rate(self.optimizer, schedule_factor(step, self.steps_per_epoch, self.stage))
                due = time.monotonic() - last_report > HEARTBEAT_SECONDS or self._time_is_up()
                loss, due = self.steps.take(self.progress, self._batch(step), spent, due)
                losses.append(loss)
                self.progress.step = step + 1
                if self.reuse.checks_left:
                    self.validation = self.reuse.check(self.validation)
                    self._train_mode()
                if due or self.progress.step == stop:
                    self._add_losses(losses)
            if due and self.progress.step < stop:
                if self._out_of_time():
                    return
                yield self._report({})
                self._train_mode()
                last_report = time.monotonic()

    def _train_mode(self) -> None:
        train_mode(self.steps.network, self._unfreezing.frozen)

    def _unfreeze(self, step: int) -> None:
        """Let the layers train that begin to train at a step."""
        if self._unfreezing.begin(step, self.steps.network):
            self.steps.begin_anew()
            self.reuse.check_next_steps()
            self._train_mode()

    def _batch(self, step: int) -> NDArray[np.int64]:
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            seed = seed_of("batches", self.context.seed, self.context.name, epoch)
            self._epoch = (epoch, epoch_batches(self.steps.train.inputs.lengths, self.stage.batch_size, seed))
        return self._epoch[1][index]

    def _add_losses(self, losses: list[torch.Tensor]) -> None:
        """Add losses to the running mean and check that all are finite; this waits for the device once."""
        if not losses:
            return
        values = torch.stack(losses).double().cpu()
        if not bool(torch.isfinite(values).all()):
            first = int((~torch.isfinite(values)).nonzero()[0])
            step = self.progress.step - len(losses) + first
            good = f"{float(values[first - 1]):.4g}" if first else "none since the last report"
            rate = self.stage.learning_rate * schedule_factor(step, self.steps_per_epoch, self.stage)
            raise TrialError(
                f"the {self.context.name} loss is {float(values[first])} at step {step + 1} of {self.total}; "
                f"learning rate {rate:.3g}, last finite loss {good}"
            )
        self.progress.loss_sum += float(values.sum())
        self.progress.loss_steps += len(losses)
        losses.clear()

    def scores(self) -> dict[str, float]:
        """Return every metric of the current model on the validation split."""
        context, inputs = self.context, self.validation.inputs
        self._evaluations += 1
        with context.clock.part(f"{context.name}.evaluate") as spent:
            logits = compute_logits(self.steps.network, inputs, context.device, context.precision, context.ranks, spent)
            outputs = in_label_units(logits, self.output_scale)
            return validation_scores(outputs, self.validation.labels, context, self.stage, self.model)

    def evaluate_start(self, zero_shot: bool) -> Report:
        """Evaluate before the first step: these weights are the best so far, and stay so if training makes them worse.

        With `zero_shot`, if no target row has been trained on, the report also has each validation score as
        `target.zero_shot.METRIC`, which later evaluations do not replace.
        """
        report = self._evaluate()
        if not zero_shot:
            return report
        scores = with_zero_shot(report.metrics, self.context.name) | self._use_cost
        if report.improved:
            self.progress.best_metrics = scores
        return replace(report, metrics=scores)

    def _evaluate(self) -> Report:
        """Score the validation split and keep the best weights; if it is trained on, its scores would say nothing."""
        name, progress = self.context.name, self.progress
        if self.before_evaluation and progress.step:
            self.before_evaluation()
        if not self._is_scored:
            return self._report({f"{name}.train.loss": progress.take_mean_loss()})
        metrics = self.scores()
        value = metrics[self.context.metric]
        if not np.isfinite(metrics["loss"]):
            raise TrialError(f"the {name} validation loss is {metrics['loss']} after step {progress.step}")
        improved = not self.stage.keeps_best or is_better(value, progress.best, self.context.metric)
        named = {f"{name}.validation.{metric}": number for metric, number in metrics.items()}
        if improved:
            progress.best, progress.best_step, progress.best_metrics, progress.stale = value, progress.step, named, 0
            kept = self.stage.keeps_best and progress.step < self.total
            self._best = {name: p.detach().clone() for name, p in self.trained.items()} if kept else None
        else:
            progress.stale += 1
        if progress.micro_batches > self.context.micro_batches:
            named[f"{name}.micro_batches"] = float(progress.micro_batches)
        named |= {
            f"{name}.train.loss": progress.take_mean_loss(),
            f"{name}.trained_weights": float(self._weights.count),
            **self._use_cost,
        }
        return self._report(named, improved)

    def _report(self, metrics: dict[str, float], improved: bool = False) -> Report:
        step, clock = self.progress.step, self.context.clock
        shares = step / self.total, step / self.steps_per_epoch
        return Report(self.context.name, step, *shares, metrics, improved, times=clock.read(), notes=tuple(clock.notes))

    def finish(self) -> None:
        """Put the best weights and the scale into the model, in the form in which it was built; no step may follow."""
        progress = self.progress
        if progress.best_step != progress.step and self._best is not None:
            with torch.no_grad():
                for name, tensor in self._best.items():
                    self.trained[name].copy_(tensor)
        steps = range(progress.step if progress.best is None else progress.best_step)
        # The embeddings train where no layer is frozen; only then does weight decay change their rows.
        decays = (step for step in steps if not self._unfreezing.frozen_layers(step))
        factors = (schedule_factor(step, self.steps_per_epoch, self.stage) for step in decays)
        self.trained = self._weights.restore(lambda weight: decay_factor(self.optimizer, weight, factors))
        chosen = None if self._has_scale else chosen_cut(progress.best_metrics, self.context, self.stage)
        put_scale_in(self.model, self.output_scale, chosen)
        self._has_scale, self.output_scale = True, NO_SCALE  # a resumed trial may end twice

    def save(self, folder: Path) -> None:
        """Write everything a resume needs, without pickle; may be called between two reports."""
        save_file(contiguous(self.trained), folder / "weights.safetensors")
        if self._best is not None and self.progress.best_step != self.progress.step:
            save_file(contiguous(self._best), folder / "best.safetensors")
        save_optimizer(self.optimizer, self.trained, folder)
        self.progress.write(folder)

    def load(self, folder: Path) -> None:
        """Continue from a folder that `save` wrote."""
        self.progress = Progress.read(folder)
        with torch.no_grad():
            for name, tensor in load_file(folder / "weights.safetensors").items():
                self.trained[name].copy_(tensor)
        best = folder / "best.safetensors"
        if best.exists():
            self._best = load_file(best, device=str(self.context.device))
        elif self.progress.best_step == self.progress.step:
            self._best = {name: p.detach().clone() for name, p in self.trained.items()}
        load_optimizer(self.optimizer, self.trained, folder, str(self.context.device))
