"""Scalars: the values that a setting can have in YAML and in Optuna, and when two are the same."""

import math
from typing import TypeGuard

Scalar = bool | int | float | str | None


def same(a: object, b: object) -> bool:
    """Return whether two scalars are the same value in YAML: true is not 1, but 1 is 1.0."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def is_scalar(value: object) -> bool:
    """Return whether a value can be an option: text, a finite number, a boolean or null."""
    return value is None or isinstance(value, bool | str) or is_finite(value)


def is_finite(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number (not a boolean) within the range of floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False
