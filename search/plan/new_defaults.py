"""Settings that a plan always stores, as older versions had other defaults for them."""

from collections.abc import Mapping
from typing import Any

from search.storage.older_plans import OLD_DEFAULTS
from spaces import Space
from trainable.settings.stage import Source, Stage, Target
from trainable.settings.values import Nested

_STAGES: dict[str, type[Stage]] = {"source": Source, "target": Target}
"""The stages that older versions had."""


def with_new_defaults(trial: Nested, space: Space) -> dict[str, Any]:
    """Return the trial block with today's defaults of the settings whose defaults have changed.

    A stored plan that lacks one of these settings is of an older version, and keeps that version's default.
    """
    pooling = {} if "pooling" in space.names else {"pooling": "auto"}
    stages: dict[str, Nested] = {}
    for name, stage in _STAGES.items():
        if isinstance(given := trial.get(name), Mapping):
            new = [field for field in OLD_DEFAULTS[name] if f"{name}.{field}" not in space.names]
            stages[name] = {**{field: stage.model_fields[field].default for field in new}, **given}
    return {**pooling, **trial, **stages}


def without_new_defaults(trial: Nested) -> Nested:
    """Return the trial block without the settings that `with_new_defaults` would add."""
    added = with_new_defaults({name: {} for name in _STAGES}, Space({}))
    kept: dict[str, Any] = {}
    for name, value in trial.items():
        if name in _STAGES and isinstance(value, Mapping):
            kept[name] = {field: given for field, given in value.items() if added[name].get(field, ...) != given}
        elif added.get(name, ...) != value:
            kept[name] = value
    return kept
