"""Which trials deserve another look, who wins, and whether the source helped: pure functions of the records."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.record.comparison import compare
from search.record.records import Comparison, Score, State, TrialRecord, ranked
from search.record.trial_names import Role
from spaces import Point
from trainable.data.read_splits import short_name
from trainable.settings.config import TrialConfig


@dataclass(frozen=True)
class Repeat:
    """A trial to run beside the search."""

    role: Role
    number: int
    """The search's trial that is repeated."""
    seed: int
    params: Point


def uses_source(plan: Plan, record: TrialRecord) -> bool:
    """Whether a trial trained a source stage."""
    config = trial_config(plan, record)
    return config.source is not None and config.source.enabled


def trial_config(plan: Plan, record: TrialRecord) -> TrialConfig:
    """The resolved settings of a trial, its seed and role taken into account."""
    override = {"source.enabled": False} if record.role == "no_source" else {}
    return plan.config(record.params, seed=record.seed, **override)


def finalists(plan: Plan, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best finished search trials; where the search decides on a source, the best of either kind as well.

    The best of a kind may be a trial that the scheduler stopped, which is then run whole: the kinds are compared by
    what each can do, not by which of them was left to finish.
    """
    scored = [r for r in ranked(records, plan.settings.direction) if r.role == "search" and r.value is not None]
    chosen = [r for r in scored if r.state is State.FINISHED][: plan.settings.finalists]
    cost = plan.settings.direction.cost
    ended = sorted(
        (r for r in scored if r.state in (State.FINISHED, State.STOPPED)), key=lambda r: cost(r.value or 0.0)
    )
    for kind in (True, False) if plan.searches_source() else ():
        best = next((r for r in ended if uses_source(plan, r) is kind), None)
        if best is not None and best not in chosen:
            chosen.append(best)
    return chosen


def next_repeats(plan: Plan, records: Sequence[TrialRecord]) -> list[Repeat]:
    """What is still to be run once the search is over; empty when there is nothing more to learn.

    First the finalists on further seeds. Then, if every finalist used the source, the winner's settings
    without it, on the same seeds. Nothing where `confirm_seeds` is 0.
    """
    if not plan.settings.confirm_seeds:
        return []
    seeds = [plan.base.get("seed", 0) + 1 + i for i in range(plan.settings.confirm_seeds)]
    chosen = finalists(plan, records)
    wanted = [
        Repeat("confirm", r.number, seed, r.params)
        for r in chosen
        for seed in (seeds if r.state is State.FINISHED else [r.seed, *seeds])
    ]
    missing = [a for a in wanted if not _has(records, a)]
    if missing:
        return missing
    winner = pick_winner(plan, records)
    if winner is None or any(r.state is State.RUNNING for r in records):
        return []
    if all(uses_source(plan, r) for r in chosen):
        params = {n: v for n, v in winner.params.items() if not n.startswith("source.")}
        if "source.enabled" in plan.space.names:
            params["source.enabled"] = False
        twins = [Repeat("no_source", winner.number, seed, params) for seed in [winner.seed, *seeds]]
        return [a for a in twins if not _has(records, a)]
    return []


def _has(records: Sequence[TrialRecord], again: Repeat) -> bool:
    return any((r.role, r.number, r.seed) == (again.role, again.number, again.seed) for r in records)


def finished_runs(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> list[TrialRecord]:
    """The finished runs of a setting, one a seed, the search's own first (for the role `confirm`)."""
    own = [r for r in records if r.role == "search" and role == "confirm"]
    runs = [*own, *(r for r in records if r.role == role)]
    return [r for r in runs if r.number == number and r.state is State.FINISHED]


def score_of(records: Sequence[TrialRecord], number: int, role: Role = "confirm") -> Score | None:
    """Validation score of a setting over its seeds; None if it has none."""
    values = [r.value for r in finished_runs(records, number, role) if r.value is not None]
    return Score.over(values) if values else None


def pick_winner(plan: Plan, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The finalist with the best mean validation score over its seeds; the earlier one if two are equal."""
    scored = [(r, score_of(records, r.number)) for r in finalists(plan, records)]
    cost = plan.settings.direction.cost
    order = sorted((cost(s.mean), r.number, r) for r, s in scored if s is not None)
    return order[0][2] if order else None


def pick_run(plan: Plan, records: Sequence[TrialRecord], winner: TrialRecord) -> TrialRecord:
    """The run of the winner whose model is exported: the best of its seeds on validation."""
    return ranked(finished_runs(records, winner.number), plan.settings.direction)[0]


def compare_sources(plan: Plan, records: Sequence[TrialRecord]) -> Comparison | None:
    """The best setting with a source against the best without, or None where there is nothing to compare."""
    winner = pick_winner(plan, records)
    if winner is None:
        return None
    cost = plan.settings.direction.cost
    best: dict[bool, tuple[float, Score, TrialRecord]] = {}
    for record in finalists(plan, records):
        score, kind = score_of(records, record.number), uses_source(plan, record)
        if score and (kind not in best or cost(score.mean) < best[kind][0]):
            best[kind] = (cost(score.mean), score, record)
    if True not in best:
        return None
    without = best[False][1] if False in best else score_of(records, winner.number, "no_source")
    if without is None:
        return None
    source = trial_config(plan, best[True][2]).source
    assert source is not None  # or it would not be in best[True]
    name = source.dataset if isinstance(source.dataset, str) else short_name(source.dataset)
    return compare(best[True][1].values, without.values, plan.settings.metric, plan.settings.direction, name)
