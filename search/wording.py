"""Formats numbers, scores, settings and durations for people."""

from typing import Any

from trainable.settings.values import Params


def format_number(value: Any) -> str:
    """Return a setting or score in few characters: 3 significant digits, `-` for None."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """Return a share from 0 to 1 as a percentage with three significant digits."""
    return f"{100 * share:.3g} %"


def whole_percent(share: float) -> str:
    """Return a share from 0 to 1 as a percentage without decimals."""
    return f"{100 * share:.0f} %"


def format_score(value: float | None) -> str:
    """Return a score with 4 decimals, so that the scores of a column line up; `-` for None."""
    return "-" if value is None else f"{value:.4f}"


def format_settings(params: Params) -> str:
    """Return settings as `name=value`; names of the target stage are short."""
    shown = (f"{short_name(name)}={format_number(value)}" for name, value in params.items())
    return " ".join(shown) or "no settings vary"


def short_name(name: str) -> str:
    """Return the name of a setting without `target.`, the stage that most settings are about."""
    return name.removeprefix("target.")


def format_duration(seconds: float) -> str:
    """Return seconds in the most readable units: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def last_line(text: str) -> str:
    """Return the last line of an error that is not empty: in a traceback, the one that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
