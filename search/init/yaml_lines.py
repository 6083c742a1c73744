"""Lines of an experiment file: settings as YAML, with the reasons for them as comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

import yaml

from trainable.settings.values import Nested

_WIDTH = 100  # characters


class _Dumper(yaml.SafeDumper):
    """Writes floats as people do: `2e-5`, not `2.0e-05`."""


_FLOAT = "tag:yaml.org,2002:float"
_Dumper.add_representer(
    float, lambda dumper, value: dumper.represent_scalar(_FLOAT, re.sub(r"e([-+])0", r"e\1", repr(value)))
)
# YAML 1.1 takes `2e-5` for text; files of experiments are YAML 1.2.
_Dumper.add_implicit_resolver(_FLOAT, re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789"))


def line(indent: int, name: str, value: object, reason: str = "") -> str:
    """Return a line of YAML, with the reason as a comment at its end."""
    dumped = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    shown = dumped.removesuffix("...\n").strip()
    text = f"{' ' * indent}{name}: {shown}"
    return f"{text}  # {reason}" if reason else text


def comment(indent: int, text: str) -> list[str]:
    """Return a text as lines of comments."""
    before = " " * indent + "# "
    # A name or a command stays on one line.
    return textwrap.wrap(
        text, _WIDTH, initial_indent=before, subsequent_indent=before, break_long_words=False, break_on_hyphens=False
    )


def block_lines(
    block: Nested, reasons: Mapping[str, str], path: str, indent: int = 2, deep: bool = True
) -> Iterator[str]:
    """Yield a block of settings, each of them with its reason above it.

    Args:
        block: the settings.
        reasons: by dotted name.
        path: the dotted name of the block.
        indent: spaces before each line.
        deep: whether settings inside a setting have lines of their own.
    """
    for name, value in block.items():
        dotted = f"{path}.{name}"
        if dotted in reasons:
            yield from comment(indent, reasons[dotted])
        if deep and isinstance(value, Mapping) and value:
            yield f"{' ' * indent}{name}:"
            yield from block_lines(value, reasons, dotted, indent + 2)
        else:
            yield line(indent, name, value)
