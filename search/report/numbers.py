"""Numbers of the report, with three digits."""


def number(value: float | None) -> str:
    """Return a number with three significant digits; `-` for None."""
    return "-" if value is None else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share from 0 to 1 as a percentage with three significant digits."""
    return f"{100 * share:.3g} %"
