"""Makes every character printable on a console whose encoding has only some of them, such as Latin-1 or ASCII.

`rich` already draws its boxes in ASCII there. This module handles all other text: ours, and labels in any script.
"""

import codecs
import io
import sys

_ERRORS = "transfersweep.plain"
_REPLACEMENTS = {
    "█": "#",
    "±": "+/-",
    "…": "...",
    "→": "->",
    "–": "-",
    "—": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}


def allow_any_character() -> None:
    """Let stdout and stderr accept every character; a character that their encoding lacks is written in ASCII."""
    codecs.register_error(_ERRORS, _replace_character)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def use_utf8(stream: object) -> None:
    """Let a stream write UTF-8, whatever the encoding of the console. Use it for data that other programs read."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="strict")


def _replace_character(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what to write instead of the first character that cannot be encoded, and where encoding continues."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that Python could not decode: write the byte itself
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _REPLACEMENTS.get(character) or character.encode("ascii", "backslashreplace").decode(), error.start + 1
