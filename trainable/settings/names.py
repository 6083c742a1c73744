"""Dotted names of settings (`target.learning_rate`): lists them, and converts between flat and nested mappings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from trainable.settings.stage import Stage
from trainable.settings.values import Nested, Params

_BLOCKS = ("source", "sources", "target")


def field_names(model: type[BaseModel], prefix: str = "", sources: Iterable[str] = ()) -> Iterator[str]:
    """Yield the dotted name of every setting; a data set counts as one setting.

    Args:
        model: the block of settings.
        prefix: begins each name.
        sources: names of the stages below `sources`.
    """
    for name, field in model.model_fields.items():
        nested = [t for t in _leaves(field.annotation) if isinstance(t, type) and issubclass(t, Stage)]
        if nested:
            for block in [f"{name}.{stage}" for stage in sources] if name == "sources" else [name]:
                yield from field_names(nested[0], f"{prefix}{block}.")
        elif prefix or name != "datasets":
            yield f"{prefix}{name}"


def _leaves(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType, dict, list):
        return [leaf for arg in get_args(annotation) for leaf in _leaves(arg)]
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    return [annotation]


def stage_blocks(settings: Nested) -> Iterator[tuple[str, Nested]]:
    """Yield the dotted name and the settings of every stage, in the order of training.

    Args:
        settings: the settings of a trial; each may be of a wrong type, and then it is left out.
    """
    sources = settings.get("sources")
    named = {f"sources.{name}": stage for name, stage in sources.items()} if isinstance(sources, Mapping) else {}
    for name, stage in {"source": settings.get("source"), **named, "target": settings.get("target")}.items():
        if isinstance(stage, Mapping):
            yield name, stage


def flatten(nested: Nested) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every setting; a data set stays one nested value."""
    yield from ((name, value) for name, value in nested.items() if name not in _BLOCKS or value is None)
    for block, stage in stage_blocks(nested):
        yield from ((f"{block}.{name}", value) for name, value in stage.items())


def nested(base: Nested, sampled: Params) -> dict[str, Any]:
    """Join fixed and sampled settings, unchecked, in one nested mapping, without disabled stages."""
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for name, value in sampled.items():
        merged = _with_value(merged, name, value)
    if _is_disabled(merged.get("source")):
        merged["source"] = None  # a disabled stage needs no settings
    if isinstance(merged.get("sources"), Mapping):
        merged["sources"] = {name: stage for name, stage in merged["sources"].items() if not _is_disabled(stage)}
    return merged


def _with_value(block: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a block with a value at a dotted name; a name below a setting that is no block stays as it is."""
    first, _, rest = name.partition(".")
    inner = block.get(first) or {}
    if rest and isinstance(inner, Mapping):
        stage, _, field = rest.partition(".")
        if first == "sources" and field and isinstance(inner.get(stage) or {}, Mapping):
            return {**block, first: {**inner, stage: {**(inner.get(stage) or {}), field: value}}}
        return {**block, first: {**inner, rest: value}}
    return {**block, name: value}  # the check reports it as unknown


def _is_disabled(stage: object) -> bool:
    return isinstance(stage, Mapping) and stage.get("enabled") is False
