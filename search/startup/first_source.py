"""Train the first source stage while slots start, if it is short; a trial would begin it later and let others wait.

Trials find the result in the cache under its key, or wait for its lock, as for any source stage. If this
fails or is killed, the first trial trains the stage. A trial trains a long stage, because it reports progress.
"""

from trainable.preview.dry_run import Pace
from trainable.preview.source_rows import expected_seconds
from trainable.settings.config import TrialConfig
from trainable.trial import Trial
from trainable.workspace import Workspace

SHORT_SECONDS = 60.0
"""A stage that is expected to take longer counts as long."""


def train_first_source(config: TrialConfig, workspace: Workspace, pace: Pace, limit: float = SHORT_SECONDS) -> bool:
    """Train the source stage of a trial if it is short.

    Args:
        config: the trial's settings, with a source stage.
        workspace: the folders with the tokenised data.
        pace: the stage's pace, as a dry run has measured it.
        limit: longest expected duration in seconds.

    Returns:
        Whether the stage is trained now.

    Raises:
        TrialError: if the stage diverges.
    """
    trial = Trial(config, workspace)
    if expected_seconds(trial.builder, pace) > limit:
        return False
    return any(report.stage == "source" and report.last for report in trial.reports())
