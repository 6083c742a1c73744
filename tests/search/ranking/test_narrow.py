"""`sweep.ranked_sources`: the sources that a sweep keeps, what it refuses, and the comparison with its trials."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.engine.start import resume_sweep, start_sweep
from search.errors import PlanError
from search.plan.changes import name_taken_problems
from search.plan.data import check_data
from search.plan.plan import Plan, build_plan, load_sweep
from search.ranking.narrow import keep_best_sources
from search.record.ranking import RankedCandidate, Ranking, best_first
from search.record.ranking_check import ranking_check
from search.record.records import Outcome, State, TrialRecord
from search.show.report import print_outcome
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from trainable.metrics.metric import Direction

Blocks = dict[str, Any]


@pytest.fixture
def given(blocks: Blocks, tweets_csv: Path) -> Blocks:
    """An experiment that ranks three sources and keeps one: films, rows of the target, and films again."""
    films = blocks["trial"]["source"].pop("dataset")
    blocks["trial"]["datasets"] = {"films": films, "near": {"csv": str(tweets_csv)}, "again": films}
    blocks["sweep"] = {"name": "tiny", "ranked_sources": 1, "confirm_seeds": 0, "refit": False, "trials": 2}
    when = {"source.enabled": True}
    blocks["space"] |= {"source.dataset": {"choice": ["films", "near", "again"], "when": when}}
    return blocks


def plan_of(blocks: Blocks) -> Plan:
    return build_plan(blocks, (Path(),), "tiny.yaml")


def test_the_first_sources_of_the_ranking_are_kept(given: Blocks, tmp_path: Path) -> None:
    plan, printed = plan_of(given), io.StringIO()
    check_data(plan, tmp_path)
    kept, ranking = keep_best_sources(plan, tmp_path, Console(file=printed, width=200))
    assert kept.space.dimensions["source.dataset"].domain.corners() == ranking.sources[:1]
    assert kept.space.dimensions["source.dataset"].when == plan.space.dimensions["source.dataset"].when
    assert set(ranking.sources) == {"films", "near", "again"}
    assert f"kept: {ranking.sources[0]}" in printed.getvalue()
    given["sweep"]["ranked_sources"] = 7
    assert keep_best_sources(plan_of(given), tmp_path, Console(file=printed))[0].space == plan.space
    assert Ranking.from_values(json.loads(ranking.to_json())) == ranking


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {}}, "nothing to rank"),
        ({"start_with": [{"source.dataset": "films", "source.enabled": True}]}, r"start_with\[0\] needs a certain"),
        ({"when": True}, "source.epochs needs a certain source.dataset"),
    ],
)
def test_what_the_ranking_could_contradict_is_refused(given: Blocks, change: Blocks, words: str) -> None:
    if "space" in change:
        del given["space"]["source.dataset"]
        given["trial"]["source"]["dataset"] = "films"
    if "when" in change:
        del given["trial"]["source"]["epochs"]
        given["space"]["source.epochs"] = {"choice": [1, 2], "when": {"source.dataset": "films"}}
    given["sweep"] |= {name: value for name, value in change.items() if name == "start_with"}
    with pytest.raises(PlanError, match=words):
        plan_of(given)


def trial(number: int, value: float | None, **params: Any) -> TrialRecord:
    state = State.FAILED if value is None else State.FINISHED
    named = {name.replace("_", "."): setting for name, setting in params.items()}
    return TrialRecord(number, state, named, 0, value=value)


RANKING = Ranking(
    *("tweets", 64, 2, 2000),
    best_first(
        [
            RankedCandidate("e", "films", 0.3, 1.2, 0.7),
            RankedCandidate("e", None, 0.1, 1.0, 0.5),
            RankedCandidate("e", "mail", 0.2, 1.1, 0.6),
        ]
    ),
)


def test_the_ranking_is_compared_with_the_best_trials() -> None:
    films, none = trial(0, 0.7, source_dataset="films"), trial(1, 0.6, source_enabled=False)
    mail, worse = trial(2, 0.8, source_dataset="mail", source_enabled=True), trial(3, 0.1, source_dataset="mail")
    agreed = ranking_check(RANKING, [films, none, trial(4, None, source_dataset="mail")], Direction.MAX)
    assert agreed is not None
    assert "'films' 0.7000 (ranked 1), no source 0.6000 (ranked 3). What the ranking put first" in agreed
    wrong = ranking_check(RANKING, [films, none, mail, worse], Direction.MAX)
    assert wrong is not None
    assert "The ranking preferred 'films', whose best trial is worse by 0.1000" in wrong
    lower = ranking_check(RANKING, [films, none, mail], Direction.MIN)
    assert lower is not None
    assert lower.startswith("Best trials: no source 0.6000")
    assert ranking_check(RANKING, [films], Direction.MAX) is None


def test_the_outcome_of_a_sweep_has_its_ranking_and_the_kept_sources(given: Blocks, tmp_path: Path) -> None:
    kept = plan_of(given | {"space": given["space"] | {"source.dataset": {"choice": ["near"]}}})
    folder = SweepFolder(tmp_path, "tiny")
    folder.path.mkdir()
    stored = {**kept.to_mapping(), "id": "0", "data": {}, "ranking": json.loads(RANKING.to_json())}
    folder.plan.write_text(json.dumps(stored), encoding="utf-8")
    plan = load_sweep(folder, {"sweep.trials": "3"})
    assert plan.space == kept.space
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    outcome = summarise(plan, tmp_path, study)
    assert outcome.ranking == RANKING
    assert outcome.ranking_check is None  # no trial has finished
    checked = replace(outcome, ranking_check="Best trials: films")
    assert Outcome.from_json(checked.to_json()) == checked
    shown = io.StringIO()
    print_outcome(checked, Console(file=shown, width=80))
    assert "The ranking before the search" in shown.getvalue()
    assert "Best trials: films" in shown.getvalue()
    (taken,) = name_taken_problems(folder, plan_of(given))
    assert "holds the same experiment" in taken


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_sweep_searches_what_the_ranking_kept_and_compares(given: Blocks, tmp_path: Path) -> None:
    plan, storage = plan_of(given), tmp_path / "runs"
    outcome = start_sweep(plan, storage)
    assert outcome.ranking is not None
    kept = outcome.ranking.sources[0]
    assert {each.params["source.dataset"] for each in outcome.searched if each.params["source.enabled"]} <= {kept}
    assert load_saved_plan(SweepFolder(storage, "tiny"))["space"]["source.dataset"]["choice"] == [kept]
    assert Outcome.from_json(outcome.to_json()) == outcome
    with pytest.raises(PlanError, match="holds the same experiment"):
        start_sweep(plan, storage)
    more = resume_sweep("tiny", storage, overrides={"sweep.trials": "3"})
    assert more.ranking == outcome.ranking
    shown = io.StringIO()
    print_outcome(more, Console(file=shown, width=80))
    assert "The ranking before the search" in shown.getvalue()
