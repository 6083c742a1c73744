"""Seeds computed from their purpose, such as stage and step, so that a resume needs no state of a generator."""

import hashlib


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed from any parts; the same in every process and Python version."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
