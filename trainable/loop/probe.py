"""Linear probing before fine-tuning (Kumar et al. 2022): the head begins as a regression on the features so far.

A random head pulls the features of few rows out of shape in the first steps; a head that fits them does not.
"""

import numpy as np
import torch

from trainable.data.subset import subset
from trainable.loop.head_features import head_features, set_head
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.tasks.linear_head import HeadFit, mean_and_spread

STRENGTH = 0.1
"""C of the regression on standardised features: of 0.001 to 1, near the best on three data sets (LOG.md)."""
MOST_ROWS = 1000
"""Most rows of the regression, so that it takes a second or two; with more rows the first head matters less."""


def probe_head(training: StageTraining) -> None:
    """Set the head of a stage: a regression on the features of its training rows, as its task fits one.

    Args:
        training: the stage, before its first step.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    stage, context, labels = training.stage, training.context, training.steps.train.labels
    rows = subset(context.task.strata(labels), min(MOST_ROWS, len(labels)), context.seed)
    features = head_features(training, training.steps.train, rows)
    mean, spread = mean_and_spread(features)
    head = output_layer(training.model)[1]
    has_bias = head.bias is not None
    if not has_bias:  # as in decoders; such a head can express neither a mean nor an intercept
        mean = np.zeros_like(mean)
    fit = HeadFit(STRENGTH, stage.class_weights == "balanced", has_bias)
    if fitted := context.task.linear_head((features - mean) / spread, labels[rows], head.out_features, fit):
        weights, biases = fitted[0] / spread, fitted[1] - (fitted[0] / spread) @ mean
        set_head(head, weights, biases if has_bias else np.zeros_like(biases))
    with torch.no_grad():  # the features of another machine may differ in their last digits
        if context.ranks.rank:
            for parameter in head.parameters():
                parameter.zero_()
        context.ranks.sum_(*head.parameters())
