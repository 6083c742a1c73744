"""An optimiser step, from the rows of a batch to the changed weights; as a CUDA graph where that is faster."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from trainable.clock import Part
from trainable.compute.device import seed_draws
from trainable.compute.forward import forward, on_device, real_tokens
from trainable.compute.graphs import LONGEST, Feed, StepGraphs
from trainable.compute.memory import more_parts, none_if_out_of_memory
from trainable.inputs.batches import PADDED_TO, parts_of
from trainable.inputs.split import Split, has_several_sequences
from trainable.loop.contrastive import contrastive_loss
from trainable.loop.evaluate import ideal_seconds
from trainable.loop.optimizers import RECORDABLE
from trainable.model.head_input import HeadInput
from trainable.progress import Progress, StageContext
from trainable.seeds import seed_of
from trainable.settings.stage import Stage, Target


@dataclass
class Steps:
    """The optimiser steps of a stage.

    Args:
        network: the model, or a view of it, that computes; in training mode.
        train: the split to train on.
        trained: the parameters that train, by name.
        optimizer: the optimiser of the same parameters.
        stage: batch size, gradient clipping, class weights, label smoothing.
        context: device, precision, seed and ranks.
    """

    network: PreTrainedModel
    train: Split
    trained: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    stage: Stage
    context: StageContext

    def __post_init__(self) -> None:
        self._contrasts = isinstance(self.stage, Target) and self.stage.objective == "contrastive"
        context, names = self.context, tuple((self.network.config.id2label or {}).values())
        self._loss = context.task.loss(self.train.labels, context.task.head(names), self.stage, context.device)
        alone, device = context.ranks.size == 1, context.device
        # Else each batch might have another shape.
        fixed = not (self.train.inputs.varies or has_several_sequences(self.train.inputs))
        recordable = alone and fixed and device.type == "cuda" and self.stage.optimizer in RECORDABLE
        self._graphs = StepGraphs(device) if recordable else None

    def use(self, network: PreTrainedModel, train: Split) -> None:
        """Take the next steps with another view of the model and the same rows as that view takes them."""
        self.network, self.train = network, train
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what depends on the network and on the weights that train: recorded graphs and the ideal time."""
        self._graphs = None if self._graphs is None else StepGraphs(self.context.device)
        self.__dict__.pop("_ideal", None)

    def take(self, progress: Progress, rows: NDArray[np.int64], spent: Part, due: bool) -> tuple[torch.Tensor, bool]:
        """Take one step over the batch `rows`; if memory has no room, cut the batch into more parts.

        Args:
            progress: the number of the step, and the parts of a batch; the parts may increase.
            rows: row numbers of the training split.
            spent: counts the tokens.
            due: whether a report is due on this rank.

        Returns:
            The mean loss of the batch, a scalar on the device, and the first rank's `due`.

        Raises:
            TrialError: if memory has no room for a single row.
        """
        if (total := self._graph_step(progress, rows, spent)) is not None:
            return total, due
        while True:
            total, due = self._compute_gradients(progress, rows, spent, due)
            if total is not None:
                self._update()
                return total, due
            parts = progress.micro_batches
            progress.micro_batches = more_parts(parts, len(rows), self.stage.batch_size, self.context.name)

    def _graph_step(self, progress: Progress, rows: NDArray[np.int64], spent: Part) -> torch.Tensor | None:
        """Take a step as a graph and return its loss; None, with nothing done, if that is impossible or not faster."""
        if self._graphs is None or progress.micro_batches > 1:
            return None
        feed, graphs = self._feed(progress.step, rows, self._weight(progress.step, rows)), self._graphs
        if real_tokens(feed).numel() * self._ideal > LONGEST:
            return None
        total = none_if_out_of_memory(
            lambda: graphs.run(self._step_on_device, feed, self._dropout_seed(progress.step, 0))
        )
        if total is None:
            self._graphs = None  # out of memory, perhaps because of the graphs; or the network cannot be recorded
            self.optimizer.zero_grad()
            return None
        spent.count(real_tokens(feed), self._ideal)
        return total

    def _step_on_device(self, feed: Feed) -> torch.Tensor:
        """Take the part of a step that a graph records: forward, backward and update."""
        loss = self._backward(feed)
        self._update()
        return loss

    def _compute_gradients(
        self, progress: Progress, rows: NDArray[np.int64], spent: Part, due: bool
    ) -> tuple[torch.Tensor | None, bool]:
        """Leave a batch's gradients in the parameters and return its loss; None if a rank's memory had no room."""
        ranks = self.context.ranks
        total = none_if_out_of_memory(lambda: self._add_parts(progress, rows, spent))
        if total is None:
            self.optimizer.zero_grad()
        if ranks.size == 1:
            return total, due
        # Every rank takes part in this exchange, even one that had no room, so that all take the same steps. It also
        # tells all ranks whether one had no room, and whether the first rank has a report due.
        flags = torch.tensor([total is None, due and ranks.rank == 0], dtype=torch.float32, device=self.context.device)
        total = torch.zeros((), device=self.context.device) if total is None else total
        ranks.sum_(total, flags, *self._gradients())
        lacking, due = (bool(flag) for flag in flags.tolist())
        if lacking:
            self.optimizer.zero_grad()
        return (None if lacking else total), due

    def _add_parts(self, progress: Progress, rows: NDArray[np.int64], spent: Part) -> torch.Tensor:
        """Add up the gradients of this rank's parts of the batch, and return their share of the mean loss."""
        ranks, weight = self.context.ranks, self._weight(progress.step, rows)
        total = torch.zeros((), device=self.context.device)
        for index, part in enumerate(parts_of(rows, progress.micro_batches)):
            if index % ranks.size != ranks.rank or not len(part):
                continue
            seed_draws(self._dropout_seed(progress.step, index), self.context.device)
            feed = self._feed(progress.step, part, weight)
            spent.count(real_tokens(feed), self._ideal)
            total += self._backward(feed)
        return total

    def _dropout_seed(self, step: int, part: int) -> int:
        """Return a seed that depends only on the step and the part of the batch.

        So a resume needs no state of a generator, and it does not matter which worker computes which part.
        """
        return seed_of("dropout", self.context.seed, self.context.name, step, part)

    def _draw(self, step: int) -> int:
        """Return the seed of what the inputs of a step draw at random, such as hidden tokens."""
        return seed_of("inputs", self.context.seed, self.context.name, step)

    def _weight(self, step: int, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the sum of the weights of the rows of a batch, a scalar; those of a contrastive loss are ones."""
        if self._contrasts:
            return torch.tensor(float(len(rows)))
        weights = self._loss.weights(self._labels(rows))
        of_inputs = self.train.inputs.weights(rows, self._draw(step))
        return weights.sum() if of_inputs is None else (weights * of_inputs).sum()

    def _feed(self, step: int, rows: NDArray[np.int64], weight: torch.Tensor) -> Feed:
        """Return the input of `_backward`, on the CPU; `weight` is the sum of the weights of the whole batch."""
        batch = self.train.inputs.batch(rows, PADDED_TO[self.context.device.type], self._draw(step))
        return {**batch, "labels": self._labels(rows), "weight": weight}

    def _labels(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return what the loss reads besides the outputs; labels that are no numbers are only for the scores."""
        labels = self.train.labels[rows]
        return torch.zeros(len(rows)) if labels.dtype == object else torch.from_numpy(labels)

    def _backward(self, feed: Feed) -> torch.Tensor:
        """Add the gradients of a part of a batch to the parameters' own, and return its share of the mean loss."""
        batch = on_device(feed, self.context.device)
        labels, weight = batch.pop("labels"), batch.pop("weight")
        loss = self._loss_sum(batch, labels) / weight
        if loss.requires_grad:  # a contrastive loss trains nothing if all layers are frozen
            loss.backward()
        return loss.detach()

    def _loss_sum(self, batch: Feed, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of a part of a batch, summed over its rows."""
        device, precision = self.context.device, self.context.precision
        if self._contrasts:
            with HeadInput(self.network) as head_input:
                logits = forward(self.network, batch, device, precision)
            return len(labels) * contrastive_loss(head_input.of(logits), labels)
        return self._loss.sum(forward(self.network, batch, device, precision), labels)

    def _update(self) -> None:
        """Clip the gradients, change the weights, and reset the gradients."""
        if self.stage.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained.values(), self.stage.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _gradients(self) -> list[torch.Tensor]:
        """Return the gradients to exchange: the same list on every rank, even if a rank had no part to compute."""
        for parameter in self.trained.values():
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.trained.values() if parameter.grad is not None]

    @cached_property
    def _ideal(self) -> float:
        """Return the seconds of one token in a step at the device's peak speed."""
        return ideal_seconds(self.network, self.context.device, self.context.precision, trains=True)
