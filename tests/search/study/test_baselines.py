"""Baselines as contestants of a finished sweep, and the sentence on what the search added."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.plan.plan import build_plan, load_sweep
from search.record.costs import MODEL_WEIGHTS, TEXT_GFLOPS
from search.record.records import Outcome, State
from search.record.scores import Baseline
from search.storage.sweep_folder import SweepFolder
from search.study.baselines import Contest, baselines_so_far, describe_gain, hold_contest, rank_baselines
from search.study.finalists import Repeat
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from trainable.baselines.results import BaselineFolder, BaselineResult, mean_metrics
from trainable.workers.messages import TrialReport


@pytest.fixture
def own_sweep(swept: SweepFolder, tmp_path: Path) -> SweepFolder:
    """Copy the finished sweep, to add baselines to it."""
    shutil.copytree(swept.path, tmp_path / "runs" / swept.name)
    return SweepFolder(tmp_path / "runs", swept.name)


FEATURES = Baseline("features", {"macro_f1": 0.7}, 0.7, 3.0, 100, "baselines/features")


def test_baselines_are_ranked_by_score_and_then_the_simpler_first() -> None:
    tfidf, majority = replace(FEATURES, name="tfidf"), replace(FEATURES, name="majority", value=0.2)
    ranked = rank_baselines([FEATURES, tfidf, majority], "macro_f1")
    assert [each.name for each in ranked] == ["tfidf", "features", "majority"]
    assert rank_baselines([FEATURES, majority], "loss")[0] is majority


def test_baselines_with_equal_scores_on_few_folds_are_ranked_by_all_of_them(tmp_path: Path) -> None:
    """Once, the majority class won with 4 held-out rows, though features were better on all folds."""
    folder = BaselineFolder(tmp_path / "baselines")
    folder.path.mkdir()
    for name, second, loss in (("majority", 0.2, 1.0), ("tfidf", 0.6, 1.1), ("features", 0.6, 0.9)):
        folds = ({"macro_f1": 0.2, "loss": loss}, {"macro_f1": second, "loss": loss})
        folder.write(BaselineResult(name, mean_metrics(folds), folds))
    ranked = baselines_so_far(tmp_path, [], "macro_f1", (0,))
    assert [(each.name, each.value) for each in ranked] == [("features", 0.2), ("tfidf", 0.2), ("majority", 0.2)]


@pytest.mark.parametrize(
    ("values", "interval", "verdict"),
    [
        ((0.9, 0.7), (0.1, 0.3), "The search helped:"),
        ((0.9, 0.7), (-0.1, 0.3), "The search may have helped,"),
        ((0.9, 0.7), None, "The search helped:"),
        ((0.7, 0.7), None, "The search added nothing:"),
        ((0.6, 0.7), (-0.2, -0.05), "The search added nothing:"),
    ],
)
def test_the_sentence_says_whether_the_search_added_anything(
    values: tuple[float, float], interval: tuple[float, float] | None, verdict: str
) -> None:
    gain = describe_gain(FEATURES, values, "macro_f1", "test", interval, 50)
    assert gain.sentence.startswith(verdict)
    assert gain.difference == pytest.approx(values[0] - values[1])
    assert (gain.low, gain.high) == (interval or (None, None))
    assert (", 50 rows" in gain.sentence) == (interval is not None)


def test_a_lower_loss_is_a_gain() -> None:
    baseline = replace(FEATURES, metrics={"loss": 0.5}, value=0.5)
    sentence = describe_gain(baseline, (0.4, 0.5), "loss", "test").sentence
    assert sentence.startswith("The search helped: loss 0.4000 on the test split, 0.1000 below")


def outcome_with(sweep: SweepFolder, value: float) -> Outcome:
    """Return the outcome of a finished sweep with a majority baseline of that score."""
    checkpoint = sweep.baselines.checkpoint("majority")
    checkpoint.mkdir(parents=True, exist_ok=True)
    plan = load_sweep(sweep)
    config = plan.config({"target.epochs": 1}).model_dump(mode="json", by_alias=True)
    (checkpoint / "trial.json").write_text(json.dumps({"config": config}), encoding="utf-8")
    sweep.baselines.write(BaselineResult("majority", {"macro_f1": value, "accuracy": 0.5}, rows=51))
    return _outcome(sweep)


def _outcome(sweep: SweepFolder, **facts: Any) -> Outcome:
    plan = replace(load_sweep(sweep), **facts)
    return summarise(plan, sweep.storage, SweepStudy(sweep.study, plan.settings, plan.space, 0), complete=True)


def test_a_baseline_wins_a_tie_and_its_settings_are_those_of_the_winner(own_sweep: SweepFolder) -> None:
    best = _outcome(own_sweep).validation
    assert best
    outcome = outcome_with(own_sweep, best.mean)
    assert (outcome.winner, outcome.exported, outcome.winning_baseline) == (None, None, "majority")
    assert outcome.winner_config["target.epochs"] == 1
    assert outcome.gain
    assert outcome.gain.sentence.startswith("The search added nothing")
    stored = json.loads(json.dumps(outcome.to_json()))
    assert stored["winner"]["baseline"] == "majority"
    assert Outcome.from_json(stored) == outcome


def test_a_trial_wins_with_a_better_score(own_sweep: SweepFolder) -> None:
    outcome = outcome_with(own_sweep, -1.0)
    assert (outcome.winner, outcome.winning_baseline) == (0, None)
    assert [each.name for each in outcome.baselines if each.checkpoint] == ["majority"]
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize(("lead", "wins"), [(0.01, False), (0.5, True)])
def test_a_trial_without_its_refit_wins_only_with_a_clear_lead(lead: float, wins: bool, own_sweep: SweepFolder) -> None:
    best = _outcome(own_sweep).validation
    assert best
    outcome_with(own_sweep, best.mean - lead)
    settings = load_sweep(own_sweep).settings.model_copy(update={"refit": True})
    outcome = _outcome(own_sweep, settings=settings, held_out_rows=20)
    assert (outcome.winner is not None) == wins
    assert any("no time to train that trial on all rows" in note for note in outcome.notes) != wins


def test_a_baseline_without_a_model_is_a_note(own_sweep: SweepFolder) -> None:
    own_sweep.baselines.path.mkdir()
    own_sweep.baselines.write(BaselineResult("features", error="no room"))
    plan = load_sweep(own_sweep)
    outcome = summarise(
        plan, own_sweep.storage, SweepStudy(own_sweep.study, plan.settings, plan.space, 0), complete=True
    )
    assert "the baseline features + logistic regression was not computed: no room" in outcome.notes
    assert outcome.winner == 0
    assert not any(each.checkpoint for each in outcome.baselines)


def test_a_baseline_is_scored_on_the_folds_of_the_trial(own_sweep: SweepFolder) -> None:
    folds = tuple({"macro_f1": value} for value in (0.5, 0.7, 0.9))
    own_sweep.baselines.path.mkdir()
    own_sweep.baselines.write(BaselineResult("tfidf", {"macro_f1": 0.7}, folds))
    for chosen, value in (((), 0.7), ((0,), 0.5), ((0, 1), 0.6), ((0, 1, 2), 0.7)):
        (found,) = baselines_so_far(own_sweep.path, [], "macro_f1", chosen)
        assert found.value == pytest.approx(value)


@pytest.mark.parametrize(("baseline", "winner"), [(0.5, 1), (0.715, 0), (0.9, None)])
def test_a_cheaper_trial_that_a_baseline_beats_does_not_take_the_place_of_the_best(
    baseline: float, winner: int | None, blocks: dict[str, Any], tmp_path: Path
) -> None:
    contest = contest_with(blocks, tmp_path, BaselineResult("majority", {"macro_f1": baseline}))
    assert contest.trial
    assert (None if contest.winning_baseline else contest.trial.number) == winner
    assert (contest.passed_over is not None) == (winner == 1)


@pytest.mark.parametrize(
    ("name", "limit", "baseline", "trial"),
    [("features", 3, None, 1), ("features", 0.5, None, None), ("tfidf", 0.5, "tfidf", None), ("tfidf", 3, "tfidf", 1)],
)
def test_with_limits_a_baseline_wins_only_without_an_encoder(
    name: str, limit: float, baseline: str | None, trial: int | None, blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks["sweep"]["constraints"] = [f"text_gflops <= {limit}"]
    contest = contest_with(blocks, tmp_path, BaselineResult(name, {"macro_f1": 0.9}))
    assert (contest.winning_baseline and contest.winning_baseline.name) == baseline
    assert (contest.trial and contest.trial.number) == (0 if baseline and trial is not None else trial)


def contest_with(blocks: dict[str, Any], tmp_path: Path, result: BaselineResult) -> Contest:
    """Return a contest of a baseline with trial 0, which has 0.72 on average, and trial 1: cheaper, with 0.71."""
    del blocks["space"]["source.enabled"]
    blocks["sweep"] |= {"finalists": 2, "start_with": []}
    plan = build_plan(blocks, (), "test")
    study = SweepStudy(tmp_path / "study.db", plan.settings, plan.space, 0)
    for scores, gflops in (((0.7, 0.74), 2.0), ((0.72, 0.7), 1.0)):
        begun = study.begin_search_trial()
        assert begun
        for key, score in zip((begun.key, None), scores, strict=True):
            run = key if key is not None else study.begin_repeat(Repeat("confirm", begun.number, 1, begun.params)).key
            metrics = {MODEL_WEIGHTS: 1e6, TEXT_GFLOPS: gflops}
            report = TrialReport("target", value=score, metrics=metrics, improved=True, fraction_done=1.0)
            study.report(run, report)
            study.end(run, State.FINISHED)
    folder = BaselineFolder(tmp_path / "baselines")
    folder.path.mkdir()
    folder.write(result)
    return hold_contest(plan, study)
