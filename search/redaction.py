"""Removes passwords and user names from text that people will see: messages, logs, parameters, notes."""

import re

_LOGIN = re.compile(r"(?i)\b(?!(?:sqlite|file):)([a-z][a-z0-9+.-]*://)[^\s\"]*@")
# A message may quote only the beginning of a URI, cut before the `@`. So text after a colon that is not a port counts
# as a password.
_CUT_LOGIN = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:\[]+:(?!\d+(?:[\s/?#'\",;.)\]]|$))[^\s@]+")
_OPTION = re.compile(r"(?i)([?&;][^=&\s\"']*(?:passw|pwd|token|secret|key|signature)[^=&\s\"']*=)[^&;\s\"']*")


def redact(text: str) -> str:
    """Return the text with `***` in place of user names and passwords in its URIs."""
    return _OPTION.sub(r"\1***", _CUT_LOGIN.sub(r"\1***", _LOGIN.sub(r"\1***@", text)))
