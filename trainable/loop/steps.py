"""What an optimiser step computes, from a batch's rows to the changed weights; where that wins, as a CUDA graph."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import PreTrainedModel

from trainable.clock import Part
from trainable.compute.forward import forward, on_device
from trainable.compute.graphs import LONGEST, Feed, StepGraphs
from trainable.compute.memory import more_parts, none_if_out_of_memory
from trainable.inputs.batches import PADDED_TO, parts_of
from trainable.inputs.split import Split
from trainable.loop.evaluate import ideal_seconds
from trainable.loop.optimizers import RECORDABLE, class_weights
from trainable.progress import Progress, Setting
from trainable.seeds import seed_of
from trainable.settings.stage import Stage


@dataclass
class Steps:
    """The optimiser steps of a stage.

    Args:
        network: what computes, in training mode.
        train: the split to train on.
        trained: the parameters that train, by name.
        optimizer: over the same ones.
        stage: batch size, clipping, weights of classes, label smoothing.
        setting: device, precision, seed and ranks.
    """

    network: PreTrainedModel
    train: Split
    trained: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    stage: Stage
    setting: Setting

    def __post_init__(self) -> None:
        self._weights = class_weights(self.train.labels, len(self.network.config.id2label or ()), self.stage)
        self._weights_there = self._weights.to(self.setting.device)
        alone, device = self.setting.ranks.size == 1, self.setting.device
        recordable = alone and device.type == "cuda" and self.stage.optimizer in RECORDABLE
        self._graphs = StepGraphs(device) if recordable else None

    def take(self, progress: Progress, rows: NDArray[np.int64], spent: Part, late: bool) -> tuple[torch.Tensor, bool]:
        """Take one step over the batch `rows`; where memory has no room, in more parts than before.

        Args:
            progress: says which step it is, and in how many parts; the parts may grow.
            rows: of the training split.
            spent: counts the tokens.
            late: whether a report is due.

        Returns:
            The batch's mean loss, a scalar on the device, and `late` as the first rank says it.

        Raises:
            TrialError: if memory has no room for a single row.
        """
        if (total := self._played(progress, rows, spent)) is not None:
            return total, late
        while True:
            total, late = self._accumulate(progress, rows, spent, late)
            if total is not None:
                self._update()
                return total, late
            parts = progress.micro_batches
            progress.micro_batches = more_parts(parts, len(rows), self.stage.batch_size, self.setting.name)

    def _played(self, progress: Progress, rows: NDArray[np.int64], spent: Part) -> torch.Tensor | None:
        """The loss of a step as a graph; none, and nothing done, where that cannot be or wins nothing."""
        if self._graphs is None or progress.micro_batches > 1:
            return None
        feed, graphs = self._feed(rows, self._weight(rows)), self._graphs
        if feed["attention_mask"].numel() * self._ideal > LONGEST:
            return None
        total = none_if_out_of_memory(lambda: graphs.run(self._whole, feed, self._dropout_seed(progress.step, 0)))
        if total is None:
            self._graphs = None  # memory was lacking, perhaps what they hold; or the network cannot be recorded
            self.optimizer.zero_grad()
            return None
        spent.count(feed["attention_mask"], self._ideal)
        return total

    def _whole(self, feed: Feed) -> torch.Tensor:
        """A whole step on the device, as a graph holds it."""
        loss = self._backward(feed)
        self._update()
        return loss

    def _accumulate(
        self, progress: Progress, rows: NDArray[np.int64], spent: Part, late: bool
    ) -> tuple[torch.Tensor | None, bool]:
        """The batch's loss, its gradients left in the parameters; none of either where a rank's memory had no room."""
        ranks = self.setting.ranks
        total = none_if_out_of_memory(lambda: self._add_up(progress, rows, spent))
        if total is None:
            self.optimizer.zero_grad()
        if ranks.size == 1:
            return total, late
        # Ranks stay in step: one that had no room takes part in the exchange, and tells the others by it. The
        # first rank tells when to report.
        flags = torch.tensor([total is None, late and ranks.rank == 0], dtype=torch.float32, device=self.setting.device)
        total = torch.zeros((), device=self.setting.device) if total is None else total
        ranks.sum_(total, flags, *self._gradients())
        lacking, late = (bool(flag) for flag in flags.tolist())
        if lacking:
            self.optimizer.zero_grad()
        return (None if lacking else total), late

    def _add_up(self, progress: Progress, rows: NDArray[np.int64], spent: Part) -> torch.Tensor:
        """Add up the gradients of this rank's parts of the batch; returns their share of the mean loss."""
        ranks, weight = self.setting.ranks, self._weight(rows)
        total = torch.zeros((), device=self.setting.device)
        for index, part in enumerate(parts_of(rows, progress.micro_batches)):
            if index % ranks.size != ranks.rank or not len(part):
                continue
            torch.manual_seed(self._dropout_seed(progress.step, index))
            feed = self._feed(part, weight)
            spent.count(feed["attention_mask"], self._ideal)
            total += self._backward(feed)
        return total

    def _dropout_seed(self, step: int, part: int) -> int:
        """Draws follow from the step and the part alone.

        A resume needs no generator's state, and it does not matter which worker computes which part.
        """
        return seed_of("dropout", self.setting.seed, self.setting.name, step, part)

    def _weight(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """What the labels of a batch weigh together, a scalar."""
        return self._weights[torch.from_numpy(self.train.labels[rows])].sum()

    def _feed(self, rows: NDArray[np.int64], weight: torch.Tensor) -> Feed:
        """What `_backward` takes, on the CPU; `weight` is that of all parts together."""
        batch = self.train.inputs.batch(rows, PADDED_TO[self.setting.device.type])
        return {**batch, "labels": torch.from_numpy(self.train.labels[rows]), "weight": weight}

    def _backward(self, feed: Feed) -> torch.Tensor:
        """Add the gradients of a part of a batch to those that are there; returns its share of the mean loss."""
        batch = on_device(feed, self.setting.device)
        labels, weight = batch.pop("labels"), batch.pop("weight")
        logits = forward(self.network, batch, self.setting.device, self.setting.precision)
        smoothing = self.stage.label_smoothing
        loss = functional.cross_entropy(logits, labels, self._weights_there, reduction="sum", label_smoothing=smoothing)
        loss = loss / weight
        loss.backward()
        return loss.detach()

    def _update(self) -> None:
        """Change the weights by the gradients that were added up."""
        if self.stage.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained.values(), self.stage.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _gradients(self) -> list[torch.Tensor]:
        """Gradients to exchange, the same list on every rank even where a rank had no part to compute."""
        for parameter in self.trained.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.trained.values() if parameter.grad is not None]

    @cached_property
    def _ideal(self) -> float:
        """Seconds of a token in a step, if all went at the device's peak."""
        return ideal_seconds(self.network, self.setting.device, self.setting.precision, trains=True)
