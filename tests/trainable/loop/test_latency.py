"""The time of a single row is the median over rows of all lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainable.inputs.prepare import prepare
from trainable.loop import latency
from trainable.loop.latency import median_latency
from trainable.model.encoder import new_model
from trainable.settings.config import build_config
from trainable.tasks.classification import CLASSIFICATION


def test_each_call_has_one_row(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config(base)
    rows = prepare(config.dataset_of(config.target), config.encoder, [Path()]).splits["train"].for_stage(config.target)
    model = new_model(config.encoder, CLASSIFICATION.head(("a", "b")), 0, 0.1).eval()
    shapes: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(
        lambda _, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(latency, "MOST_ROWS", 5)
    assert median_latency(model, rows.inputs, torch.device("cpu"), "fp32") > 0
    chosen = rows.inputs.lengths[np.linspace(0, len(rows.labels) - 1, 5).round().astype(int)].tolist()
    assert shapes == [(1, length) for length in [*chosen[: latency.WARM_UP], *chosen]]
