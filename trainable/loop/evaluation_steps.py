"""When a stage is evaluated on its validation split."""

from trainable.settings.stage import Stage, Target

LEAST_EVALUATIONS = 4
"""Of a target stage, if they are not set: enough to stop poor trials and to find the best weights."""


def evaluation_steps(stage: Stage, train_rows: int, validation_rows: int) -> list[int]:
    """Return the optimiser steps after which to evaluate, in ascending order; the last step is always one of them.

    Args:
        stage: settings of the stage.
        train_rows: training rows, at least 1.
        validation_rows: validation rows, at least 1.
    """
    steps_per_epoch = -(-train_rows // stage.batch_size)
    total = steps_per_epoch * stage.epochs
    shares = stage.evaluate_at if isinstance(stage, Target) else ()
    further = {max(1, round(share * total)) for share in shares}
    return sorted({*_regular(stage, steps_per_epoch, train_rows / validation_rows), *further, total})


def _regular(stage: Stage, steps_per_epoch: int, rows_ratio: float) -> set[int]:
    """Return the evenly spaced steps; `rows_ratio` is the number of training rows for each validation row."""
    per_epoch, epochs = stage.evaluations_per_epoch, stage.epochs
    if per_epoch is not None:
        steps = {round(steps_per_epoch * (e + (i + 1) / per_epoch)) for e in range(epochs) for i in range(per_epoch)}
        return {step for step in steps if step >= 1}
    count = epochs
    if isinstance(stage, Target) and stage.patience is None:
        # A training row costs about three times a validation row: its backward pass takes twice the forward pass.
        count = min(epochs, max(LEAST_EVALUATIONS, int(3 * rows_ratio * epochs)))
    return {steps_per_epoch * round(epochs * (i + 1) / count) for i in range(count)}
