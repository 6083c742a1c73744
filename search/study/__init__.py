"""The Optuna study of a sweep, which trial wins, and what the sweep reports."""
