"""A dry run reports the same problems as a trial, and keeps nothing of what it trains."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.compute.device import Arithmetic
from trainable.loop.training import StageTraining
from trainable.preview.dry_run import Line, dry_run
from trainable.settings.config import build_config
from trainable.workspace import Workspace


def test_a_line_goes_through_both_batches_and_is_never_negative() -> None:
    line = Line.through((10, 2.0), (110, 4.0))
    assert (line(10), line(110)) == (pytest.approx(2.0), pytest.approx(4.0))
    assert line(220, batches=2) == pytest.approx(2 * line(110))
    falling = Line.through((10, 4.0), (110, 2.0))
    assert (falling.fixed, falling.per_token) == (2.0, 0.0)
    steep = Line.through((10, 0.0), (110, 4.0))
    assert steep.fixed == 0
    assert steep(110) == pytest.approx(4.0)
    assert Line.through((10, 2.0), (10, 3.0))(10) == 3.0


def test_both_stages_are_timed(base: dict[str, Any], workspace: Workspace) -> None:
    made = dry_run(build_config(base, {"source.enabled": True}), workspace, threads=1)
    assert made.problems == ()
    assert made.device == (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")
    assert list(made.paces) == ["source", "target"]
    assert all(pace.step(1000, 10) > 0 for pace in made.paces.values())
    assert all(pace.evaluation(1000) > 0 for pace in made.paces.values())
    assert list(dry_run(build_config(base), workspace, threads=1).paces) == ["target"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU, wall-clock time counts")
def test_cpu_time_of_other_processes_does_not_count(
    base: dict[str, Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr("trainable.preview.dry_run._clocks", lambda: (1000.0 * (tick := next(ticks)), 100.0 * tick))
    pace = dry_run(build_config(base), workspace, threads=1).paces["target"]
    assert pace.step.fixed == pytest.approx(100, rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about CPUs")
def test_emulated_bfloat16_is_computed_in_float32_and_its_times_are_multiplied(
    base: dict[str, Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, computed = build_config(base, {"precision": "bf16"}), []

    def run(training: StageTraining) -> tuple[tuple[int, float], tuple[int, float], int]:
        """Return seconds that are a linear function of tokens."""
        computed.append(training.context.precision)
        tokens = int(training.steps.train.inputs.lengths.sum())
        return (tokens, 1 + tokens), (tokens, 2 + tokens), 0

    monkeypatch.setattr("trainable.preview.dry_run._measure", run)
    monkeypatch.setattr("trainable.compute.device._slowdown", lambda device: 26.0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    native = dry_run(config, workspace, threads=1)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    emulated = dry_run(config, workspace, threads=1)
    assert computed == ["bf16", "bf16", "fp32", "fp32"]
    assert native.arithmetic == Arithmetic("bf16", "bf16, as precision says")
    assert emulated.arithmetic == Arithmetic("bf16", "bf16, as precision says", 26.0)
    (slow,), (fast,) = emulated.paces.values(), native.paces.values()
    assert slow.step.fixed == pytest.approx(fast.step.fixed)
    assert slow.step.per_token == pytest.approx(26 * fast.step.per_token)
    assert slow.evaluation.per_token == pytest.approx(26 * fast.evaluation.per_token)


def test_nothing_trained_is_kept(base: dict[str, Any], workspace: Workspace) -> None:
    dry_run(build_config(base, {"source.enabled": True, "target.frozen_layers": 2}), workspace, threads=1)
    assert [path.name for path in workspace.cache.iterdir()] == ["tokens"]


def test_a_learning_rate_that_diverges_is_no_problem_of_a_dry_run(base: dict[str, Any], workspace: Workspace) -> None:
    wild = {"target.optimizer": "sgd", "target.learning_rate": 10, "target.gradient_clip": None}
    assert dry_run(build_config(base, wild), workspace, threads=1).problems == ()


def test_a_mistake_between_the_stages_is_found(base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("text,label\n" + "".join(f"words {i},{'spam' if i % 2 else 'ham'}\n" for i in range(40)))
    base["source"]["dataset"] = {"csv": str(other)}
    made = dry_run(build_config(base, {"source.enabled": True, "target.head": "keep"}), workspace, threads=1)
    assert "target.head: 'keep' needs the same labels" in made.problems[0]


def test_too_few_training_rows_are_found(base: dict[str, Any], workspace: Workspace) -> None:
    made = dry_run(build_config(base, {"target.train_rows": 5000}), workspace, threads=1)
    assert made.problems[0].startswith("train_rows: 5000 is more than the")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_memory_is_measured(base: dict[str, Any], workspace: Workspace) -> None:
    made = dry_run(build_config(base), workspace, threads=1)
    assert 0 < made.gpu_bytes < made.gpu_total
    assert made.device == torch.cuda.get_device_name()
