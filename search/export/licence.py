"""The licence of an encoder, read from the model card in its folder. No content of that file makes an export fail."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from trainable.model.limits import name_or_path

_MOST = 64 * 1024  # bytes of a card that are read; its front matter is at the top
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


class Licence(NamedTuple):
    """The licence of an export's encoder."""

    name: str | None
    reason: str | None = None
    """Why there is no name, without a path. None if there is a name, and if the encoder has no card."""


def licence_of(encoder: str) -> Licence:
    """Read the licence from the encoder's README.md, in its folder on this machine."""
    card = Path(name_or_path(encoder)) / "README.md"
    try:
        if not card.exists():
            return Licence(None)
        if not card.is_file():  # a folder, or a pipe, which would block
            return Licence(None, "the encoder's README.md is not a file")
        with card.open("rb") as file:
            text = file.read(_MOST).decode("utf-8-sig", "strict" if card.stat().st_size <= _MOST else "ignore")
    except OSError as error:
        return Licence(None, f"the encoder's README.md cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        return Licence(None, "the encoder's README.md is not UTF-8 text")
    return _licence_in(text)


def _licence_in(text: str) -> Licence:
    """Return the licence that the front matter of a card names."""
    block = _FRONT_MATTER.match(text)
    if block is None:
        return Licence(None, "the encoder's README.md has no front matter")
    try:
        facts = yaml.safe_load(block[1])
    except Exception as error:  # PyYAML also passes on what Python raises for impossible dates and numbers
        line = f", line {mark.line + 2}" if (mark := getattr(error, "problem_mark", None)) else ""
        return Licence(None, f"the front matter of the encoder's README.md is not YAML{line}")
    named = facts.get("license") if isinstance(facts, dict) else None
    if named is None:
        return Licence(None, "the encoder's README.md names no licence")
    if not isinstance(named, str) or not named.strip():
        return Licence(None, "the licence in the encoder's README.md is not a name")
    return Licence(named.strip())
