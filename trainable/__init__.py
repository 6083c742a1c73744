"""One trial: data, model and the source → target loop. Knows no sampler, no tracker and no sweep.

`trainable.trial` has `run_trial`; it is not imported here, so that settings and errors are at hand without torch.
"""

import os

from trainable.errors import ConfigError, TrialError
from trainable.settings.config import TrialConfig, build_config

__all__ = ["ConfigError", "TrialConfig", "TrialError", "build_config"]

# Read once by libraries, when they are imported or first used, which nothing above does. They stand here for workers of
# a cluster, which see nothing of the driver's environment.
for _name, _value in {
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # or a public service is asked to convert a model that has none
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # A CPU's products in bfloat16 are compiled for each shape of batch, 2 ms each and up to 1 MB. A slot's trials come
    # back to the same shapes: with texts of 128 tokens to 1,100 of them, of which the default, 1,024, loses 3 in 4.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2048",
}.items():
    os.environ.setdefault(_name, _value)
