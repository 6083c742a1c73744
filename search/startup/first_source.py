"""A short source stage, trained while slots start: in a trial it would begin after that, and others wait for it.

Trials find it under its content address like any other, and wait for its lease like for any other's; where this fails
or is killed, the first of them trains it. A long stage is left to a trial, which tells how far it is.
"""

from trainable.preview.dry_run import Pace
from trainable.settings.config import TrialConfig
from trainable.stages.stage_builder import StageBuilder
from trainable.trial import Trial
from trainable.workspace import Workspace

SHORT_SECONDS = 60.0
"""A stage that is expected to take longer is long."""


def train_first_source(config: TrialConfig, workspace: Workspace, pace: Pace) -> bool:
    """Train the source stage of a trial, where it is short.

    Args:
        config: the trial's settings, with a source stage.
        workspace: where the data lie, tokenised.
        pace: of that stage, as a rehearsal has measured it.

    Returns:
        Whether it is trained now.

    Raises:
        TrialError: if it diverges.
    """
    trial = Trial(config, workspace)
    if expected_seconds(trial.builder, pace) > SHORT_SECONDS:
        return False
    return any(report.stage == "source" and report.last for report in trial.reports())


def expected_seconds(builder: StageBuilder, pace: Pace) -> float:
    """What the steps of a trial's source stage will take."""
    stage = builder.config.source
    assert stage is not None
    train, _ = builder.splits(builder.prepared("source", stage), stage)
    tokens, batches = int(train.inputs.lengths.sum()), -(-len(train.labels) // stage.batch_size)
    return stage.epochs * pace.step(tokens, batches)
