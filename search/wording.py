"""Values as people read them."""

from typing import Any

from trainable.settings.values import Params


def format_number(value: Any) -> str:
    """A setting or score in few characters: 4 significant digits, `-` for none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_score(value: float | None) -> str:
    """A score with 4 decimals, so that a column of them lines up; `-` for none."""
    return "-" if value is None else f"{value:.4f}"


def format_settings(params: Params) -> str:
    """Settings as `name=value`, by their dotted names."""
    return " ".join(f"{name}={format_number(value)}" for name, value in params.items()) or "no settings vary"


def format_duration(seconds: float) -> str:
    """Seconds in the unit that reads best: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def last_line(text: str) -> str:
    """The line of an error that says what went wrong: the last one that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
