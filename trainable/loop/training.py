"""One stage of fine-tuning: a plain loop that stops at every evaluation, can be saved there and resumed exactly."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from trainable.compute.memory import none_if_out_of_memory
from trainable.errors import TrialError
from trainable.inputs.batches import epoch_batches, evaluation_steps
from trainable.inputs.frozen_output import FrozenOutputStore
from trainable.inputs.frozen_output_check import FrozenOutputCheck
from trainable.inputs.split import Split
from trainable.loop.evaluate import predict, score
from trainable.loop.optimizers import build_optimizer, schedule_factor, set_learning_rate
from trainable.loop.steps import Steps
from trainable.model.encoder import freeze, train_mode
from trainable.model.views import first_token_alone, layers_between
from trainable.model.vocabulary import cut_embeddings
from trainable.progress import Progress, Report, Setting
from trainable.seeds import seed_of
from trainable.settings.stage import Stage
from trainable.tasks.metrics import is_better

CHECKED_STEPS = 3
"""Optimiser steps after which the stored output of frozen layers is compared with the model's own."""
HEARTBEAT_SECONDS = 20.0
"""Longest silence between two reports of a stage on one worker."""


class StageTraining:
    """Trains a model in place on one stage; its best weights, by validation, are in the model at the end."""

    def __init__(self, model: PreTrainedModel, train: Split, validation: Split, stage: Stage, setting: Setting) -> None:
        self.model, self.validation, self.stage, self.setting = model, validation, stage, setting
        torch.nn.Module.to(model, setting.device)
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])
        self.frozen = freeze(model, stage.frozen_layers)
        self._words = cut_embeddings(model, stage, train.inputs.used_ids(), validation.inputs.used_ids())
        self.trained: dict[str, torch.Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = build_optimizer(model, stage, setting.device)
        # What computes: of the model, what is read and not known.
        self.steps = Steps(first_token_alone(model), train, self.trained, self.optimizer, stage, setting)
        self.steps_per_epoch = -(-len(train.labels) // stage.batch_size)
        self.total = self.steps_per_epoch * stage.epochs
        self.progress = Progress(micro_batches=setting.micro_batches)
        self._best: dict[str, torch.Tensor] | None = None
        self._probe: FrozenOutputCheck | None = None
        self._unproven = 0

    def reuse_frozen_output(self, store: FrozenOutputStore) -> None:
        """Let the frozen layers' output be computed once; where that is not exact, the clock notes why."""
        if reason := self._begin_reuse(store):
            self.note_no_reuse(reason)

    def _begin_reuse(self, store: FrozenOutputStore) -> str:
        """Take the output from the store from here on; otherwise the reason why not."""
        count, setting = self.stage.frozen_layers, self.setting
        probe = none_if_out_of_memory(
            lambda: FrozenOutputCheck(self.model, self.frozen, self.steps.train.inputs, count, setting)
        )
        if probe is None:
            return "memory has no room for it"
        if probe.trained_below:
            return f"weights that train lie below it: {', '.join(probe.trained_below):.200}"
        train = store.get(self.model, self.steps.train, count)
        validation = store.get(self.model, self.validation, count) if isinstance(train, Split) else train
        if not isinstance(train, Split) or not isinstance(validation, Split):
            return str(validation)
        if not probe.matches(train.inputs):
            return "it depends on how far a text is padded"
        self._whole = self.steps.network, self.steps.train, self.validation
        self._probe, self._unproven = probe, CHECKED_STEPS
        self.steps.train, self.validation = train, validation
        self.steps.network = layers_between(self.steps.network, count)
        return ""

    def note_no_reuse(self, reason: str) -> None:
        """Let the clock note why the frozen layers' output is computed again and again."""
        self.setting.clock.note(f"{self.setting.name}: the frozen layers' output is not reused: {reason}")

    def _prove_frozen(self) -> None:
        """Go on without the stored output if the frozen layers no longer give it after one of the first steps.

        The steps up to here were exact: each began while they did.
        """
        assert self._probe is not None
        if none_if_out_of_memory(self._probe.is_unchanged):
            self._unproven -= 1
            return
        self._unproven = 0
        self.steps.network, self.steps.train, self.validation = self._whole
        self.note_no_reuse("it changes while the stage trains")

    def reports(self) -> Iterator[Report]:
        """Train from where the progress stands to the end, with a report after each evaluation.

        Raises:
            TrialError: if a loss is not a finite number.
        """
        for report in self.evaluations():
            if report.last:
                self.finish()
            yield report

    def evaluations(self) -> Iterator[Report]:
        """Like `reports`, but at the last report the model still holds the last weights, for callers that save them."""
        if self._ended():
            yield replace(self._report(self.progress.best_metrics), last=True)
            return
        shares = getattr(self.stage, "evaluate_at", ())
        stops = evaluation_steps(self.steps_per_epoch, self.stage.epochs, self.stage.evaluations_per_epoch, shares)
        for stop in (stop for stop in stops if stop > self.progress.step):
            yield from self._train_until(stop)
            report = self._evaluate()
            ended = self._ended()
            yield replace(report, last=ended)
            if ended:
                return

    def _ended(self) -> bool:
        """Whether all steps are done, or patience is at its end."""
        patience = self.stage.patience
        return self.progress.step >= self.total or (patience is not None and self.progress.stale >= patience)

    def _train_until(self, stop: int) -> Iterator[Report]:
        """Take optimiser steps up to and including number `stop`, with a sign of life where it takes long."""
        clock, name = self.setting.clock, f"{self.setting.name}.train"
        train_mode(self.steps.network, self.frozen)
        losses: list[torch.Tensor] = []
        spoken = time.monotonic()
        for step in range(self.progress.step, stop):
            with clock.part(name) as spent:
                set_learning_rate(self.optimizer, schedule_factor(step, self.steps_per_epoch, self.stage))
                late = time.monotonic() - spoken > HEARTBEAT_SECONDS
                loss, late = self.steps.take(self.progress, self._batch(step), spent, late)
                losses.append(loss)
                self.progress.step = step + 1
                if self._unproven:
                    self._prove_frozen()
                    train_mode(self.steps.network, self.frozen)
                if late or self.progress.step == stop:
                    self._take_losses(losses)
            if late and self.progress.step < stop:
                yield self._report({})
                train_mode(self.steps.network, self.frozen)
                spoken = time.monotonic()

    def _batch(self, step: int) -> NDArray[np.int64]:
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            seed = seed_of("batches", self.setting.seed, self.setting.name, epoch)
            self._epoch = (epoch, epoch_batches(self.steps.train.inputs.lengths, self.stage.batch_size, seed))
        return self._epoch[1][index]

    def _take_losses(self, losses: list[torch.Tensor]) -> None:
        """Add losses to the running mean and look whether all are numbers; one wait for the device."""
        if not losses:
            return
        values = torch.stack(losses).double().cpu()
        if not bool(torch.isfinite(values).all()):
            first = int((~torch.isfinite(values)).nonzero()[0])
            step = self.progress.step - len(losses) + first
            good = f"{float(values[first - 1]):.4g}" if first else "none since the last report"
            rate = self.stage.learning_rate * schedule_factor(step, self.steps_per_epoch, self.stage)
            raise TrialError(
                f"the {self.setting.name} loss is {float(values[first])} at step {step + 1} of {self.total}; "
                f"learning rate {rate:.3g}, last finite loss {good}"
            )
        self.progress.loss_sum += float(values.sum())
        self.progress.loss_steps += len(losses)
        losses.clear()

    def scores(self) -> dict[str, float]:
        """Every metric of the model as it is now, on the validation split."""
        setting = self.setting
        with setting.clock.part(f"{setting.name}.evaluate") as spent:
            inputs, device = self.validation.inputs, setting.device
            logits = predict(self.steps.network, inputs, device, setting.precision, setting.ranks, spent)
            return score(logits, self.validation.labels)[0]

    def _evaluate(self) -> Report:
        metrics = self.scores()
        value = metrics[self.setting.metric]
        if not np.isfinite(metrics["loss"]):
            raise TrialError(
                f"the {self.setting.name} validation loss is {metrics['loss']} after step {self.progress.step}"
            )
        progress = self.progress
        improved = is_better(value, progress.best, self.setting.metric)
        named = {f"{self.setting.name}.validation.{name}": number for name, number in metrics.items()}
        if improved:
            progress.best, progress.best_step, progress.best_metrics, progress.stale = value, progress.step, named, 0
            last = progress.step == self.total
            self._best = None if last else {name: p.detach().clone() for name, p in self.trained.items()}
        else:
            progress.stale += 1
        if progress.micro_batches > self.setting.micro_batches:
            named[f"{self.setting.name}.micro_batches"] = float(progress.micro_batches)
        named[f"{self.setting.name}.train.loss"] = progress.loss_sum / max(1, progress.loss_steps)
        progress.loss_sum, progress.loss_steps = 0.0, 0
        return self._report(named, improved)

    def _report(self, metrics: dict[str, float], improved: bool = False) -> Report:
        step = self.progress.step
        shares, clock = (step / self.total, step / self.steps_per_epoch), self.setting.clock
        return Report(self.setting.name, step, *shares, metrics, improved, times=clock.read(), notes=tuple(clock.notes))

    def finish(self) -> None:
        """Leave the best weights in the model, the whole vocabulary among them."""
        progress = self.progress
        if progress.best_step != progress.step and self._best is not None:
            with torch.no_grad():
                for name, tensor in self._best.items():
                    self.trained[name].copy_(tensor)
        if self._words is not None:
            name = next(name for name, parameter in self.trained.items() if parameter is self._words.weight)
            left = self._decayed(self._words.weight, progress.step if progress.best is None else progress.best_step)
            self.trained[name] = self._words.restore(self.model, left)
            self._words = None

    def _decayed(self, parameter: torch.Tensor, steps: int) -> float:
        """What weight decay leaves of a weight without gradient after some steps, as a factor."""
        group = next(g for g in self.optimizer.param_groups if any(p is parameter for p in g["params"]))
        decay = float(group["peak"] * group["weight_decay"])
        return math.prod(1 - decay * schedule_factor(step, self.steps_per_epoch, self.stage) for step in range(steps))

    def save(self, folder: Path) -> None:
        """Write what a resume needs, between two reports; no pickle."""
        save_file(_contiguous(self.trained), folder / "weights.safetensors")
        if self._best is not None and self.progress.best_step != self.progress.step:
            save_file(_contiguous(self._best), folder / "best.safetensors")
        state, names = self.optimizer.state_dict()["state"], self._optimized()
        flat = {f"{names[i]}:{key}": t for i, values in state.items() for key, t in values.items() if t is not None}
        save_file(_contiguous(flat), folder / "optimizer.safetensors")
        self.progress.write(folder)

    def load(self, folder: Path) -> None:
        """Go on from a folder that `save` wrote."""
        self.progress = Progress.read(folder)
        with torch.no_grad():
            for name, tensor in load_file(folder / "weights.safetensors").items():
                self.trained[name].copy_(tensor)
        best = folder / "best.safetensors"
        device = str(self.setting.device)
        if best.exists():
            self._best = load_file(best, device=device)
        elif self.progress.best_step == self.progress.step:
            self._best = {name: p.detach().clone() for name, p in self.trained.items()}
        state: dict[int, dict[str, Any]] = {}
        places = {name: place for place, name in enumerate(self._optimized())}
        for entry, tensor in load_file(folder / "optimizer.safetensors", device=device).items():
            name, _, key = entry.partition(":")
            state.setdefault(places[name], {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

    def _optimized(self) -> list[str]:
        """The parameters' names, in the order in which the optimiser numbers them."""
        names = {id(parameter): name for name, parameter in self.trained.items()}
        return [names[id(p)] for group in self.optimizer.param_groups for p in group["params"]]


def _contiguous(tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
