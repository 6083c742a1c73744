"""The sweep: searches a space for the best trial with Ray Tune, records to MLflow, reports and exports.

`from search import run, load` works; `transfersweep` offers the same functions, and more, under a name of its own.
"""

import os
from typing import TYPE_CHECKING, Any

import trainable  # noqa: F401  (it silences the libraries of the Hugging Face hub)

if TYPE_CHECKING:
    from search.api.calls import load, run

__all__ = ["load", "run"]

# The libraries read these variables once, when they are imported, so they must be set before any such import.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # search/tracking/delivery.py retries, and can be stopped between two tries
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds; longer than a server waits for a locked SQLite file
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the output of --json
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray leaves CUDA_VISIBLE_DEVICES alone for trials without a GPU
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and the study record everything
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # reports of the source stage have no target score
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # this package handles Ctrl-C itself
}.items():
    os.environ.setdefault(_name, _value)


def __getattr__(name: str) -> Any:
    """Import a function at its first use, because the import takes time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from search.api import calls

    return getattr(calls, name)
