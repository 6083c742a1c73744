"""Strict and safe reading of YAML files, and writing that reads back the same.

Scalars follow the core schema of YAML 1.2, not PyYAML's 1.1: `1e-5` is a number; `yes`, `on` and
`2024-01-01` are text. Keys are always text, as they are written.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trainable.errors import ConfigError
from trainable.settings.wording import shown

Scalar = bool | int | float | str | None

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 20_000  # an alias counts for all that it stands for, so that a small file cannot explode

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = {  # YAML 1.2.2, section 10.3.2: pattern, and the characters that a match can begin with
    "null": (r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
}
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # neither a file name nor UTF-8 output can hold them


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a file that holds one mapping.

    Raises:
        ConfigError: with file, line and column, if the file cannot be read, is longer than `MAX_BYTES`, is no
            UTF-8 or no YAML, nests deeper than `MAX_DEPTH`, holds more than `MAX_NODES` values, repeats a key,
            carries a tag other than YAML's own for scalars, lists and mappings, or is not a mapping.
    """
    return parse_yaml(_read(Path(path)), str(path))


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Read text that holds one mapping; see `load_yaml`. The sentence of the error begins with `name`."""
    try:
        node = _Composer(text).get_single_node()
        if node is None:
            raise ConfigError(f"{name}: is empty; it must hold a mapping such as `sweep: {{name: first}}`")
        if not isinstance(node, MappingNode):
            what = "a list" if isinstance(node, SequenceNode) else "a single value"
            raise ConfigError(f"{name}: must hold a mapping (`name: value` lines), not {what}")
        mapping: dict[str, Any] = _Builder().build(node)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_sentence(name, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: the character {ascii(chr(error.character))} is not allowed in YAML"
        ) from None
    return mapping


def parse_value(text: str, name: str) -> Any:
    """Read what stands behind the equals sign of `--set NAME=VALUE`; the sentence of an error begins with its name."""
    return parse_yaml(f"value: {text}", f"--set {name}")["value"]


def dump_yaml(mapping: Mapping[str, Any]) -> str:
    """Plain dicts, lists and scalars as YAML text that `parse_yaml` reads back the same."""
    return yaml.dump(dict(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Composer(yaml.SafeLoader):
    """Text to nodes, within the limits on depth and number; the nodes are built by `_Builder`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # its stubs leave it untyped
        self._depth += 1
        self._count += 1
        _check_limits(mark, self._depth, self._count)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either version of YAML would read as something other than text; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    """In quotes with escapes where PyYAML's plainer styles lose a character (U+0085 in a key, for one)."""
    return dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
for _name, (_pattern, _first) in _RESOLVERS.items():
    for _class in (_Composer, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


class _Builder:
    """Nodes to plain dicts, lists and scalars; an alias is built anew each time that it is used."""

    def __init__(self) -> None:
        self._count = 0

    def build(self, node: Node, depth: int = 1) -> Any:
        self._count += 1
        _check_limits(node.start_mark, depth, self._count)
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, depth)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.build(item, depth + 1) for item in node.value]
        if isinstance(node, ScalarNode):
            return _scalar(node)
        raise _error(node.start_mark, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed here")

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            mark = key.start_mark
            if not isinstance(key, ScalarNode) or not key.value or _UNUSABLE.search(key.value):
                raise _error(mark, "a key must be text")
            if key.value in lines:
                raise _error(mark, f"the key {shown(key.value)} stands here again, after line {lines[key.value]}")
            lines[key.value] = mark.line + 1
            mapping[key.value] = self.build(value, depth + 1)
        return mapping


def _scalar(node: ScalarNode) -> Scalar:
    """The value that a scalar's tag, given or resolved, makes of its text."""
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "str":
        if _UNUSABLE.search(text):
            raise _error(node.start_mark, f"text with a NUL or half a surrogate pair cannot be used: {ascii(text):.60}")
        return text
    if kind not in _RESOLVERS:
        raise _error(node.start_mark, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed")
    if not re.match(_RESOLVERS[kind][0], text):
        raise _error(node.start_mark, f"{shown(text)} is no {kind}")
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    return _int(node) if kind == "int" else float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


def _int(node: ScalarNode) -> int:
    text = node.value
    if len(text) > 40:
        raise _error(node.start_mark, f"a whole number of {len(text)} digits is too long")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


def _read(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`, without the byte-order mark that some editors write."""
    if not path.is_file():
        what = "is a folder or device, not a file" if path.exists() else "no such file"
        raise ConfigError(f"{path}: {what}")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is longer than {MAX_BYTES} bytes; an experiment file holds settings, not data")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8") from None


def _check_limits(mark: yaml.Mark, depth: int, count: int) -> None:
    if depth > MAX_DEPTH:
        raise _error(mark, f"nested deeper than {MAX_DEPTH} levels")
    if count > MAX_NODES:
        raise _error(mark, f"more than {MAX_NODES} values, aliases spelt out")


def _error(mark: yaml.Mark, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _sentence(name: str, error: yaml.MarkedYAMLError) -> str:
    """PyYAML's several lines as one."""
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = " ".join(str(error.problem or error.context).split())
    if "'\\t'" in problem:
        problem += "; indent with spaces, not with tabs"
    elif problem.startswith("but "):  # PyYAML begins such a sentence in the context
        problem = f"{error.context}, {problem}"
    elif error.context and error.problem_mark and error.context_mark:
        problem += f" ({' '.join(error.context.split())} that began on line {error.context_mark.line + 1})"
    return f"{where}: {problem}"
