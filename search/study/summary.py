"""Builds the outcome of a sweep, finished or not, from its study."""

from collections.abc import Sequence
from pathlib import Path

from search.plan.plan import Plan
from search.plan.settings import SweepSettings
from search.propose.start_from import EarlierTrials
from search.record.costs import limits_text, meets
from search.record.ranking import Ranking
from search.record.ranking_check import ranking_check
from search.record.records import BudgetLimits, Outcome, TrialRecord
from search.record.scores import Gain, Score, TestScore
from search.redaction import redact
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.baselines import Contest, baseline_notes, contest_notes, hold_contest, plain_gain
from search.study.labels_curve import labels_curve, labels_notes
from search.study.phases import PHASES
from search.study.selection import compare_sources, worth_of_stages
from search.study.session_versions import version_notes
from search.study.sweep_study import EXHAUSTED, SLOT_SECONDS, SLOTS, START_FROM, TAIL_SECONDS, SweepStudy
from search.study.trial_settings import trial_config
from trainable.baselines.results import config_of
from trainable.settings.values import Params
from trainable.stages.trained_on import TRIAL_FILE, trained_on


def summarise(
    plan: Plan,
    storage: Path,
    study: SweepStudy,
    test: TestScore | None = None,
    complete: bool = False,
    gain: Gain | None = None,
) -> Outcome:
    """Return the outcome of a sweep.

    Args:
        plan: the experiment.
        storage: the folder of all sweeps.
        study: the record of all trials.
        test: the winner's test score.
        complete: whether the sweep is at its end.
        gain: what the search added to the best baseline, if it was measured on the rows of a split.
    """
    records, contest = study.records, hold_contest(plan, study)
    baseline = contest.winning_baseline
    ranking = _ranking(plan, storage)
    winner, exported = (None, None) if baseline else (contest.trial, contest.exported)
    return Outcome(
        name=plan.settings.name,
        storage=str(storage),
        tracking_uri=redact(plan.tracking_uri(storage)),
        run_id=study.user_attr("run_id"),
        metric=plan.settings.metric,
        direction=plan.settings.direction,
        trials=tuple(records),
        winner=winner.number if winner else None,
        exported=exported.key if exported else None,
        winner_config=_winner_config(plan, study, contest),
        validation=Score.over([baseline.value]) if baseline else contest.score,
        test=test,
        comparison=compare_sources(plan, records),
        seconds=study.user_attr("seconds_spent", 0.0),
        worker_hours=sum(r.seconds for r in records) * plan.settings.workers_per_trial / 3600,
        phases=study.user_attr(PHASES, {}),
        slots=study.user_attr(SLOTS, 0),
        slot_seconds=study.user_attr(SLOT_SECONDS, 0.0),
        tail_seconds=study.user_attr(TAIL_SECONDS, 0.0),
        budget=BudgetLimits(plan.settings.most_trials, plan.settings.minutes, plan.settings.worker_hours),
        notes=(
            *_notes(plan, storage, study, complete),
            *(contest_notes(contest) if complete else ()),
            *_notes_on_limits(plan.settings, records),
            *worth_of_stages(plan, records),
            *(labels_notes(plan, records) if complete else ()),
        ),
        complete=complete,
        baselines=contest.baselines,
        labels_curve=labels_curve(plan, records),
        cross_validated=plan.cross_validates,
        redraws_rows=plan.settings.redraw_rows,
        limits=plan.settings.limits,
        passed_over=contest.passed_over,
        winning_baseline=baseline.name if baseline else None,
        gain=gain or plain_gain(plan, contest),
        moved=_moved(study, contest) if complete else None,
        ranking=ranking,
        ranking_check=ranking_check(ranking, records, plan.settings.direction) if ranking else None,
    )


def _ranking(plan: Plan, storage: Path) -> Ranking | None:
    """Return the ranking that the sweep's folder has, if the plan asks for one."""
    if plan.settings.ranked_sources is None:
        return None
    stored = load_saved_plan(SweepFolder(storage, plan.settings.name)).get("ranking")
    return Ranking.from_values(stored) if stored else None


def _winner_config(plan: Plan, study: SweepStudy, contest: Contest) -> Params:
    """Return every setting of the winner's exported run, or those of the baseline that won."""
    if contest.winning_baseline:
        return config_of(study.folder / str(contest.winning_baseline.checkpoint)).to_flat()
    return trial_config(plan, contest.exported).to_flat() if contest.exported else {}


def _moved(study: SweepStudy, contest: Contest) -> str | None:
    """Return what the exported trial's target began with; None if it had no source, or its checkpoint is gone."""
    checkpoint = contest.exported.checkpoint_in(study.folder) if contest.exported else None
    if contest.winning_baseline or checkpoint is None or not (checkpoint / TRIAL_FILE).exists():
        return None
    facts = trained_on(checkpoint)
    return facts.moved.sentence if facts and facts.moved and facts.moved.weights else None


def _notes(plan: Plan, storage: Path, study: SweepStudy, complete: bool) -> list[str]:
    """Return sentences for the reader of the outcome: earlier trials, versions, what is left to do."""
    searched = sum(r.role == "search" for r in study.records)
    earlier: EarlierTrials | None = study.user_attr(START_FROM)
    notes = [earlier["note"]] if earlier else []
    notes += [*version_notes(study), *(baseline_notes(study.folder) if complete else ())]
    if not complete:
        return [
            *notes,
            "the sweep is not finished: the winner is the best so far, and the test split has not been read; "
            f"`{SweepFolder(storage, plan.settings.name).command('resume')}` continues it",
        ]
    return [*notes, *_notes_on_trials(plan.settings, searched, study.user_attr(EXHAUSTED) == searched)]


def _notes_on_limits(settings: SweepSettings, records: Sequence[TrialRecord]) -> list[str]:
    """Say how many trials cannot win because of `sweep.constraints`."""
    scored = [r for r in records if r.role == "search" and r.value is not None]
    above = sum(not meets(r.metrics, settings.limits) for r in scored)
    named = limits_text(settings.limits)
    return [f"{above} of {len(scored)} trials with a score do not meet {named}, so they cannot win"] if above else []


def _notes_on_trials(settings: SweepSettings, searched: int, exhausted: bool) -> list[str]:
    """Say why a complete sweep began no more than `searched` trials, unless its settings say so."""
    most = settings.most_trials
    if exhausted and searched < most:
        of = "" if settings.is_limited_by_time else f"of sweep.trials = {most} "
        return [f"every point of the space has been tried, in {searched} {of}trials"]
    if settings.is_limited_by_time:
        return [f"the search ended after {most} trials; sweep.trials sets another limit"] if searched >= most else []
    return [] if searched == most else [f"{searched} of {most} trials began before the budget was used up"]
