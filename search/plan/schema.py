"""Builds the JSON Schema of an experiment file from the schemas of its three blocks."""

from typing import Any

from search.plan.settings import SweepSettings
from spaces import space_schema
from trainable.settings.config import STAGE_NAME, TrialConfig
from trainable.settings.names import field_names


def experiment_schema() -> dict[str, Any]:
    """Return a schema (draft 2020-12) with which editors complete and check experiment files.

    A required setting of a trial may be in the space block instead, so the schema requires nothing inside `trial`.
    `load_plan` finds missing settings.
    """
    sweep = SweepSettings.model_json_schema(ref_template="#/$defs/{model}")
    trial = TrialConfig.model_json_schema(ref_template="#/$defs/{model}")
    definitions = {**sweep.pop("$defs", {}), **trial.pop("$defs", {})}
    trial["properties"].pop("metric")  # set by sweep.metric
    for block in (trial, *(definitions[name] for name in ("Source", "Target"))):
        block.pop("required", None)
    fields = {"source": definitions["Source"], "target": definitions["Target"]}
    names = {name: _field(name, fields, trial) for name in field_names(TrialConfig) if name != "metric"}
    sources = {f"sources.{STAGE_NAME}.{field}": of for field, of in definitions["Source"]["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "transfersweep experiment",
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "trial"],
        "properties": {"sweep": sweep, "trial": trial, "space": space_schema(names, sources)},
        "$defs": definitions,
    }


def _field(name: str, stages: dict[str, Any], trial: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one setting, given by its dotted name."""
    block, _, field = name.partition(".")
    schema: dict[str, Any] = (stages[block] if field else trial)["properties"][field or block]
    return schema
