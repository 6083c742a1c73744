"""Seeds that follow from what they are for, so that no generator's state needs to be kept."""

import hashlib


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any parts, stable over processes and versions."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
