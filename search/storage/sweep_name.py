"""Checks the name of a sweep: it is the name of a folder in the storage folder, and needs no quotes in a shell."""

import re
import unicodedata

from search.redaction import redact

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
RESERVED = ("cache", "mlartifacts", "mlflow.db", "submitted")
"""Other files and folders in a storage folder, whose names no sweep can have."""
_LONGEST = 100


def checked_name(name: str) -> str:
    """Return the name unchanged.

    Raises:
        ValueError: if the name is not valid; the message says what is wrong and suggests a name.
    """
    if name in RESERVED:
        raise ValueError(f"{name!r} is reserved for other contents of the storage folder; choose another name")
    if problem := _problem(name):
        rule = "a name consists of letters a to z, digits, dots, dashes and underscores"
        raise ValueError(f"{name!r:.120} {problem}; {rule}, such as {similar_name(redact(name))}")
    return name


def _problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if wrong := sorted({c for c in name if not re.match("[A-Za-z0-9._-]", c)}, key=name.index):
        return f"contains {', '.join(map(_character, wrong[:5]))}"
    if not name[0].isalnum():
        return f"begins with {name[0]!r}, not with a letter or digit"
    return f"has {len(name)} characters, more than {_LONGEST}" if len(name) > _LONGEST else None


def _character(character: str) -> str:
    return "a space" if character == " " else repr(character)


def similar_name(name: str) -> str:
    """Return a valid name that is as similar as possible."""
    spelled = name.replace("\u00df", "ss")
    letters = "".join(c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("._-")
    return plain[:_LONGEST].rstrip("._-") or "first-try"
