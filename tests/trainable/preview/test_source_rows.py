"""The source stage gets as many rows as there is time for, by the pace of the dry run."""

from pathlib import Path
from typing import Any

import pytest

from trainable.preview import source_rows
from trainable.preview.dry_run import Line, Pace
from trainable.preview.source_rows import expected_seconds, rows_that_fit
from trainable.settings.config import TrialConfig, build_config
from trainable.stages.stage_builder import StageBuilder
from trainable.workspace import Workspace

BY_STEP = Pace(step=Line(3600.0, 0.0), evaluation=Line(0.0, 0.0))
BY_TOKEN = Pace(step=Line(0.0, 1.0), evaluation=Line(0.0, 0.0))


@pytest.fixture
def config(base: dict[str, Any]) -> TrialConfig:
    return build_config(base, {"source.enabled": True, "source.epochs": 2})


@pytest.fixture
def builder(config: TrialConfig, tmp_path: Path) -> StageBuilder:
    return StageBuilder(config, Workspace(tmp_path))


def rows_of(builder: StageBuilder) -> int:
    assert builder.config.source is not None
    return len(builder.tokenized("source", builder.config.source).splits["train"].labels)


def test_the_expected_seconds_are_those_of_all_steps(builder: StageBuilder) -> None:
    assert builder.config.source is not None
    train, _ = builder.splits(builder.tokenized("source", builder.config.source), builder.config.source)
    steps = 2 * -(-len(train.labels) // 32)
    assert expected_seconds(builder, "source", BY_STEP) == 3600 * steps
    assert expected_seconds(builder, "source", BY_TOKEN) == 2 * train.inputs.lengths.sum()


@pytest.mark.parametrize("share", [0.35, 0.6, 0.99])
def test_the_rows_take_the_given_time(
    share: float, config: TrialConfig, builder: StageBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_rows, "LEAST_ROWS", 10)
    monkeypatch.setattr(source_rows, "_STEP", 10)
    seconds = share * expected_seconds(builder, "source", BY_TOKEN)
    rows = rows_that_fit(config, builder.workspace, BY_TOKEN, seconds)
    assert rows is not None and rows % 10 == 0
    assert share * rows_of(builder) - 10 < rows <= share * rows_of(builder)
    cut = config.model_copy(update={"source": config.source.model_copy(update={"train_rows": rows})})  # type: ignore[union-attr]
    assert expected_seconds(StageBuilder(cut, builder.workspace), "source", BY_TOKEN) == pytest.approx(seconds, rel=0.3)


def test_where_all_rows_fit_none_is_left_out(config: TrialConfig, builder: StageBuilder) -> None:
    seconds = expected_seconds(builder, "source", BY_TOKEN)
    assert rows_that_fit(config, builder.workspace, BY_TOKEN, seconds) is None


def test_too_few_rows_are_not_worth_a_stage(config: TrialConfig, builder: StageBuilder) -> None:
    assert rows_that_fit(config, builder.workspace, BY_TOKEN, 1.0) is None
