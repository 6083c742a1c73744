"""The time of a single row is the median over rows of all lengths; of each row the shortest time counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainable.inputs.prepare import prepare
from trainable.loop import latency
from trainable.loop.latency import ROUNDS, Timed, latencies
from trainable.model.encoder import new_model
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION


def test_each_call_has_one_row_and_models_take_turns(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config(base)
    rows = prepare(config.dataset_of(config.target), config.encoder, [Path()]).splits["train"].for_stage(config.target)
    calls: list[tuple[str, tuple[int, ...]]] = []
    models = []
    for name in "ab":
        model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), 0, 0.1).eval()
        model.register_forward_pre_hook(
            lambda _, args, given, name=name: calls.append((name, tuple(given["input_ids"].shape))), with_kwargs=True
        )
        models.append(Timed(model, rows.inputs, "fp32"))
    monkeypatch.setattr(latency, "MOST_ROWS", 3)
    assert min(latencies(models, torch.device("cpu"))) > 0
    chosen = rows.inputs.lengths[np.linspace(0, len(rows.labels) - 1, 3).round().astype(int)].tolist()
    assert calls == [(name, (1, length)) for _ in range(ROUNDS + 1) for name in "ab" for length in chosen]


def test_a_disturbance_does_not_count(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which calls take 10 ms, but every third one 500 ms."""
    ticks = (second for call in range(1000) for second in (call, call + (0.5 if call % 3 == 0 else 0.01)))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    config = build_config(base)
    rows = prepare(config.dataset_of(config.target), config.encoder, [Path()]).splits["train"].for_stage(config.target)
    model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), 0, 0.1).eval()
    monkeypatch.setattr(latency, "MOST_ROWS", 4)
    (found,) = latencies([Timed(model, rows.inputs, "fp32")], torch.device("cpu"))
    assert found == pytest.approx(10)
