"""Lets everything be printed on a console that knows only some characters, one in Latin-1 or ASCII.

`rich` draws its boxes in ASCII there by itself; what else we print, and labels and texts of any script, come here.
"""

import codecs
import io
import sys

_ERRORS = "transfersweep.plain"
_PLAIN = {"█": "#", "±": "+/-", "…": "...", "→": "->", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"'}


def allow_any_character() -> None:
    """Let stdout and stderr take every character; those that their encoding lacks are put in plain ones."""
    codecs.register_error(_ERRORS, _in_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def use_utf8(stream: object) -> None:
    """Let a stream write UTF-8 whatever the console's encoding is: for data, which other programs read."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="strict")


def _in_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What to write in place of the first character that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is not in the system's encoding: as it was
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode(), error.start + 1
