"""Describes mistakes in settings as sentences: the value, the allowed values, and the name that was probably meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

CLASH = "clash"
"""Type of the pydantic errors whose message already is a sentence of this project."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_TAGS = {
    "<name>",
    "<number>",
    "<table>",
}  # of unions: pydantic adds them to paths; the user did not write them


def unknown(name: str, known: Sequence[str], what: str = "setting") -> str:
    """Return a sentence about an unknown name, with the name that was probably meant, or else all known names."""
    hint = _did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
    return f"no such {what}: {name!r}{hint}"


def describe(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Yield pydantic's errors as sentences: dotted path, allowed values, given value, suggestion."""
    for item in error.errors(include_url=False):
        path = [part for part in item["loc"] if part not in _TAGS]
        of_key = path[-1:] == ["[key]"]  # pydantic adds this after a key that the mapping does not allow
        path = path[:-1] if of_key else path
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        if item["type"] in (CLASH, "value_error"):
            sentence = item["msg"].removeprefix("Value error, ")
        elif item["type"] == "extra_forbidden":
            sentence = unknown(str(path[-1]), _fields_at(model, path[:-1]))
        elif item["type"] == "missing":
            sentence = "is missing"
        elif of_key:
            sentence = f"the name {_must_be(_key_at(model, path[:-1]), (), item['input'])}"
        else:
            sentence = _must_be(*_type_at(model, path), item["input"])
        yield f"{where}: {sentence}" if where else sentence


def allowed_values(annotation: Any, bounds: Sequence[object] = ()) -> str:
    """Return the allowed values of a type in words, such as `a whole number from 1 to 65536`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return allowed_values(inner[0], [*bounds, *_bounds(inner[1:])])
    if origin in (Union, UnionType):
        words = " or ".join(dict.fromkeys(allowed_values(one, bounds) for one in inner if one is not NoneType))
        return f"{words}, or null" if NoneType in inner else words
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (list, tuple):
        return f"a list of which each is {allowed_values(inner[0])}"
    if annotation in (int, float):
        return _WORDS[annotation] + _range(bounds)
    return _WORDS.get(annotation) or _mapping(annotation)


def shown(value: object) -> str:
    """Return a value as text for a message, cut to 80 characters."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _must_be(annotation: Any, bounds: Sequence[object], value: object) -> str:
    options = [str(one) for one in get_args(annotation)] if get_origin(annotation) is Literal else []
    infinite = isinstance(value, int | float) and value in (float("inf"), float("-inf"))
    allowed = allowed_values(annotation, bounds).replace("a number", "a finite number" if infinite else "a number")
    return f"must be {allowed}, got {shown(value)}{_did_you_mean(str(value), options)}"


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _range(bounds: Sequence[object]) -> str:
    """Return bounds in words, with a leading space."""
    least = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = [f"of at least {least}"] if least is not None else []
    words += [f"above {bound.gt}" for bound in bounds if isinstance(bound, Gt)]
    words += [f"at most {most}"] if most is not None else []
    words += [f"below {bound.lt}" for bound in bounds if isinstance(bound, Lt)]
    return f" {' and '.join(words)}" if words else ""


def _mapping(annotation: Any) -> str:
    """Return a mapping in words; with its key if the key is the only one."""
    fields = list(getattr(annotation, "model_fields", ()))
    return f"a mapping with {fields[0]}" if len(fields) == 1 else "a mapping of settings"


def _bounds(metadata: Sequence[object]) -> list[object]:
    """Return the metadata of an annotation, with the entries of a `Field(...)` one by one."""
    return [one for part in metadata for one in (part.metadata if isinstance(part, FieldInfo) else [part])]


def _type_at(model: type[BaseModel], path: Sequence[int | str]) -> tuple[Any, list[object]]:
    """Return the type and the bounds of the setting at a path."""
    found: tuple[Any, list[object]] = (model, [])
    for part in path:
        steps = [step for one in alternatives(found[0]) if (step := _step(one, part))]
        found = steps[0] if steps else (Any, [])
    return found


def _key_at(model: type[BaseModel], path: Sequence[int | str]) -> Any:
    """Return the type of the keys of the mapping at a path."""
    return next(get_args(one)[0] for one in alternatives(_type_at(model, path)[0]) if get_origin(one) is dict)


def _step(annotation: Any, part: int | str) -> tuple[Any, list[object]] | None:
    """Return the type and bounds of one part of a value of a type, such as a list item or a field; None without one."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple, dict):
        return inner[1 if origin is dict else 0], []
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    for name, field in annotation.model_fields.items():
        if part == (field.alias or name):
            return field.annotation, list(field.metadata)
    return None


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the names of the settings in the mapping at a path."""
    models = [one for one in alternatives(_type_at(model, path)[0]) if hasattr(one, "model_fields")]
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def alternatives(annotation: Any) -> list[Any]:
    """Return the types of a union without metadata, or the type itself if it is no union."""
    if get_origin(annotation) in (Union, UnionType):
        return [leaf for one in get_args(annotation) for leaf in alternatives(one)]
    return alternatives(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]
