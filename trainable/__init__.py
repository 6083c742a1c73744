"""One trial: data, model and the source → target loop. Knows no sampler, no tracker and no sweep.

`trainable.trial` has `run_trial`; it is not imported here, so that settings and errors are at hand without torch.
"""

import os

from trainable.config import TrialConfig, build_config
from trainable.errors import ConfigError, TrialError

__all__ = ["ConfigError", "TrialConfig", "TrialError", "build_config"]

# Read once by the Hub's libraries, when they are imported, which nothing above does. They stand here for workers of a
# cluster, which see nothing of the driver's environment.
for _name, _value in {
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # or a public service is asked to convert a model that has none
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_name, _value)
