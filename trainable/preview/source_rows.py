"""Fits the source stage into the minutes of a sweep: how many of its training rows it uses."""

from trainable.inputs.split import Split
from trainable.preview.dry_run import Pace
from trainable.settings.config import TrialConfig
from trainable.stages.stage_builder import StageBuilder
from trainable.workspace import Workspace

SHARE = 1 / 3
"""Largest share of a sweep's minutes for a source stage: every trial with a source waits for it."""
LEAST_ROWS = 500
"""With fewer rows a source stage would teach little; then trials without a source make better use of the time."""
_STEP = 100
"""The number of rows is a multiple of this, as the measured pace is not more exact."""


def seconds_for_source(minutes: float) -> float:
    """Return the seconds that a source stage may take in a sweep of so many minutes."""
    return 60 * minutes * SHARE


def expected_seconds(builder: StageBuilder, name: str, pace: Pace) -> float:
    """Return the expected seconds of all steps of a source stage.

    Args:
        builder: builder of a trial that has the stage.
        name: the dotted name of the stage.
        pace: the stage's pace, as a dry run has measured it.
    """
    stage, train = builder.config.source_stages()[name], _training_rows(builder, name)
    tokens, batches = int(train.inputs.lengths.sum()), -(-len(train.labels) // stage.batch_size)
    return stage.epochs * pace.step(tokens, batches)


def rows_that_fit(config: TrialConfig, workspace: Workspace, pace: Pace, seconds: float) -> int | None:
    """Return how many training rows the source stage can use in so many seconds.

    Args:
        config: settings of a trial with one source stage, `source`.
        workspace: the folders with the tokenised data.
        pace: see `expected_seconds`.
        seconds: longest duration of the stage.

    Returns:
        The number of rows; None if there is time for all, or for fewer than `LEAST_ROWS`.
    """
    builder = StageBuilder(config, workspace)
    needed = expected_seconds(builder, "source", pace)
    if needed <= seconds:
        return None
    rows = int(len(_training_rows(builder, "source").labels) * seconds / needed) // _STEP * _STEP
    return rows if rows >= LEAST_ROWS else None


def _training_rows(builder: StageBuilder, name: str) -> Split:
    stage = builder.config.source_stages()[name]
    return builder.splits(builder.tokenized(name, stage), stage)[0]
