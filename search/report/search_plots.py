"""How the search went and what mattered: Optuna's own plots of the study."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import optuna.visualization as plots
from optuna.exceptions import ExperimentalWarning
from optuna.importance import get_param_importances

from search.advice.sweep import Sweep
from search.record.records import Outcome, TrialRecord, ranked
from search.report.parts import Figure, Section, Table, as_figure
from search.wording import format_number, last_line

_FEWEST = 2
"""Finished trials that the plots of Optuna need."""


def search_section(sweep: Sweep) -> Section:
    """Return how the search went: its best score over time, the learning curves, and all trials."""
    figures = [*_history(sweep), *_curves(sweep)]
    texts = [f"{r.title} {r.state.value}: {last_line(r.error)}" for r in sweep.outcome.trials if r.error]
    return Section("How the search went", texts, tables=[trials_table(sweep.outcome)], figures=figures)


def settings_section(sweep: Sweep) -> Section:
    """Return which settings mattered, and the scores by each of them."""
    names = _varied(sweep.finished)
    if len(sweep.finished) < _FEWEST or not names:
        return Section("Which settings mattered")
    figures = [*_importances(sweep, names), *_parallel(sweep, names), *(_slice(sweep, name) for name in names)]
    return Section("Which settings mattered", figures=figures)


def _history(sweep: Sweep) -> Iterator[Figure]:
    if not sweep.finished:
        return
    best = sweep.study.best_trial
    plot = plots.plot_optimization_history(sweep.study, target_name=sweep.metric)
    text = (
        f"The {sweep.metric} of each finished trial, in the order of the trials, and the best one so far. The best of "
        f"{len(sweep.finished)} finished trials is {format_number(best.value)}, in trial {best.number}."
    )
    yield as_figure(plot, "Score of each trial", text)


def _curves(sweep: Sweep) -> Iterator[Figure]:
    if not any(trial.intermediate_values for trial in sweep.study.get_trials(deepcopy=False)):
        return
    plot = plots.plot_intermediate_values(sweep.study)
    plot.update_layout(showlegend=False)
    plot.update_xaxes(title_text="percent of the training")
    plot.update_yaxes(title_text=f"best {sweep.metric} so far")
    stopped = sum(record.state == "stopped" for record in sweep.outcome.searched)
    text = (
        f"The best validation {sweep.metric} of each trial so far, by the part of its training that is done. "
        f"The curves of the {stopped} stopped trials end early."
    )
    yield as_figure(plot, "Learning curves", text)


def _importances(sweep: Sweep, names: Sequence[str]) -> Iterator[Figure]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # trials with equal scores; the text says how little it proves
        try:
            importances = get_param_importances(sweep.study, params=list(names))
            plot = plots.plot_param_importances(sweep.study, params=list(names), target_name=sweep.metric)
        except (ValueError, RuntimeError):  # trials that have no setting in common, or too few of them
            return
    rows = tuple((name, format_number(share)) for name, share in importances.items())
    text = (
        "The share of each setting in what makes a trial one of the best (PED-ANOVA, the default of Optuna). With few "
        "trials this is a hint and no proof."
    )
    plot.update_layout(showlegend=False)
    plot.update_xaxes(title_text="share")
    plot.update_yaxes(title_text=None)
    yield as_figure(plot, "Importance of the settings", text, Table("Importance", ("setting", "share"), rows))


def _parallel(sweep: Sweep, names: Sequence[str]) -> Iterator[Figure]:
    common = [name for name in names if all(name in record.params for record in sweep.finished)]
    if len(common) < 2:
        return
    plot = plots.plot_parallel_coordinate(sweep.study, params=common, target_name=sweep.metric)
    text = f"A line for each finished trial, through its settings and its {sweep.metric}. The table of trials has them."
    yield as_figure(plot, "All settings together", text, is_wide=True)


def _slice(sweep: Sweep, name: str) -> Figure:
    plot = plots.plot_slice(sweep.study, params=[name], target_name=sweep.metric)
    plot.update_traces(marker={"showscale": False})
    plot.update_xaxes(title_text=None)
    best = max if sweep.outcome.direction == "max" else min
    scores: dict[str, list[float]] = {}
    for record in sorted(sweep.finished, key=lambda record: str(record.params.get(name))):
        if name in record.params:
            scores.setdefault(format_number(record.params[name]), []).append(record.value or 0.0)
    rows = tuple((value, format_number(best(of)), str(len(of))) for value, of in scores.items())
    table = Table(f"Best {sweep.metric} by {name}", (name, sweep.metric, "trials"), rows)
    text = f"The {sweep.metric} of the finished trials by {name}; early trials are blue, late ones orange."
    return as_figure(plot, name, text, table)


def trials_table(outcome: Outcome) -> Table:
    """Return the trials of the search, best first, with the settings that differ among them."""
    records = ranked(outcome.searched, outcome.direction)
    names = _varied(records)
    rows = tuple(
        (
            str(record.number),
            record.state.value,
            format_number(record.value),
            f"{record.seconds:.0f}",
            *(format_number(record.params.get(name)) for name in names),
        )
        for record in records
    )
    return Table("All trials of the search, best first", ("trial", "state", outcome.metric, "seconds", *names), rows)


def _varied(records: Sequence[TrialRecord]) -> list[str]:
    """Return the names of the settings with several values among these trials."""
    names = dict.fromkeys(name for record in records for name in record.params)
    return [name for name in names if len({repr(r.params[name]) for r in records if name in r.params}) > 1]
