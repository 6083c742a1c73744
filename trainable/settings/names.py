"""Dotted names of settings (`target.learning_rate`): lists them, and converts between flat and nested mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from trainable.settings.stage import Stage
from trainable.settings.values import Nested, Params


def field_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting; a data set counts as one setting."""
    for name, field in model.model_fields.items():
        nested = [t for t in _leaves(field.annotation) if isinstance(t, type) and issubclass(t, Stage)]
        if nested:
            yield from field_names(nested[0], f"{prefix}{name}.")
        elif prefix or name != "datasets":
            yield f"{prefix}{name}"


def _leaves(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType, dict, list):
        return [leaf for arg in get_args(annotation) for leaf in _leaves(arg)]
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    return [annotation]


def flatten(nested: Nested, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every setting; a data set stays one nested value."""
    for name, value in nested.items():
        if isinstance(value, dict) and name in {"source", "target"} and not prefix:
            yield from flatten(value, f"{name}.")
        else:
            yield prefix + name, value


def nested(base: Nested, sampled: Params) -> dict[str, Any]:
    """Join fixed and sampled settings, unchecked, in one nested mapping; a disabled source becomes None."""
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for name, value in sampled.items():
        block, _, field = name.partition(".")
        if field and isinstance(merged.get(block) or {}, dict):
            merged[block] = {**(merged.get(block) or {}), field: value}
        else:
            merged[name] = value  # a name below a setting that is no block; the check reports it as unknown
    if isinstance(merged.get("source"), dict) and merged["source"].get("enabled") is False:
        merged["source"] = None  # a disabled stage needs no settings
    return merged
