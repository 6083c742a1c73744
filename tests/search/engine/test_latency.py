"""Where latency decides, the finalists' models are timed once, in one process, and the fastest wins."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from search.engine.latency import measure_latencies
from search.plan.plan import Plan, load_sweep
from search.plan.settings import Select
from search.record.records import State
from search.storage.sweep_folder import SweepFolder
from search.study.baselines import hold_contest
from search.study.sweep_study import SweepStudy
from search.study.winner import LATENCIES, choose_winner, latencies_of
from trainable.workers.messages import TrialReport


@pytest.fixture
def own_sweep(swept: SweepFolder, tmp_path: Path) -> SweepFolder:
    """Copy the finished sweep, with a study in which both trials have finished with the same model."""
    folder = SweepFolder(tmp_path / "runs", swept.name)
    shutil.copytree(swept.path, folder.path)
    folder.study.unlink()
    plan = load_sweep(folder)
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    (model,) = folder.path.glob("tune-*/trial-*/checkpoint_*")
    for value in (0.8, 0.7):
        begun = study.begin_search_trial()
        assert begun
        study.report(begun.key, TrialReport("target", value=value, improved=True, fraction_done=1.0))
        study.set_checkpoint(begun.key, str(model))
        study.end(begun.key, State.FINISHED)
    return folder


def _plan(folder: SweepFolder, select: Select | None) -> Plan:
    plan = load_sweep(folder)
    return replace(plan, settings=plan.settings.model_copy(update={"finalists": 2, "select": select}))


def test_models_are_timed_only_if_latency_decides_and_only_once(own_sweep: SweepFolder) -> None:
    for select in (None, Select(within=1.0, prefer="size"), Select(within=1.0, prefer="latency")):
        plan = _plan(own_sweep, select)
        study = SweepStudy(own_sweep.study, plan.settings, plan.space, 0)
        measure_latencies(plan, study)
        assert bool(latencies_of(study)) == (select is not None and select.prefer == "latency")
    assert len(latencies_of(study)) == 2
    (one, other) = latencies_of(study).values()
    assert one == other > 0  # the same encoder and texts, so that no clock can make a difference
    study.set_user_attr(LATENCIES, dict.fromkeys(latencies_of(study), 1.0))
    measure_latencies(plan, study)
    assert set(latencies_of(study).values()) == {1.0}


def test_the_fastest_is_the_winner_of_the_sweep(own_sweep: SweepFolder) -> None:
    plan = _plan(own_sweep, Select(within=1.0, prefer="latency"))
    study = SweepStudy(own_sweep.study, plan.settings, plan.space, 0)
    choice = choose_winner(plan, study.records)
    assert choice
    measure_latencies(plan, study)
    (other,) = latencies_of(study).keys() - {choice.best.number}
    study.set_user_attr(LATENCIES, {choice.best.number: 2.0, other: 1.0})
    contest = hold_contest(plan, study)
    assert contest.trial
    assert (contest.trial.number, bool(contest.passed_over)) == (other, True)


def test_a_model_that_is_damaged_is_not_timed_and_the_best_wins(own_sweep: SweepFolder) -> None:
    plan = _plan(own_sweep, Select(within=1.0, prefer="latency"))
    study = SweepStudy(own_sweep.study, plan.settings, plan.space, 0)
    for record in study.records:
        if folder := record.checkpoint_in(own_sweep.path):
            (folder / "model.safetensors").unlink(missing_ok=True)
    measure_latencies(plan, study)
    assert latencies_of(study) == {}
    assert len(study.user_attr(LATENCIES)) == 2
    contest, choice = hold_contest(plan, study), choose_winner(plan, study.records)
    assert contest.trial
    assert choice
    assert contest.trial == choice.best
