"""A base class for objects that stay in the driver. Tune pickles them into a file that transfersweep never reads."""


class DriverOnly:
    """Keeps all attributes out of a pickle."""

    def __getstate__(self) -> dict[str, object]:
        """Return an empty state."""
        return {}
