"""Mistakes in settings as sentences: what stands there, what may stand there, and the likely intended name."""

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
"""The kind of error whose message is a sentence of ours already."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_TAGS = {"<name>", "<table>"}  # of a union; they stand in pydantic's paths, a user never wrote them


def unknown(name: str, known: Sequence[str], what: str = "setting") -> str:
    """A sentence for a name that is none of the known ones, with the likely intended one."""
    hint = _did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
    return f"no such {what}: {name!r}{hint}"


def describe(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Pydantic's errors as sentences: dotted path, what may stand there, the value, a suggestion."""
    for item in error.errors(include_url=False):
        path = [part for part in item["loc"] if part not in _TAGS]
        of_key = path[-1:] == ["[key]"]  # pydantic's mark behind a key that may not stand in a mapping
        path = path[:-1] if of_key else path
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        if item["type"] in (CLASH, "value_error"):
            sentence = item["msg"].removeprefix("Value error, ")
        elif item["type"] == "extra_forbidden":
            sentence = unknown(str(path[-1]), _fields_at(model, path[:-1]))
        elif item["type"] == "missing":
            sentence = "is missing"
        elif of_key:
            sentence = f"the name {_refusal(_key_at(model, path[:-1]), (), item['input'])}"
        else:
            sentence = _refusal(*_type_at(model, path), item["input"])
        yield f"{where}: {sentence}" if where else sentence


def takes(annotation: Any, bounds: Sequence[object] = ()) -> str:
    """What a setting of that type can be, in words: `a whole number from 1 to 65536`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(inner[0], [*bounds, *_bounds(inner[1:])])
    if origin in (Union, UnionType):
        words = " or ".join(dict.fromkeys(takes(one, bounds) for one in inner if one is not NoneType))
        return f"{words}, or null" if NoneType in inner else words
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (list, tuple):
        return f"a list of which each is {takes(inner[0])}"
    if annotation in (int, float):
        return _WORDS[annotation] + _range(bounds)
    return _WORDS.get(annotation, "a mapping of settings")


def shown(value: object) -> str:
    """A value for a sentence, cut to a readable length."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _refusal(annotation: Any, bounds: Sequence[object], value: object) -> str:
    options = [str(one) for one in get_args(annotation)] if get_origin(annotation) is Literal else []
    finite = isinstance(value, int | float) and value in (float("inf"), float("-inf"))
    allowed = takes(annotation, bounds).replace("a number", "a finite number" if finite else "a number")
    return f"must be {allowed}, got {shown(value)}{_did_you_mean(str(value), options)}"


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _range(bounds: Sequence[object]) -> str:
    """Bounds in words, with the space before them."""
    least = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = [f"of at least {least}"] if least is not None else []
    words += [f"above {bound.gt}" for bound in bounds if isinstance(bound, Gt)]
    words += [f"at most {most}"] if most is not None else []
    words += [f"below {bound.lt}" for bound in bounds if isinstance(bound, Lt)]
    return f" {' and '.join(words)}" if words else ""


def _bounds(metadata: Sequence[object]) -> list[object]:
    """What stands beside a type, that of a `Field(...)` one by one."""
    return [one for part in metadata for one in (part.metadata if isinstance(part, FieldInfo) else [part])]


def _type_at(model: type[BaseModel], path: Sequence[int | str]) -> tuple[Any, list[object]]:
    """The type of the setting at a path, and the bounds beside it."""
    found: tuple[Any, list[object]] = (model, [])
    for part in path:
        steps = [step for one in alternatives(found[0]) if (step := _step(one, part))]
        found = steps[0] if steps else (Any, [])
    return found


def _key_at(model: type[BaseModel], path: Sequence[int | str]) -> Any:
    """The type of the keys of the mapping at a path."""
    return next(get_args(one)[0] for one in alternatives(_type_at(model, path)[0]) if get_origin(one) is dict)


def _step(annotation: Any, part: int | str) -> tuple[Any, list[object]] | None:
    """The type and bounds of one part of a value of that type."""
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
    """The names of the settings in the mapping at a path."""
    models = [one for one in alternatives(_type_at(model, path)[0]) if hasattr(one, "model_fields")]
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union without what is beside them, or the type alone."""
    if get_origin(annotation) in (Union, UnionType):
        return [leaf for one in get_args(annotation) for leaf in alternatives(one)]
    return alternatives(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]
