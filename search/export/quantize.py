"""Quantises an ONNX folder to 8-bit integers, and measures what that costs and wins on the validation rows.

Dynamic quantisation by ONNX Runtime: weights become 8-bit integers, activations are quantised while the model runs, and
no calibration data is needed (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.export.classifier import Classifier
from search.export.facts import FolderFacts
from search.export.formats.onnx_folder import GRAPH, encoded_rows, open_graph, open_tokenizer
from search.wording import format_score
from trainable.data.examples import Examples
from trainable.errors import TrialError
from trainable.metrics.metric import METRICS
from trainable.tasks.task import Task

BATCHES = (1, 32)
"""Rows of a call whose time is measured."""
_CALLS = 64
"""Most calls of each size that are timed."""


@dataclass(frozen=True)
class Measured:
    """A graph on the validation rows."""

    score: float
    """The metric on all of them."""
    bytes: int
    """Size of the graph's file."""
    milliseconds: dict[int, tuple[float, float]]
    """Median and 95th percentile of a call, by the number of its rows; tokenisation is not included."""

    def __str__(self) -> str:
        """Return size and times for a person."""
        times = ", ".join(f"{rows} rows {p50:.1f} / {p95:.1f} ms" for rows, (p50, p95) in self.milliseconds.items())
        return f"{self.bytes / 1e6:.1f} MB, {times}".replace("1 rows", "1 row")


@dataclass(frozen=True)
class Quantisation:
    """What 8-bit integers changed."""

    metric: str
    rows: int
    before: Measured
    after: Measured

    def sentences(self) -> list[str]:
        """Return what a person should know: score, size and times, before and after."""
        scores = [format_score(each.score) for each in (self.before, self.after)]
        return [
            f"Quantised to 8-bit integers: {self.metric} {scores[0]} before, {scores[1]} after, on {self.rows} "
            "validation rows.",
            f"Before: {self.before} (median / 95th percentile of a call on this machine).",
            f"After: {self.after}.",
        ]


def quantise(
    folder: Path, facts: FolderFacts, task: Task, rows: Examples, metric: str, most_loss: float
) -> Quantisation:
    """Replace the graph of a folder by one with 8-bit integers.

    Args:
        folder: an ONNX folder whose answers have been verified.
        facts: what its trial.json will say.
        task: the task of the model.
        rows: the validation rows.
        metric: the metric that is compared.
        most_loss: how much worse the metric may become, in its own units.

    Raises:
        TrialError: if the metric becomes worse by more than that.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = _measure(folder, facts, task, rows, metric)
    small = folder / f"small-{GRAPH}"
    logging.getLogger().addFilter(_no_advice)  # it advises a preprocessing that this graph does not need
    try:
        quantize_dynamic(folder / GRAPH, small, weight_type=QuantType.QInt8)
    finally:
        logging.getLogger().removeFilter(_no_advice)
    small.replace(folder / GRAPH)
    after = _measure(folder, facts, task, rows, metric)
    loss = METRICS[metric].cost(after.score) - METRICS[metric].cost(before.score)
    if not loss <= most_loss:  # also true for NaN
        raise TrialError(
            f"--quantize int8: {metric} on {len(rows)} validation rows is {format_score(after.score)} after, "
            f"{format_score(before.score)} before: {format_score(loss)} worse, more than --max-loss {most_loss:g}; "
            "nothing was exported"
        )
    return Quantisation(metric, len(rows), before, after)


def _measure(folder: Path, facts: FolderFacts, task: Task, rows: Examples, metric: str) -> Measured:
    outputs = Classifier.load(folder, facts).outputs(rows)
    score = task.scores(outputs, rows.labels, facts.label_names)[metric]
    session, tokenizer = open_graph(folder), open_tokenizer(folder)
    times: dict[int, tuple[float, float]] = {}
    for size in BATCHES:
        calls = [rows.take(np.arange(len(rows))[start : start + size]) for start in range(0, len(rows), size)][:_CALLS]
        times[size] = _call_times(session, [encoded_rows(tokenizer, session, call) for call in calls])
    return Measured(score, (folder / GRAPH).stat().st_size, times)


def _call_times(session: Any, feeds: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return median and 95th percentile of the calls' times, in milliseconds."""
    session.run(None, feeds[0])  # the first call allocates memory
    times = []
    for feed in feeds:
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(1000 * (time.perf_counter() - begin))
    median, slow = np.percentile(times, (50, 95)).tolist()
    return median, slow


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
