"""Checks the setting `labels`, and describes a mistake in one sentence with an example of a correct value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trainable.settings.mistake_messages import shown

_NUMBER = re.compile(r"-?[0-9.]+|true|false", re.IGNORECASE)
_EXAMPLE = '{"0": "ham", "1": "spam"}'


def class_names(given: Any) -> Any:
    """Return the value of `labels` with its keys as text.

    Raises:
        ValueError: if the value does not name classes; the message shows how to write it.
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
    not_text = [name for name in given if not isinstance(name, str)]
    if not not_text:
        return None
    return (
        f"a list gives the names of 0, 1, 2... as text, got {shown(not_text[0])}; quote names that YAML would not "
        f"read as text, or map the value in the file to a name, such as {_EXAMPLE}"
    )


def _problem_of_mapping(given: Mapping[Any, Any]) -> str | None:
    wrong = [value for value, name in given.items() if not isinstance(name, str)]
    if not wrong:
        return None
    intended = {_yaml(value): _yaml(name) for value, name in given.items()}
    if not all(map(_NUMBER.fullmatch, intended)):  # the names are probably in the place of the values
        intended = {name: value for value, name in intended.items()}
    clear = len(intended) == len(given) and all(isinstance(name, str | int | float) for name in given.values())
    hint = (
        f"; did you mean {json.dumps(intended, ensure_ascii=False):.300}?"
        if clear
        else f"; write for instance {_EXAMPLE}."
    )
    return (
        "the value in the file comes first and the name second, as text; "
        f"{shown(str(wrong[0]))} has the name {shown(given[wrong[0]])}{hint} "
        "Quote names that YAML would not read as text, such as numbers"
    )


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
