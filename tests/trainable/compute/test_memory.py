"""Too little memory: batches are cut into more parts, and every number stays the same."""

import gc
import json
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from trainable.compute.device import Ranks
from trainable.compute.memory import none_if_out_of_memory, out_of_memory
from trainable.errors import TrialError
from trainable.inputs.frozen_output import FrozenOutputStore
from trainable.inputs.frozen_output_check import SAMPLE_ROWS
from trainable.inputs.prepare import prepare
from trainable.inputs.split import Split
from trainable.loop.evaluate import compute_logits
from trainable.loop.training import StageTraining
from trainable.model.encoder import fingerprint, new_model
from trainable.model.layers import layers_of
from trainable.model.limits import name_or_path
from trainable.progress import Report, StageContext
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def freeze_garbage_collection() -> None:
    """Exclude the objects of earlier test files from garbage collection: every out-of-memory error collects."""
    gc.freeze()


def _training(base: dict[str, Any], ranks: Ranks | None = None, micro_batches: int = 1, **stage: Any) -> StageTraining:
    config = build_config(base, {f"target.{name}": value for name, value in stage.items()})
    tokenized = prepare(config.dataset_of(config.target), config.encoder, [Path()])
    train, validation = (tokenized.splits[name].for_stage(config.target) for name in ("train", "validation"))
    model = new_model(config.encoder, CLASSIFICATION.head(tokenized.label_names), 0, config.target.dropout)
    context = StageContext("target", CLASSIFICATION, "macro_f1", 0, "fp32", CPU, micro_batches, ranks or Ranks())
    return StageTraining(model, train, validation, config.target, context)


def _no_room_for_more_than(rows: int, training: StageTraining, when_training: bool = False) -> None:
    """Let the encoder request a petabyte from the allocator if it gets more rows than that."""

    def ask(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > rows and (module.training or not when_training):
            torch.empty(2**50)

    layers_of(training.model)[0].register_forward_pre_hook(ask)


def _numbers(reports: list[Report]) -> list[dict[str, float]]:
    return [{n: v for n, v in r.metrics.items() if not n.endswith("micro_batches")} for r in reports]


def test_messages_of_the_allocators_are_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert out_of_memory(caught.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert none_if_out_of_memory(lambda: torch.empty(2**50)) is None
    with pytest.raises(RuntimeError, match="shape"):
        none_if_out_of_memory(lambda: torch.zeros(2).view(3))


@pytest.mark.parametrize("clip", [None, 1.0])
def test_smaller_parts_add_up_to_the_same_numbers(base: dict[str, Any], clip: float | None) -> None:
    settings = {"batch_size": 8, "dropout": 0.0, "gradient_clip": clip, "class_weights": "balanced"}
    plenty, tight = _training(base, **settings), _training(base, **settings)
    _no_room_for_more_than(3, tight)
    expected, found = list(plenty.reports()), list(tight.reports())
    assert [r.metrics["target.micro_batches"] for r in found] == [4.0] * len(found)
    for one, other in zip(_numbers(found), _numbers(expected), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    assert not any("target.micro_batches" in r.metrics for r in expected)


def test_with_dropout_it_is_as_if_the_parts_had_been_set(base: dict[str, Any]) -> None:
    chosen, tight = _training(base, dropout=0.1, micro_batches=4), _training(base, dropout=0.1)
    _no_room_for_more_than(2, tight, when_training=True)
    assert _numbers(list(tight.reports())) == _numbers(list(chosen.reports()))


def test_a_resume_keeps_to_the_smaller_parts(base: dict[str, Any], tmp_path: Path) -> None:
    whole = _training(base, dropout=0.1, epochs=2)
    _no_room_for_more_than(4, whole, when_training=True)
    reports = []
    for report in whole.reports():
        reports.append(report)
        if not report.last:
            whole.save(tmp_path)
    assert json.loads((tmp_path / "progress.json").read_text())["micro_batches"] == 2
    resumed = _training(base, dropout=0.1, epochs=2)  # with room for all
    resumed.load(tmp_path)
    assert list(resumed.reports()) == reports[1:]


def test_not_one_row_fits(base: dict[str, Any]) -> None:
    for when_training, words in ((True, "not even one row of target can be trained"), (False, "can be evaluated")):
        training = _training(base)
        _no_room_for_more_than(0, training, when_training)
        with pytest.raises(TrialError, match=words):
            next(training.reports()) if when_training else training.scores()


def test_an_evaluation_in_pieces_is_the_same(base: dict[str, Any]) -> None:
    training = _training(base)
    inputs = training.steps.train.inputs
    expected = compute_logits(training.model, inputs, CPU)
    asked: list[tuple[int, int]] = []  # rows, and tokens of each
    layers_of(training.model)[0].register_forward_pre_hook(lambda _, given: asked.append(given[0].shape[:2]))
    _no_room_for_more_than(4, training)
    torch.testing.assert_close(compute_logits(training.model, inputs, CPU), expected, rtol=1e-5, atol=1e-6)
    assert sum(rows for rows, _ in asked if rows <= 4) == len(inputs.lengths)
    failed = [rows * width for rows, width in asked if rows > 4]
    assert len(failed) > 1
    assert failed == sorted(set(failed), reverse=True)  # what did not fit is not tried again


def test_frozen_layers_output_in_pieces_is_the_same(base: dict[str, Any], tmp_path: Path) -> None:
    def stored(rows: int) -> Split | str:
        training = _training(base, frozen_layers=2)
        _no_room_for_more_than(rows, training)
        weights = fingerprint(name_or_path(base["encoder"]))
        return FrozenOutputStore(tmp_path / str(rows), weights, "data", "fp32", CPU).get(
            training.model, training.steps.train, 2
        )

    whole, pieces = stored(1000), stored(SAMPLE_ROWS)
    assert isinstance(whole, Split)
    assert isinstance(pieces, Split)
    everything = np.arange(len(whole.labels))
    expected, found = (split.inputs.batch(everything)["inputs_embeds"] for split in (whole, pieces))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert stored(0) == "memory has no room for it"  # the stage then trains without it
    assert not list(tmp_path.glob("0/*/*.safetensors"))


def _rank(rank: int, folder: Path, base: dict[str, Any]) -> None:
    """One of two ranks, of which one alone has too little memory."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    training = _training(base, Ranks(rank, 2), 2, dropout=0.1)
    if rank == 1:
        _no_room_for_more_than(1, training, when_training=True)
    reports = [asdict(replace(report, times={})) for report in training.reports()]
    (folder / f"{rank}.json").write_text(json.dumps(reports))
    hopeless = _training(base, Ranks(rank, 2), 2)
    if rank == 0:  # the one that evaluates
        _no_room_for_more_than(0, hopeless)
    said = []
    for work in (lambda: next(hopeless.reports()), hopeless.scores):
        try:
            work()
        except TrialError as error:
            said.append(str(error))
    (folder / f"{rank}.txt").write_text("\n".join(said))
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_cut_batches_together(base: dict[str, Any], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_rank, args=(rank, tmp_path, base)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(90)
        assert process.exitcode == 0
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first[-1]["metrics"]["target.micro_batches"] == 8
    alone = _numbers(list(_training(base, dropout=0.1, micro_batches=8).reports()))
    for report, expected in zip(first, alone, strict=True):
        del report["metrics"]["target.micro_batches"]
        assert report["metrics"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    said = [(tmp_path / f"{rank}.txt").read_text().splitlines() for rank in range(2)]
    assert said[0] == said[1]
    assert [line.split(":")[0] for line in said[0]] == ["out of memory"] * 2
