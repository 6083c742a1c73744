"""The sweep: joins spaces and trials, drives Ray Tune, records to MLflow, reports and exports."""

import os

import trainable  # noqa: F401  (it silences the Hub's libraries)

# Read once by the libraries, when they are imported: so here, before any module of this package imports them.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # search/tracking/delivery.py tries again, and can be ended meanwhile
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds; longer than a server waits for a locked SQLite file
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the JSON of --json
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # trials without a GPU leave CUDA_VISIBLE_DEVICES alone
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and the study have it all
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # reports of the source stage carry no target score
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
}.items():
    os.environ.setdefault(_name, _value)
