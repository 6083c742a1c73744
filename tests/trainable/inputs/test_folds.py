"""Folds: every class on both sides, equal texts together, the same rows for the same number; and training on all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable import build_config
from trainable.baselines.compute import compute_baselines
from trainable.baselines.results import BaselineFolder, config_of
from trainable.inputs.folds import FEW_ROWS, all_rows, fold_of, has_folds
from trainable.inputs.prepare import TokenizedDataset, TokenizedSplit, tokenized_dataset_of
from trainable.inputs.ragged import Ragged
from trainable.inputs.tokens import Template, Tokens
from trainable.stages.stage_builder import StageBuilder
from trainable.trial import run_trial
from trainable.workspace import Workspace

TEMPLATE = Template((), 0, 0, has_kinds=False, pads_left=False, cuts_left=False)


def _split(rows: list[tuple[int, int]]) -> TokenizedSplit:
    """One token for each row, and its class."""
    ids, labels = (np.array(column) for column in zip(*rows, strict=True))
    tokens = Tokens((Ragged(ids.astype(np.int32), np.arange(len(ids) + 1)),), TEMPLATE)
    return TokenizedSplit(tokens, labels.astype(np.int64), labels.astype(np.int64))


def _data(train: list[tuple[int, int]], validation: list[tuple[int, int]]) -> TokenizedDataset:
    splits = {"train": _split(train), "validation": _split(validation)}
    return TokenizedDataset("classification", splits, ("a", "b"), "", "", "", "", (), (), (), cuts_validation=True)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.integers(0, 30), min_size=8, max_size=60), number=st.integers(1, 5), seed=st.integers(0, 3))
def test_a_fold_divides_the_rows_and_keeps_equal_texts_together(rows: list[int], number: int, seed: int) -> None:
    labelled = [(text, text % 2) for text in [*rows, 0, 1, 2, 3]]  # two texts at least of each class
    data = _data(labelled[:-2], labelled[-2:])
    fold = fold_of(data, number, seed)
    assert sorted([*fold.train, *fold.held_out]) == list(range(len(labelled)))
    pool = all_rows(data)
    texts = pool.tokens.sequences[0].ids
    assert not set(texts[fold.train]) & set(texts[fold.held_out])
    assert set(pool.labels[fold.train]) == set(pool.labels[fold.held_out]) == {0, 1}
    again = fold_of(data, number, seed)
    assert np.array_equal(fold.train, again.train) and np.array_equal(fold.held_out, again.held_out)


@pytest.fixture
def tweets(base: dict[str, Any], workspace: Workspace) -> TokenizedDataset:
    config = build_config(base)
    return tokenized_dataset_of(config, config.target, workspace)


def test_all_rows_are_the_training_rows_then_the_validation_rows(tweets: TokenizedDataset) -> None:
    pool, train, validation = all_rows(tweets), tweets.splits["train"], tweets.splits["validation"]
    rows, n = np.arange(len(pool.labels)), len(train.labels)
    assert np.array_equal(pool.labels, np.concatenate([train.labels, validation.labels]))
    assert pool.tokens.digest(rows[:n], 24) == train.tokens.digest(np.arange(n), 24)
    assert pool.tokens.digest(rows[n:], 24) == validation.tokens.digest(np.arange(len(rows) - n), 24)


def test_each_number_holds_out_other_rows_and_as_many(tweets: TokenizedDataset) -> None:
    folds = [fold_of(tweets, number, 0) for number in range(4)]
    assert len({tuple(fold.held_out) for fold in folds}) == 4
    assert max(abs(len(fold.held_out) - len(folds[0].held_out)) for fold in folds) <= 1
    everything = fold_of(tweets, None, 0)
    assert np.array_equal(everything.train, np.arange(len(all_rows(tweets).labels)))


@pytest.mark.parametrize("change", ["train_rows", "given", "many"])
def test_only_few_rows_whose_validation_is_cut_here_have_folds(
    tweets: TokenizedDataset, base: dict[str, Any], change: str
) -> None:
    target = build_config(base).target
    assert has_folds(tweets, target)
    if change == "train_rows":
        target = target.model_copy(update={"train_rows": 16})
    rows = [(i, i % 2) for i in range(FEW_ROWS)]
    data = {"train_rows": tweets, "given": TokenizedDataset(*_fields(tweets)), "many": _data(rows, rows[:10])}[change]
    assert not has_folds(data, target)


def _fields(data: TokenizedDataset) -> list[Any]:
    """All fields but the last one, `cuts_validation`."""
    return list(vars(data).values())[:-1]


def test_a_trial_without_a_fold_trains_on_all_rows_keeps_its_last_weights_and_has_no_score(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(base, {"target.fold": None, "target.patience": 1, "target.epochs": 3})
    builder = StageBuilder(config, workspace)
    tokenized = builder.tokenized("target", config.target)
    assert len(builder.splits(tokenized, config.target)[0].labels) == len(all_rows(tokenized).labels)
    reports = []
    result = run_trial(config, lambda r: not reports.append(r), workspace=workspace, save_to=tmp_path / "saved")
    assert (result.value, result.finished) == (None, True)
    assert [set(report.metrics) for report in reports] == [{"target.train.loss"}] * 3
    assert config_of(tmp_path / "saved").target.fold is None


def test_another_fold_gives_another_score_and_a_resume_the_same(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    base["metric"] = "loss"  # accuracy over so few rows may be the same

    def run(fold: int) -> float | None:
        return run_trial(build_config(base, {"target.fold": fold}), lambda _: True, workspace=workspace).value

    assert run(0) == run_trial(build_config(base), lambda _: True, workspace=workspace).value
    values = [run(fold) for fold in range(4)]
    assert len(set(values)) > 1
    half = build_config(base, {"target.fold": 2})
    run_trial(half, lambda _: False, workspace=workspace, save_to=tmp_path / "half")
    resumed = run_trial(half, lambda _: True, workspace=workspace, resume=tmp_path / "half")
    assert resumed.value == values[2]


def test_baselines_are_scored_on_folds_and_trained_on_all_rows(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(base)
    plain, folder = BaselineFolder(tmp_path / "plain"), BaselineFolder(tmp_path / "folds")
    compute_baselines(config, workspace, plain, folds=1, refit=False)
    compute_baselines(config, workspace, folder, folds=3, refit=True)
    everything = len(all_rows(tokenized_dataset_of(config, config.target, workspace)).labels)
    for result, own_split in zip(folder.read(), plain.read(), strict=True):
        assert len(result.folds) == 3
        assert result.metrics["accuracy"] == pytest.approx(np.mean([fold["accuracy"] for fold in result.folds]))
        assert result.rows == everything > own_split.rows
        assert config_of(folder.checkpoint(result.name)).target.fold is None
    majority = folder.read()[0], plain.read()[0]
    assert majority[0].folds[0] == pytest.approx(majority[1].metrics)
