"""Takes secrets out of text that people will see: messages, logs, parameters, notes."""

import re

_LOGIN = re.compile(r"(?i)\b(?!(?:sqlite|file):)([a-z][a-z0-9+.-]*://)[^\s\"]*@")
# A message may show only the beginning of a value: what follows a colon, and is no port, is a password without its end.
_CUT_LOGIN = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:\[]+:(?!\d+(?:[\s/?#'\",;.)\]]|$))[^\s@]+")
_OPTION = re.compile(r"(?i)([?&;][^=&\s\"']*(?:passw|pwd|token|secret|key|signature)[^=&\s\"']*=)[^&;\s\"']*")


def redact(text: str) -> str:
    """The text with user names and passwords in its URIs replaced by `***`."""
    return _OPTION.sub(r"\1***", _CUT_LOGIN.sub(r"\1***", _LOGIN.sub(r"\1***@", text)))
