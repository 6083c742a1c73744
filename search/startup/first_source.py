"""Train the first source stages while slots start, if it is short; a trial would begin it later and let others wait.

Trials find the result in the cache under its key, or wait for its lock, as for any source stage. If this
fails or is killed, the first trial trains the stage. A trial trains a long stage, because it reports progress.
"""

from collections.abc import Mapping

from trainable.preview.dry_run import Pace
from trainable.preview.source_rows import expected_seconds
from trainable.settings.config import TrialConfig
from trainable.trial import Trial
from trainable.workspace import Workspace

SHORT_SECONDS = 60.0
"""A stage that is expected to take longer counts as long."""


def train_first_sources(
    config: TrialConfig, workspace: Workspace, paces: Mapping[str, Pace], limit: float = SHORT_SECONDS
) -> bool:
    """Train the source stages of a trial if they are short.

    Args:
        config: the trial's settings, with source stages.
        workspace: the folders with the tokenised data.
        paces: the pace of each of them, as a dry run has measured it.
        limit: longest expected duration in seconds of all together.

    Returns:
        Whether the stages are trained now.

    Raises:
        TrialError: if a stage diverges.
    """
    trial, names = Trial(config, workspace), [*config.source_stages()]
    if sum(expected_seconds(trial.builder, name, paces[name]) for name in names) > limit:
        return False
    return any(report.stage == names[-1] and report.last for report in trial.reports())
