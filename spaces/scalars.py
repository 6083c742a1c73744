"""The values that a setting can take in YAML and in Optuna: scalars, and how they are told apart."""

import math
from typing import TypeGuard

Scalar = bool | int | float | str | None


def same(a: object, b: object) -> bool:
    """Whether two scalars are one value in YAML, where true is not 1 (but 1 is 1.0)."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def is_scalar(value: object) -> bool:
    """Whether a value can be an option: text, a finite number, a truth value or nothing."""
    return value is None or isinstance(value, bool | str) or is_finite(value)


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number (no truth value) within the range of floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of floats
        return False
