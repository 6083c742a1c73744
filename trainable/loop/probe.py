"""Linear probing before fine-tuning (Kumar et al. 2022): the head begins as a regression on the features so far.

With a random head, the first steps pull the features of few rows out of shape. A head that already fits them does not.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from trainable.loop.head_features import as_head, head_features, head_of, mean_and_spread, set_head
from trainable.loop.training import StageTraining

STRENGTH = 0.1
"""C of the regression on standardised features."""


def probe_head(training: StageTraining) -> None:
    """Set the head of a stage before its first step: a logistic regression on the features of its training rows.

    Args:
        training: the stage, before its first step.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    split = training.steps.train
    features = head_features(training, split)
    mean, spread = mean_and_spread(features)
    names = tuple(str(index) for index in range(head_of(training.model).out_features))
    balanced = "balanced" if training.stage.class_weights == "balanced" else None
    model = LogisticRegression(C=STRENGTH, max_iter=200, class_weight=balanced)
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - mean) / spread, np.array(names)[split.labels])
    set_head(head_of(training.model), *as_head(model, mean, spread, names))
