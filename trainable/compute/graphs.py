"""Optimiser steps recorded as CUDA graphs: a small encoder's step is hundreds of kernels, each launched from Python.

A step of a six-layer BERT keeps an H100 busy for 3 ms and takes 20, since the GPU waits for the next launch. A graph
(Nvidia, "CUDA Graphs"; `torch.cuda.CUDAGraph`) holds all launches of a step, recorded once for each shape of batch.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from trainable.compute.forward import on_device
from trainable.compute.memory import out_of_memory

LONGEST = 0.02
"""Seconds of products in a step from which launches keep up with the device, so that a graph would win nothing."""

Feed = dict[str, torch.Tensor]
Step = Callable[[Feed], torch.Tensor]


class StepGraphs:
    """Runs steps on batches of many shapes: each shape is recorded when it is first met, and played ever after.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._recorded: dict[tuple[object, ...], Recorded] = {}
        self._memory: Any = None  # one pool for all graphs, as no two are played at a time

    def __len__(self) -> int:
        """How many shapes are recorded."""
        return len(self._recorded)

    def run(self, step: Step, feed: Feed, seed: int) -> torch.Tensor | None:
        """Run a step.

        Args:
            step: computes a step from its feed on the device, the weights' update included, and returns its loss, a
                scalar. The same one at each call: what it does for a shape of feed must not hang on anything else.
            feed: on the CPU.
            seed: of dropout.

        Returns:
            The loss; none, and nothing done, where such a step cannot be recorded.

        Raises:
            torch.OutOfMemoryError: with nothing done either.
        """
        if self._memory is None:  # the first step makes what steps need: the optimiser's state, the libraries' handles
            self._memory = torch.cuda.graph_pool_handle()
            torch.manual_seed(seed)
            return step(on_device(feed, self._device))
        shape = tuple((name, tensor.shape, tensor.dtype) for name, tensor in feed.items())
        recorded = self._recorded.get(shape) or self._record(step, feed)
        if recorded is None:
            return None
        self._recorded[shape] = recorded
        for name, tensor in feed.items():
            recorded.feed[name].copy_(tensor.pin_memory(), non_blocking=True)
        torch.manual_seed(seed)
        recorded.graph.replay()
        return recorded.loss.clone()

    def _record(self, step: Step, feed: Feed) -> "Recorded | None":
        """A graph for batches of this shape; nothing is computed yet, and no random number drawn."""
        place = {name: torch.empty_like(tensor, device=self._device) for name, tensor in feed.items()}
        loss, graph = torch.zeros((), device=self._device), torch.cuda.CUDAGraph()
        try:
            with _no_garbage(), torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
                loss.copy_(step(place))
        except RuntimeError as error:
            # PyTorch believes that it still records, and draws no number until a recording succeeds.
            with torch.cuda.graph(torch.cuda.CUDAGraph()):
                torch.zeros((), device=self._device)
            if out_of_memory(error):
                raise
            return None  # it waits for the device somewhere; if it was another error, the step as it is meets it too
        return Recorded(graph, place, loss)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Let nothing be collected: a graph of an earlier trial must not end while another is recorded."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True)
class Recorded:
    """A step for one shape of batch."""

    graph: torch.cuda.CUDAGraph
    feed: Feed
    """Where it takes its batch from."""
    loss: torch.Tensor
    """Where it leaves the loss."""
