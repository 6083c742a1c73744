"""The expected duration of a sweep, in words."""

from dataclasses import dataclass

from trainable.data.message_text import plural

_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))


@dataclass(frozen=True)
class TimeForecast:
    """Expected duration of a sweep in seconds."""

    low: float
    high: float
    slots: int
    fit: int | None = None
    """Search trials that fit the time limit of the sweep; None without one."""
    trials: int | None = 0
    """Search trials that the settings ask for; None: as many as fit."""
    limit: str = ""
    """The time limit in words, such as `5 minutes`."""

    def __str__(self) -> str:
        unit, name = next((u, n) for u, n in _UNITS if self.high > 1.5 * u or u == 1)
        digits = 1 if unit == 3600 and self.low < 3 * unit else 0
        ends = [f"{value / unit:.{digits}f}" for value in (self.low, self.high)]
        span = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        time = f"about {span} {name} on {self.slots} slot{'s' if self.slots > 1 else ''}"
        if self.fit is None:
            return time
        if self.trials is None:
            count = f"about {plural(self.fit, 'trial')}" if self.fit else "no trial"
        else:
            count = f"{f'about {self.fit}' if self.fit else 'none'} of {plural(self.trials, 'trial')}"
        return f"{time}; {count} {'fit' if self.fit else 'fits'} in {self.limit}"
