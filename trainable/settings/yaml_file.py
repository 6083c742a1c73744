"""Reads YAML files strictly and safely.

Scalars follow the core schema of YAML 1.2, not YAML 1.1 as in PyYAML: `1e-5` is a number; `yes`, `on` and `2024-01-01`
are text. Keys are always text, exactly as written.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trainable.errors import ConfigError
from trainable.settings.mistake_messages import shown

Scalar = bool | int | float | str | None

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 20_000  # an alias counts as all values that it repeats, so that a small file cannot fill the memory

_TAG = "tag:yaml.org,2002:"
_CORE: dict[str, tuple[str, Callable[[str], Scalar]]] = {  # YAML 1.2.2, section 10.3.2: pattern and meaning
    "null": ("~|null|Null|NULL|", lambda _: None),
    "bool": ("true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": ("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        lambda text: float(re.sub(r"\.(?=inf|nan)", "", text.lower())),
    ),
    "str": (".*", str),
}
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # not possible in file names or in UTF-8 output


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a file that contains one mapping.

    Raises:
        ConfigError: with file, line and column, if the file cannot be read, is longer than `MAX_BYTES`, is not UTF-8
            or not YAML, is nested deeper than `MAX_DEPTH`, has more than `MAX_NODES` values, repeats a key, has a tag
            other than YAML's own for scalars, lists and mappings, or is not a mapping.
    """
    return parse_yaml(_read(Path(path)), str(path))


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Read text that contains one mapping, with the errors of `load_yaml`; a message begins with `name`."""
    try:
        mapping = _Loader(text).mapping()
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_sentence(name, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: the character {ascii(chr(error.character))} is not allowed in YAML"
        ) from None
    if mapping is None:
        raise ConfigError(f"{name}: is empty; it must contain a mapping such as `sweep: {{name: first}}`")
    return mapping


def parse_value(text: str, name: str) -> Any:
    """Read the value of `--set NAME=VALUE`; a message begins with `--set NAME`."""
    return parse_yaml(f"value: {text}", f"--set {name}")["value"]


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with scalars of YAML 1.2 and with limits; each use of an alias gives a new copy."""

    _depth = _count = 0

    def mapping(self) -> dict[str, Any] | None:
        """Return the mapping; None if the text has no value."""
        node = self.get_single_node()
        if node is not None and not isinstance(node, MappingNode):
            what = "a list" if isinstance(node, SequenceNode) else "a single value"
            raise yaml.MarkedYAMLError(problem=f"must contain a mapping (`name: value` lines), not {what}")
        self._count = 0
        return None if node is None else self._build(node)

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        with self._one_deeper(self.peek_event()):  # type: ignore[no-untyped-call]  # untyped in the stubs
            return super().compose_node(parent, index)

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node without a tag; the first matching pattern decides that of an unquoted scalar."""
        if kind is not ScalarNode:
            return _TAG + ("map" if kind is MappingNode else "seq")
        return _TAG + (next(kind for kind in _CORE if _is(kind, value)) if implicit[0] else "str")

    def _build(self, node: Node) -> Any:
        with self._one_deeper(node):
            if isinstance(node, MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node)
            if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
                return [self._build(item) for item in node.value]
            if isinstance(node, ScalarNode):
                return _scalar(node)
            raise _error(node, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed here")

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not key.value or _UNUSABLE.search(key.value):
                raise _error(key, "a key must be text")
            if key.value in lines:
                raise _error(key, f"the key {shown(key.value)} occurs twice, first on line {lines[key.value]}")
            lines[key.value] = key.start_mark.line + 1
            mapping[key.value] = self._build(value)
        return mapping

    @contextmanager
    def _one_deeper(self, where: Any) -> Iterator[None]:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise _error(where, f"nested deeper than {MAX_DEPTH} levels")
        if self._count > MAX_NODES:
            raise _error(where, f"more than {MAX_NODES} values; an alias counts as all values that it repeats")
        yield
        self._depth -= 1


def _scalar(node: ScalarNode) -> Scalar:
    """Convert a scalar's text to the type of its tag."""
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind not in _CORE:
        raise _error(node, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed")
    if _UNUSABLE.search(text):
        raise _error(node, f"text with a NUL or half a surrogate pair cannot be used: {ascii(text):.60}")
    if not _is(kind, text):
        raise _error(node, f"{shown(text)} is not of type {kind}")
    if kind == "int" and len(text) > 40:
        raise _error(node, f"a whole number of {len(text)} digits is too long")
    return _CORE[kind][1](text)


def _is(kind: str, text: str) -> bool:
    return re.fullmatch(_CORE[kind][0], text, re.DOTALL) is not None


def _error(where: Any, problem: str) -> yaml.MarkedYAMLError:
    """Return an error with the position of a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


def _read(path: Path) -> str:
    """Return the text of a file of at most `MAX_BYTES`, without the byte-order mark that some editors write."""
    if not path.is_file():
        what = "is a folder or device, not a file" if path.exists() else "no such file"
        raise ConfigError(f"{path}: {what}")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is longer than {MAX_BYTES} bytes; an experiment file contains settings, not data")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8") from None


def _sentence(name: str, error: yaml.MarkedYAMLError) -> str:
    """Return the several lines of a PyYAML error as one sentence."""
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = " ".join(str(error.problem or error.context).split())
    if "'\\t'" in problem:
        problem += "; indent with spaces, not with tabs"
    elif problem.startswith("but "):  # the beginning of such a sentence is in the context
        problem = f"{error.context}, {problem}"
    elif error.context and error.problem_mark and error.context_mark:
        problem += f" ({' '.join(error.context.split())} that began on line {error.context_mark.line + 1})"
    return f"{where}: {problem}"
