"""Completes the plans of sweeps that older versions began, so that they go on as they began."""

from typing import Any

from trainable.settings.values import Nested

OLD_DEFAULTS: dict[str, Nested] = {
    "source": {"evaluations_per_epoch": 1},
    "target": {"head": "auto", "load_best_at_end": True, "evaluations_per_epoch": 1},
}
"""Settings that newer versions always store, with the defaults of versions that do not."""


def complete_older_plan(saved: dict[str, Any]) -> None:
    """Add to the content of a `plan.json` what newer versions store, with the values that it meant then."""
    if "pooling" not in saved["space"]:
        saved["trial"].setdefault("pooling", "first")  # all that a version without this setting could do
    if "refit" not in saved["sweep"]:
        _keep_old_splits(saved)
    for name, defaults in OLD_DEFAULTS.items():
        if isinstance(stage := saved["trial"].get(name), dict):
            old = {field: value for field, value in defaults.items() if f"{name}.{field}" not in saved["space"]}
            saved["trial"][name] = old | stage
    # Older versions stored whether there are folds, and the number of finalists.
    saved.setdefault("held_out_rows", int(saved.get("has_folds", False)))


def _keep_old_splits(saved: dict[str, Any]) -> None:
    """Add to a plan of a version without folds what that version did: a tenth of the rows, one draw, no refit."""
    saved["sweep"] |= {"cross_validate": False, "refit": False}
    stages = [saved["trial"].get(stage) or {} for stage in ("source", "target")]
    tables = [stage.get("dataset") for stage in stages] + list((saved["trial"].get("datasets") or {}).values())
    for table in tables:
        if isinstance(table, dict) and table.get("validation_fraction") is None:
            table["validation_fraction"] = 0.1
