"""`transfersweep rank`: the candidates of an experiment, and their order."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner
from yaml_text import dump_yaml

from search.__main__ import app
from search.errors import PlanError
from search.plan.plan import Plan, build_plan
from search.ranking.candidates import candidates_of
from search.ranking.rank import rank_candidates
from search.record.ranking import RankedCandidate, Ranking, best_first
from search.show.ranking_table import print_ranking
from trainable.ranking.effort import Effort

Blocks = dict[str, Any]


def with_sources(blocks: Blocks, **space: Any) -> Blocks:
    """Return the experiment with two named sources to choose from."""
    source = dict(blocks["trial"]["source"])
    datasets = {name: source["dataset"] for name in ("films", "copy")}
    del source["dataset"]
    trial = blocks["trial"] | {"datasets": datasets, "source": source}
    when = {"source.enabled": True}
    return blocks | {
        "sweep": {"name": "tiny"},
        "trial": trial,
        "space": blocks["space"] | {"source.dataset": {"choice": ["films", "copy"], "when": when}} | space,
    }


def plan_of(blocks: Blocks) -> Plan:
    return build_plan(blocks, (Path(),), "tiny.yaml")


def test_every_encoder_is_a_candidate_without_and_with_each_source(blocks: Blocks, minilm: str, tiny_bert: str) -> None:
    del blocks["trial"]["encoder"]
    plan = plan_of(with_sources(blocks, encoder={"choice": [tiny_bert, minilm]}))
    found = [(each.encoder, each.source) for each in candidates_of(plan)]
    assert found == [(encoder, source) for encoder in (tiny_bert, minilm) for source in (None, "films", "copy")]
    for each in candidates_of(plan):
        assert each.config.pooling == "mean"  # that of MiniLM's folder, and where no folder says anything
        assert each.config.target.learning_rate == pytest.approx(1e-3)  # the middle of its range
        assert (each.config.source is None) == (each.source is None)


def test_a_fixed_source_without_a_name_and_a_fixed_pooling_are_kept(blocks: Blocks) -> None:
    blocks["trial"]["pooling"] = "max"
    blocks["space"] = {}
    blocks["sweep"] = {"name": "tiny"}
    found = candidates_of(plan_of(blocks))
    assert [(each.source, each.config.pooling) for each in found] == [(None, "max"), ("source", "max")]


def test_one_candidate_is_refused(blocks: Blocks) -> None:
    del blocks["trial"]["source"]
    blocks |= {"space": {}, "sweep": {"name": "tiny"}}
    with pytest.raises(PlanError, match=r"nothing to rank.*space\.source\.dataset"):
        candidates_of(plan_of(blocks))


def test_the_command_prints_a_table_and_json(blocks: Blocks, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(dump_yaml(with_sources(blocks)), encoding="utf-8")
    given = ["rank", str(file), "--storage", str(tmp_path / "runs"), "--source-rows", "32"]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "Which source, which encoder?" in shown.stdout
    asked = CliRunner().invoke(app, [*given, "--json"])
    ranking = json.loads(asked.stdout)
    assert len(ranking["candidates"]) == 3
    assert {each["source"] for each in ranking["candidates"]} == {None, "films", "copy"}
    same = [each for each in ranking["candidates"] if each["source"]]
    assert len({(each["log_me"], each["h_score"], each["knn"]) for each in same}) == 1  # the same data
    assert (ranking["rows"], ranking["classes"]) == (58, 2)  # without the 6 test rows
    assert not (tmp_path / "runs" / "tiny").exists()


def test_a_candidate_that_fails_comes_last_and_is_named(blocks: Blocks, tmp_path: Path) -> None:
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "gradient_clip": None, "weight_decay": 10.0, "batch_size": 1}
    blocks["trial"]["source"] |= wild
    plan = plan_of(with_sources(blocks))
    seen: list[RankedCandidate] = []
    ranking = rank_candidates(plan, candidates_of(plan), tmp_path, Effort(32), seen.append)
    assert len(seen) == 3
    assert [each.error is None for each in ranking.candidates] == [True, False, False]
    assert ranking.sources == ()


SCORED = [
    RankedCandidate("e", None, 0.1, 1.0, 0.5),
    RankedCandidate("e", "films", 0.3, 1.2, 0.7),
    RankedCandidate("e", "a name that is far too long for the column of the table", 0.2, 1.3, 0.6),
    RankedCandidate("e", "broken", error="the loss is not a number"),
]


def test_the_best_by_all_scores_comes_first() -> None:
    found = best_first(SCORED)
    assert [each.source for each in found][0] == "films"
    assert [each.source for each in found][2:] == [None, "broken"]
    ranking = Ranking("tweets", 64, 2, 2000, found)
    assert ranking.sources == ("films", SCORED[2].source)


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    both = [*SCORED, RankedCandidate("folder/of/another-encoder-with-a-long-name", "films", 0.5, 1.0, 1.0)]
    print_ranking(Ranking("tweets", 64, 2, 2000, best_first(both)), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("broken" in line and "not a number" in line for line in lines)
    assert any("█" in line for line in lines)
