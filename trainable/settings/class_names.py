"""The setting `labels`: every mistake in it as one sentence that shows how it is meant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trainable.settings.wording import shown

_NUMBER = re.compile(r"-?[0-9.]+|true|false", re.IGNORECASE)
_EXAMPLE = '{"0": "ham", "1": "spam"}'


def class_names(given: Any) -> Any:
    """A value of `labels` with its keys as text.

    Raises:
        ValueError: where it names no classes, with the way out.
    """
    if problem := _problem(given):
        raise ValueError(problem)
    return {str(value): name for value, name in given.items()} if isinstance(given, Mapping) else given


def _problem(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, Mapping | list | tuple) or not given:
        return f"must be a mapping such as {_EXAMPLE}, or a list of the names of 0, 1, 2..., got {shown(given)}"
    if isinstance(given, Mapping):
        return _problem_of_mapping(given)
    strange = [name for name in given if not isinstance(name, str)]
    if not strange:
        return None
    return (
        f"a list holds the names of 0, 1, 2... as text, got {shown(strange[0])}; quote names that YAML reads as "
        f"something else, or map the value in the cell to a name, such as {_EXAMPLE}"
    )


def _problem_of_mapping(given: Mapping[Any, Any]) -> str | None:
    wrong = [value for value, name in given.items() if not isinstance(name, str)]
    if not wrong:
        return None
    meant = {_yaml(value): _yaml(name) for value, name in given.items()}
    if not all(map(_NUMBER.fullmatch, meant)):  # names stand where values should
        meant = {name: value for value, name in meant.items()}
    clear = len(meant) == len(given) and all(isinstance(name, str | int | float) for name in given.values())
    hint = f"; did you mean {json.dumps(meant, ensure_ascii=False):.300}?" if clear else f", such as {_EXAMPLE}."
    return (
        "the value in the cell comes first and the name second, as text; "
        f"{shown(str(wrong[0]))} is given the name {shown(given[wrong[0]])}{hint} "
        "Quote names that YAML reads as something else, such as numbers"
    )


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
