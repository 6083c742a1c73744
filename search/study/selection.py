"""Chooses finalists, repeats and the winner, and compares with and without a source; pure functions of records."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.record.comparison import compare
from search.record.records import State, TrialRecord, ranked
from search.record.scores import Comparison, Score
from search.record.trial_names import Role
from spaces import Point
from trainable.data.read_splits import short_name
from trainable.settings.config import TrialConfig
from trainable.settings.values import Params


@dataclass(frozen=True)
class Repeat:
    """A finalist to run again: with another seed, without its source, or on all rows."""

    role: Role
    number: int
    """Number of the search trial to repeat."""
    seed: int
    params: Point


def uses_source(plan: Plan, record: TrialRecord) -> bool:
    """Return whether a trial has a source stage."""
    config = trial_config(plan, record)
    return config.source is not None and config.source.enabled


def trial_config(plan: Plan, record: TrialRecord) -> TrialConfig:
    """Return all settings of a trial, with its seed and its fold, and without a source if its role says so."""
    override: Params = {"source.enabled": False} if record.role == "no_source" else {}
    if (fold := fold_number(plan, record)) != 0:
        override = {**override, "target.fold": fold}
    # With folds, the source stage stays the same, and is trained once.
    seed = plan.base.get("seed", 0) if plan.cross_validates else record.seed
    return plan.config(record.params, seed=seed, **override)


def fold_number(plan: Plan, record: TrialRecord) -> int | None:
    """Return the fold of a trial: each further seed stands for a fold of its own, and a refit has none."""
    if record.role == "refit":
        return None
    return record.seed - plan.base.get("seed", 0) if plan.cross_validates else 0


def repeat_config(plan: Plan, repeat: Repeat) -> TrialConfig:
    """Return all settings of a repeat."""
    return trial_config(plan, TrialRecord(repeat.number, State.RUNNING, repeat.params, repeat.seed, repeat.role))


def finalists(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the best finished search trials, at most `sweep.finalists` of them.

    If the search chooses whether to use a source, the best trial with a source and the best without are finalists too.
    A trial that was stopped is a finalist too, if its best score is above those of all finished trials and its model
    was saved, or if it is the best of its kind. It runs again to its end if there is time.
    """
    scored = [r for r in ranked(records, plan.settings.direction) if r.role == "search" and r.value is not None]
    chosen = [r for r in scored if r.state is State.FINISHED][: plan.settings.finalists]
    cost = plan.settings.direction.cost
    ended = sorted(
        (r for r in scored if r.state in (State.FINISHED, State.STOPPED)), key=lambda r: cost(r.value or 0.0)
    )
    if ended and ended[0].has_model and ended[0] not in chosen:
        chosen.append(ended[0])
    for kind in (True, False) if plan.searches_source() else ():
        best = next((r for r in ended if uses_source(plan, r) is kind), None)
        if best is not None and best not in chosen:
            chosen.append(best)
    return chosen


def refit_of(winner: TrialRecord) -> Repeat:
    """Return the last run of a sweep: the winner's settings on all rows."""
    return Repeat("refit", winner.number, winner.seed, winner.params)


def next_repeats(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """Return the repeats to run after the search; empty if none is left, or if `sweep.confirm_seeds` is 0.

    First come the finalists with further seeds. If every finalist used a source, the winner's settings without a
    source follow, with the same seeds.
    """
    if not plan.settings.confirm_seeds:
        return []
    seeds = [plan.base.get("seed", 0) + 1 + i for i in range(plan.settings.confirm_seeds)]
    chosen = finalists(plan, records)
    repeats = [
        Repeat("confirm", r.number, seed, r.params)
        for r in chosen
        for seed in (seeds if r.state is State.FINISHED else [r.seed, *seeds])
    ]
    missing = [repeat for repeat in repeats if not has_run(records, repeat)]
    if missing:
        return missing
    winner = pick_winner(plan, records)
    if winner is None or any(r.state is State.RUNNING for r in records):
        return []
    if all(uses_source(plan, r) for r in chosen):
        params = {n: v for n, v in winner.params.items() if not n.startswith("source.")}
        if "source.enabled" in plan.space.names:
            params["source.enabled"] = False
        without_source = [Repeat("no_source", winner.number, seed, params) for seed in [winner.seed, *seeds]]
        return [repeat for repeat in without_source if not has_run(records, repeat)]
    return []


def has_run(records: Sequence[TrialRecord], repeat: Repeat) -> bool:
    """Return whether a repeat has begun."""
    return any((r.role, r.number, r.seed) == (repeat.role, repeat.number, repeat.seed) for r in records)


def finished_runs(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> list[TrialRecord]:
    """Return the finished runs of a search trial's settings, one for each seed.

    For the role `confirm` the search trial itself comes first.
    """
    searched = [r for r in records if r.role == "search" and role == "confirm"]
    runs = [*searched, *(r for r in records if r.role == role)]
    return [r for r in runs if r.number == number and r.state is State.FINISHED]


def runs_with_model(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> list[TrialRecord]:
    """Return the finished runs of a search trial's settings; without one, the trial itself if it has a model."""
    stopped = [r for r in records if r.key == number and r.has_model and role == "confirm"]
    return finished_runs(records, number, role) or stopped


def score_of(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> Score | None:
    """Return the validation score of a search trial's settings over their seeds; None without a model."""
    return _score(runs_with_model(records, number, role))


def _score(runs: Sequence[TrialRecord]) -> Score | None:
    values = [r.value for r in runs if r.value is not None]
    return Score.over(values) if values else None


def pick_winner(plan: Plan, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the finalist with the best mean validation score over its seeds; of two equal ones, the earlier."""
    scored = [(r, score_of(records, r.number)) for r in finalists(plan, records)]
    cost = plan.settings.direction.cost
    order = sorted((cost(s.mean), r.number, r) for r, s in scored if s is not None)
    return order[0][2] if order else None


def pick_exported_trial(plan: Plan, records: Sequence[TrialRecord], winner: TrialRecord) -> TrialRecord:
    """Return the run with the winner's settings whose model is exported.

    It is the run on all rows if it has finished, else that with the best validation score.
    """
    if refitted := finished_runs(records, winner.number, "refit"):
        return refitted[0]
    return ranked(runs_with_model(records, winner.number), plan.settings.direction)[0]


def compare_sources(plan: Plan, records: Sequence[TrialRecord]) -> Comparison | None:
    """Compare the best finalist with a source to the best without, else to the winner's repeats without its source.

    Returns None if either has no finished run.
    """
    winner = pick_winner(plan, records)
    if winner is None:
        return None
    cost = plan.settings.direction.cost
    best: dict[bool, tuple[float, Score, TrialRecord]] = {}
    for record in finalists(plan, records):
        # A trial that was stopped is not compared with one that ran to its end.
        score, kind = _score(finished_runs(records, record.number)), uses_source(plan, record)
        if score and (kind not in best or cost(score.mean) < best[kind][0]):
            best[kind] = (cost(score.mean), score, record)
    if True not in best:
        return None
    without = best[False][1] if False in best else score_of(records, winner.number, "no_source")
    if without is None:
        return None
    source = trial_config(plan, best[True][2]).source
    assert source is not None  # as `uses_source` said
    name = source.dataset if isinstance(source.dataset, str) else short_name(source.dataset)
    return compare(best[True][1].values, without.values, plan.settings.metric, plan.settings.direction, name)
