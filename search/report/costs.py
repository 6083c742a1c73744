"""Quality against cost: which trials are better than all that cost as little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import plotly.graph_objects as go

from search.advice.sweep import Sweep
from search.record.costs import COSTS, LATENCY, MODEL_WEIGHTS, TEXT_GFLOPS, TRAINED_WEIGHTS
from search.record.records import TrialRecord
from search.report.parts import Figure, Section, Table, as_figure
from search.wording import format_number
from trainable.metrics.metric import Direction

_COSTS: dict[str, Callable[[TrialRecord], float | None]] = {
    "seconds": lambda record: record.seconds,
    "trained weights": lambda record: record.metrics.get(TRAINED_WEIGHTS),
    "weights": lambda record: record.metrics.get(MODEL_WEIGHTS),
    "latency in ms": lambda record: record.metrics.get(COSTS[LATENCY]),
    "GFLOPs for a text": lambda record: record.metrics.get(TEXT_GFLOPS),
}


def costs_section(sweep: Sweep) -> Section:
    """Return a plot of the score against each cost, with the Pareto front."""
    return Section("Quality against cost", figures=list(_figures(sweep)))


def _figures(sweep: Sweep) -> Iterator[Figure]:
    for name, cost in _COSTS.items():
        points = [(of, record) for record in sweep.finished if (of := cost(record)) is not None]
        if len({of for of, _ in points}) > 1:
            yield _figure(sweep, name, points)


def _figure(sweep: Sweep, name: str, points: Sequence[tuple[float, TrialRecord]]) -> Figure:
    front = pareto_front(points, sweep.outcome.direction)
    plot = go.Figure()
    for title, shown, mode in (("trial", points, "markers"), ("Pareto front", front, "lines+markers")):
        plot.add_scatter(
            x=[of for of, _ in shown],
            y=[record.value for _, record in shown],
            text=[f"trial {record.number}" for _, record in shown],
            mode=mode,
            name=title,
            line={"shape": "hv"},
        )
    plot.update_xaxes(title_text=name, type="log" if name != "seconds" else "linear")
    plot.update_yaxes(title_text=sweep.metric)
    rows = tuple(
        (str(record.number), f"{of:,.0f}" if of >= 100 else format_number(of), format_number(record.value))
        for of, record in front
    )
    text = (
        f"Each finished trial by its {name} and its {sweep.metric}. No other trial is better than one on the Pareto "
        f"front at the same cost or less; it has {len(front)} of {len(points)} trials."
    )
    table = Table(f"Pareto front of {sweep.metric} and {name}", ("trial", name, sweep.metric), rows)
    return as_figure(plot, f"{sweep.metric} against {name}", text, table)


def pareto_front(points: Sequence[tuple[float, TrialRecord]], direction: Direction) -> list[tuple[float, TrialRecord]]:
    """Return the trials that are better than every trial of the same cost or less, the cheapest first.

    Args:
        points: cost of each trial, lower is better, and the trial, which has a score.
        direction: whether a higher or a lower score is better.
    """
    front: list[tuple[float, TrialRecord]] = []
    best = float("inf")
    for cost, record in sorted(points, key=lambda point: (point[0], direction.cost(point[1].value or 0.0))):
        if direction.cost(record.value or 0.0) < best:
            best = direction.cost(record.value or 0.0)
            front.append((cost, record))
    return front
