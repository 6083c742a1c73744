"""The tables and the picture of `instead.py`: scores of each pair, mean rank and regret, with bootstrap intervals."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from runs import Run
from scipy.stats import rankdata

RESAMPLES = 2000
Cells = dict[tuple[str, int], dict[str, float]]
"""Pair and draw: contestant: score. A contestant without an answer has 0."""


def report(runs: list[Run], minutes: Sequence[float], trivial: Sequence[str]) -> None:
    console = Console(width=150)
    for budget in minutes:
        found = cells(runs, budget)
        if found:
            console.print(scores_table(found, budget), standing_table(found, budget))
            console.print(against_trivial(found, budget, trivial))
    failed = [run for run in runs if run.error]
    for run in failed:
        console.print(f"failed: {run.pair} draw {run.draw} {run.contestant} {run.minutes:g} min: {run.error[:60]!r}")


def cells(runs: list[Run], minutes: float) -> Cells:
    """Return the scores at `minutes`.

    A contestant that was told another budget says nothing about this one, unless it ended before a smaller budget.
    """
    found: Cells = {}
    for run in sorted(runs, key=lambda run: (run.minutes != minutes, run.minutes)):
        longer, shorter = run.minutes > minutes, run.minutes < minutes
        if (longer and run.told) or (shorter and not run.ended):
            continue
        cell = found.setdefault((run.pair, run.draw), {})
        cell.setdefault(run.contestant, run.score_at(minutes) or 0.0)
    return found


def scores_table(found: Cells, minutes: float) -> Table:
    names = contestants(found)
    table = Table("pair", *names, title=f"Test score after {minutes:g} min: mean over draws (lowest to highest)")
    for pair in pairs(found):
        row = []
        for name in names:
            scores = [cell[name] for (of, _), cell in found.items() if of == pair and name in cell]
            spread = f" ({min(scores):.3f}-{max(scores):.3f})" if len(scores) > 1 else ""
            row.append(f"{statistics.fmean(scores):.3f}{spread}" if scores else "")
        table.add_row(pair, *row)
    return table


def standing_table(found: Cells, minutes: float) -> Table:
    table = Table("contestant", "mean rank", "95 %", "mean regret", "95 %", "pairs", "runs")
    table.title = f"After {minutes:g} min (1 is the best rank; regret: points below the best contestant)"
    rows = []
    for name in contestants(found):
        has = {key: cell for key, cell in found.items() if name in cell}
        rank, regret = (bootstrap(has, lambda cell, of=of, name=name: of(cell, name)) for of in (rank_of, regret_of))
        rows.append((name, rank, regret, len(pairs(has)), len(has)))
    for name, rank, regret, count, number in sorted(rows, key=lambda row: row[1][0]):
        ranks = (f"{rank[0]:.2f}", f"{rank[1]:.2f}-{rank[2]:.2f}")
        regrets = (f"{100 * regret[0]:.1f}", f"{100 * regret[1]:.1f}-{100 * regret[2]:.1f}")
        table.add_row(name, *ranks, *regrets, str(count), str(number))
    return table


def against_trivial(found: Cells, minutes: float, trivial: Sequence[str]) -> Table:
    """Compare ours on each pair with the trivial contestant that has the best mean over the draws."""
    table = Table("pair", "best trivial", "its score", "ours", "difference in points", "95 %", "draws")
    table.title = f"Ours and the best trivial contestant after {minutes:g} min"
    for pair in pairs(found):
        has = {key: cell for key, cell in found.items() if key[0] == pair and "ours" in cell}
        names = [name for name in trivial if has and all(name in cell for cell in has.values())]
        if not names:
            continue
        mean = {name: statistics.fmean(cell[name] for cell in has.values()) for name in (*names, "ours")}
        best = max(names, key=mean.__getitem__)
        gain, low, high = bootstrap(has, lambda cell, best=best: 100 * (cell["ours"] - cell[best]))
        style = "red" if high < 0 else None
        row = (pair, best, f"{mean[best]:.3f}", f"{mean['ours']:.3f}", f"{gain:+.1f}", f"{low:+.1f} to {high:+.1f}")
        table.add_row(*row, str(len(has)), style=style)
    return table


def rank_of(cell: dict[str, float], name: str) -> float:
    """Return the rank in a cell: 1 is the best, equal scores share the mean of their ranks."""
    names = list(cell)
    return float(rankdata([-cell[other] for other in names])[names.index(name)])


def regret_of(cell: dict[str, float], name: str) -> float:
    return max(cell.values()) - cell[name]


def bootstrap(found: Cells, of: Callable[[dict[str, float]], float]) -> tuple[float, float, float]:
    """Return the mean over pairs of the mean over draws, with its 95 % interval over resampled draws."""
    values: dict[str, list[float]] = {}
    for (pair, _), cell in found.items():
        values.setdefault(pair, []).append(of(cell))
    generator = np.random.default_rng(0)
    means = np.mean([generator.choice(v, (RESAMPLES, len(v))).mean(axis=1) for v in values.values()], axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return statistics.fmean(statistics.fmean(v) for v in values.values()), float(low), float(high)


def contestants(found: Cells) -> list[str]:
    return list(dict.fromkeys(name for cell in found.values() for name in cell))


def pairs(found: Cells) -> list[str]:
    return list(dict.fromkeys(pair for pair, _ in found))


def draw_picture(runs: list[Run], minutes: Sequence[float], file: Path) -> None:
    """Draw mean rank and mean regret of each contestant at each budget, with their intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_budget = {budget: found for budget in minutes if (found := cells(runs, budget))}
    names = list(dict.fromkeys(name for found in by_budget.values() for name in contestants(found)))
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), sharex=True, layout="constrained")
    for axis, of, title in zip(axes, (rank_of, regret_of), ("mean rank", "mean regret"), strict=True):
        for index, name in enumerate(names):
            x, mean, low, high = np.array(curve(by_budget, name, of)).T
            shifted = x * (1 + 0.015 * index)  # so that the intervals do not cover each other
            bars = np.abs([mean - low, high - mean])
            width = 2.5 if name == "ours" else 1.2
            axis.errorbar(shifted, mean, bars, label=name, marker="o", capsize=2, linewidth=width, markersize=4)
        axis.set(xscale="log", xlabel="minutes from a cold start", ylabel=title)
        axis.set_xticks(list(minutes), [f"{budget:g}" for budget in minutes])
        axis.minorticks_off()
        axis.invert_yaxis()
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    figure.savefig(file, dpi=150)


def curve(
    by_budget: dict[float, Cells], name: str, of: Callable[[dict[str, float], str], float]
) -> list[tuple[float, float, float, float]]:
    """Return budget, mean, low and high of a contestant, for each budget at which it has runs."""
    points = []
    for budget, found in by_budget.items():
        has = {key: cell for key, cell in found.items() if name in cell}
        if has:
            points.append((budget, *bootstrap(has, lambda cell: of(cell, name))))
    return points
