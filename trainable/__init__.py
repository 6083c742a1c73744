"""One trial: data, model and the source → target loop. Knows no sampler, no tracker and no sweep."""

from trainable.config import TrialConfig, build_config
from trainable.errors import ConfigError, TrialError
from trainable.trial import Trial, TrialResult, Workspace, run_trial

__all__ = [
    "ConfigError",
    "Trial",
    "TrialConfig",
    "TrialError",
    "TrialResult",
    "Workspace",
    "build_config",
    "run_trial",
]
