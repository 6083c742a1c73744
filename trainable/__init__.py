"""One trial: data, model, and training from source to target. This package knows no sampler, tracker or sweep.

`run_trial` is in `trainable.trial`. It is not imported here, so that settings and errors load without torch.
"""

import os

from trainable.errors import ConfigError, TrialError
from trainable.settings.config import TrialConfig, build_config

__all__ = ["ConfigError", "TrialConfig", "TrialError", "build_config"]

# Libraries read these variables once, when they are imported or first used; nothing above imports them. The variables
# are set here because workers of a cluster do not get the driver's environment.
for _name, _value in {
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # else a public service is asked to convert a model without safetensors
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # On CPUs, bfloat16 products are compiled for each batch shape, in 2 ms and up to 1 MB each. The trials of a slot (a
    # process that runs one trial after another) repeat the same shapes: 1,100 with texts of 128 tokens. The default
    # capacity, 1,024, loses 3 in 4 of them.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2048",
}.items():
    os.environ.setdefault(_name, _value)
