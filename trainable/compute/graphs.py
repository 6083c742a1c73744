"""Optimiser steps recorded as CUDA graphs, since launching a step's hundreds of kernels from Python takes too long.

A step of a six-layer BERT keeps an H100 busy for 3 ms but takes 20 ms, as the GPU waits for the next launch. A graph
(Nvidia, "CUDA Graphs"; `torch.cuda.CUDAGraph`) holds all launches of a step, recorded once for each shape of batch.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from trainable.compute.device import seed_draws
from trainable.compute.forward import on_device
from trainable.compute.memory import out_of_memory

LONGEST = 0.02
"""Seconds of products in a step from which launching is as fast as the device, so that a graph saves no time."""

Feed = dict[str, torch.Tensor]
"""The input of a step: its batch, by name."""
Step = Callable[[Feed], torch.Tensor]


class StepGraphs:
    """Runs steps on batches of different shapes: the first batch of a shape is recorded, and every batch is replayed.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._recorded: dict[tuple[object, ...], Recorded] = {}
        self._memory: Any = None  # one pool for all graphs, as only one is replayed at a time

    def __len__(self) -> int:
        """Return the number of recorded shapes."""
        return len(self._recorded)

    def run(self, step: Step, feed: Feed, seed: int) -> torch.Tensor | None:
        """Run a step.

        Args:
            step: takes its feed on the device, computes a whole step including the weights' update, and returns the
                loss, a scalar. Pass the same function at each call: its work may depend only on the feed's shape.
            feed: the input of the step, on the CPU.
            seed: the seed of dropout.

        Returns:
            The loss; None, with nothing done, if such a step cannot be recorded.

        Raises:
            torch.OutOfMemoryError: with nothing done.
        """
        if (
            self._memory is None
        ):  # the first step runs unrecorded: it creates the optimiser's state and the libraries' handles
            self._memory = torch.cuda.graph_pool_handle()
            seed_draws(seed, self._device)
            return step(on_device(feed, self._device))
        shape = tuple((name, tensor.shape, tensor.dtype) for name, tensor in feed.items())
        recorded = self._recorded.get(shape) or self._record(step, feed)
        if recorded is None:
            return None
        self._recorded[shape] = recorded
        for name, tensor in feed.items():
            recorded.feed[name].copy_(tensor.pin_memory(), non_blocking=True)
        seed_draws(seed, self._device)
        recorded.graph.replay()
        return recorded.loss.clone()

    def _record(self, step: Step, feed: Feed) -> "Recorded | None":
        """Record a graph for batches of this shape; nothing is computed yet, and no random number is drawn."""
        buffers = {name: torch.empty_like(tensor, device=self._device) for name, tensor in feed.items()}
        loss, graph = torch.zeros((), device=self._device), torch.cuda.CUDAGraph()
        try:
            with _no_garbage(), torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
                loss.copy_(step(buffers))
        except RuntimeError as error:
            # PyTorch still believes that it records, and draws no random number until a recording succeeds.
            with torch.cuda.graph(torch.cuda.CUDAGraph()):
                torch.zeros((), device=self._device)
            if out_of_memory(error):
                raise
            return None  # the step waits for the device; any other error comes again when the step runs unrecorded
        return Recorded(graph, buffers, loss)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Switch garbage collection off: no graph of an earlier trial may be freed while another one is recorded."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True)
class Recorded:
    """A recorded step for one shape of batch."""

    graph: torch.cuda.CUDAGraph
    feed: Feed
    """Tensors on the device from which the graph reads its batch."""
    loss: torch.Tensor
    """Tensor into which the graph writes the loss."""
