"""What stays in the driver: Tune pickles it into a file that is never read here."""


class DriverOnly:
    """Leaves nothing of itself in a pickle."""

    def __getstate__(self) -> dict[str, object]:
        """Nothing."""
        return {}
