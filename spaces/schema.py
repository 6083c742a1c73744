"""Makes the JSON Schema of the `space` block, which editors use to complete names and domains."""

from collections.abc import Iterator, Mapping
from typing import Any

_SCALARS = {"boolean", "integer", "number", "string", "null"}
_SCALAR = {"type": ["boolean", "number", "string", "null"]}
HAS_SHARES = "x-shares"
"""Key in the schema of a value that says, if true, that a space may give shares of the largest value instead."""
_RANGE_KEYS: dict[str, dict[str, Any]] = {
    "step": {"type": "number", "exclusiveMinimum": 0, "description": "Distance between neighbouring values."},
    "log": {"type": "boolean", "description": "Draw every decade equally often; low must be above 0, without step."},
}


def space_schema(names: Mapping[str, Mapping[str, Any]], patterns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON Schema of the `space` block.

    Args:
        names: for each dotted name that can be searched, the JSON Schema of its value. Of this,
            `description`, `type`, `enum`, `const`, `anyOf`, `oneOf` and bounds are used; `{}` allows everything.
        patterns: the same for regular expressions of names.
    """
    when = {
        "type": "object",
        "description": "The name is active only if other names have these values.",
        "propertyNames": {"anyOf": [{"enum": list(names)}, *({"pattern": f"^{name}$"} for name in patterns)]},
        "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]},
    }
    return {
        "type": "object",
        "description": "What varies: dotted names and their domains.",
        "additionalProperties": False,
        "properties": {name: _dimension(schema, when) for name, schema in names.items()},
        "patternProperties": {f"^{name}$": _dimension(schema, when) for name, schema in patterns.items()},
    }


def _dimension(value: Mapping[str, Any], when: dict[str, Any]) -> dict[str, Any]:
    leaves = [leaf for leaf in _leaves(value) if "$ref" not in leaf]  # a mapping is no scalar, and never searched
    types = {leaf.get("type") for leaf in leaves}
    plain = types <= _SCALARS  # no list, no missing type
    option = {"anyOf": leaves} if plain else _SCALAR
    kinds = [_kind("choice", {"type": "array", "items": option, "minItems": 1, "uniqueItems": True}, {}, when)]
    for kind, number, fits in (("float", "number", {"number"}), ("int", "integer", {"integer", "number"})):
        if types & fits or not plain:
            bounds = {"type": "array", "items": {"type": number}, "minItems": 2, "maxItems": 2}
            kinds.insert(0, _kind(kind, bounds, _RANGE_KEYS, when))
    if value.get(HAS_SHARES):
        shares = {"type": "number", "minimum": 0, "maximum": 1}
        bounds = {"type": "array", "items": shares, "minItems": 2, "maxItems": 2}
        kinds.append(_kind("share", bounds, {"step": _RANGE_KEYS["step"]}, when))
    return {**({"description": value["description"]} if "description" in value else {}), "oneOf": kinds}


def _kind(kind: str, content: dict[str, Any], keys: dict[str, Any], when: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [kind],
        "additionalProperties": False,
        "properties": {kind: content, **keys, "when": when},
    }


def _leaves(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a value's schema, without titles, descriptions and defaults."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    for part in parts or ():
        yield from _leaves(part)
    if not parts:
        yield {key: limit for key, limit in schema.items() if key not in {"title", "description", "default"}}
