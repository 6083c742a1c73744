"""The loss of a classification, and intervals of every metric."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainable.metrics.metric import TASK_METRICS
from trainable.tasks.classification import CLASSIFICATION, CrossEntropy

CPU = torch.device("cpu")


def test_the_focal_loss_without_an_exponent_is_the_cross_entropy() -> None:
    logits, labels = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    plain = CrossEntropy(torch.ones(3), 0.0, 0.0, CPU).sum(logits, labels)
    assert torch.equal(plain, functional.cross_entropy(logits, labels, reduction="sum"))
    focal = CrossEntropy(torch.ones(3), 0.0, 2.0, CPU).sum(logits, labels)
    right = logits.softmax(-1)[torch.arange(8), labels]
    torch.testing.assert_close(focal, (-((1 - right) ** 2) * right.log()).sum())
    assert focal < plain


@pytest.mark.parametrize("metric", TASK_METRICS["classification"])
def test_every_metric_has_intervals(metric: str) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=60)
    first = torch.from_numpy(np.eye(3)[labels] * 2 + generator.normal(size=(60, 3)))
    second = torch.from_numpy(generator.normal(size=(60, 3)))
    value = CLASSIFICATION.scores(first, labels)[metric]
    low, high = CLASSIFICATION.interval(first, labels, metric)
    assert low <= value <= high
    low, high = CLASSIFICATION.difference_interval(first, second, labels, metric)
    assert low <= value - CLASSIFICATION.scores(second, labels)[metric] <= high
