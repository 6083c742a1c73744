"""One trial: data, model and the source → target loop. Knows no sampler, no tracker and no sweep.

`trainable.trial` has `run_trial`; it is not imported here, so that settings and errors are at hand without torch.
"""

from trainable.config import TrialConfig, build_config
from trainable.errors import ConfigError, TrialError

__all__ = ["ConfigError", "TrialConfig", "TrialError", "build_config"]
