"""Finds labels that people would take for the same one: they differ only in blanks, case or Unicode form."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping

from trainable.data.labels import plain_spelling
from trainable.data.message_text import INVISIBLE, plural, quoted

_MAX_GROUPS = 5  # groups that a message lists
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһԛԝАВЕЗКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαοινρ", "aeopcyxijsdhqwABE3KMHOPCTYXIJSABEZHIKMNOPTYXaoivp"
)
"""Cyrillic and Greek letters, and the Latin letter or digit that each looks like."""
_MAX_MAPPING = 400  # characters; a message shortens longer mappings


def similar_labels(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the groups of labels that are the same after normalisation. Labels without a similar one are left out.

    Args:
        counts: rows of each label.

    Returns:
        Groups of two or more labels; in each, the most frequent label comes first.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: -counts[name]):
        groups[_normalised(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def similar_labels_note(counts: Mapping[str, int], named: bool) -> Iterator[str]:
    """Yield one note on similar labels and how to join them, if there are any.

    Args:
        counts: rows of each label.
        named: whether the names come from the setting `labels` instead of the file.
    """
    groups = similar_labels(counts)
    if not groups:
        return
    listed = "; ".join(
        " = ".join(f"{quoted(name)} {counts[name]}x" for name in group) for group in groups[:_MAX_GROUPS]
    )
    more = f"; and {plural(len(groups) - _MAX_GROUPS, 'more group')}" if len(groups) > _MAX_GROUPS else ""
    joining = f"clean the column or set `labels: {_joining_setting(counts, groups)}`"
    advice = "give them one name in `labels`" if named else joining
    yield (
        f"labels: {sum(map(len, groups))} classes differ only in blanks, case, Unicode form or the spelling of a "
        f"number, and may be meant as {len(groups)}: {listed}{more}; to join them, {advice}"
    )


def lookalike_labels_note(counts: Mapping[str, int], named: bool) -> Iterator[str]:
    """Yield one note on labels that look the same but have letters of different scripts, if there are any.

    Args:
        counts: rows of each label.
        named: whether the names come from the setting `labels` instead of the file.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: -counts[name]):
        groups[_normalised(name.translate(_LOOKALIKES))].append(name)
    found = [group for group in groups.values() if len({_normalised(name) for name in group}) > 1]
    if not found:
        return
    listed = "; ".join(" = ".join(f"{_spelled(name)} {counts[name]}x" for name in group) for group in found)
    advice = "give them one name in `labels`" if named else f"set `labels: {_joining_setting(counts, found)}`"
    yield (
        f"labels: {sum(map(len, found))} classes look the same, with letters of different scripts, and may be meant as "
        f"{len(found)}: {listed:.600}; to join them, {advice}"
    )


def _spelled(name: str) -> str:
    """Return a label in quotes, with the code points and names of its letters that look like others."""
    foreign = [f"U+{ord(c):04X} {unicodedata.name(c)}" for c in dict.fromkeys(name) if ord(c) in _LOOKALIKES]
    return ascii(name) + (f" ({', '.join(foreign)})" if foreign else "")


def _joining_setting(counts: Mapping[str, int], groups: list[list[str]]) -> str:
    """Return, as YAML, the setting `labels` that makes one class of each group; long settings are shortened."""
    first = {name: group[0] for group in groups for name in group}
    names = [*first, *(name for name in counts if name not in first)]
    pairs = [f"{_yaml(name)}: {_yaml(first.get(name, name))}" for name in names]
    mapping = ", ".join(pairs)
    return f"{{{mapping if len(mapping) <= _MAX_MAPPING else ', '.join([*pairs[:2], '...'])}}}"


def _normalised(name: str) -> str:
    """Remove from a label everything in which similar labels may differ."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    invisible = dict.fromkeys(ord(character) for character in set(text) if _is_invisible(character))
    return plain_spelling(" ".join(text.translate(invisible).split()))


def _is_invisible(character: str) -> bool:
    """Recognise zero-width and control characters (except whitespace), fillers and variation selectors."""
    kind = unicodedata.category(character)
    return kind == "Cf" or (kind == "Cc" and not character.isspace()) or bool(INVISIBLE.match(character))


def _yaml(text: str) -> str:
    """Return text in double quotes: YAML reads escapes only in these."""
    literal = quoted(text)
    inner = literal[1:-1].replace("\\'", "'")
    return '"' + (inner.replace('"', '\\"') if literal[0] == "'" else inner) + '"'
