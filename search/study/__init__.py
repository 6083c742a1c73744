"""The truth about a sweep's trials: the Optuna study, and who wins."""
