"""Labels that a person would take for one: they differ in blanks, case or Unicode form only."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping

from trainable.data.labels import plain
from trainable.data.message_text import UNSEEN, plural, quoted

_MOST = 5  # groups that a sentence names
_LONGEST = 400  # characters of a mapping that a sentence shows whole


def variants(names: Mapping[str, int]) -> list[list[str]]:
    """Groups of names that fold to the same one, the most frequent first; names that have no double are left out.

    Args:
        names: how many rows each has.
    """
    folded: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=lambda name: -names[name]):
        folded[_fold(name)].append(name)
    return [group for group in folded.values() if len(group) > 1]


def variants_note(names: Mapping[str, int], named: bool) -> Iterator[str]:
    """A sentence on labels that look like one, with the way out; nothing where there are none.

    Args:
        names: as for `variants`.
        named: whether the names come from the setting `labels`, and not from the file.
    """
    groups = variants(names)
    if not groups:
        return
    listed = "; ".join(" = ".join(f"{quoted(name)} {names[name]}x" for name in group) for group in groups[:_MOST])
    more = f"; and {plural(len(groups) - _MOST, 'more group')}" if len(groups) > _MOST else ""
    way_out = (
        "give them one name in `labels`" if named else f"clean the column or set `labels: {_joined(names, groups)}`"
    )
    yield (
        f"labels: {sum(map(len, groups))} classes differ only in blanks, case, Unicode form or the spelling of a "
        f"number, and may be meant as {len(groups)}: {listed}{more}; to join them, {way_out}"
    )


def _joined(names: Mapping[str, int], groups: list[list[str]]) -> str:
    """The setting that makes one class of each group, as YAML; cut short where it is long."""
    first = {name: group[0] for group in groups for name in group}
    pairs = [
        f"{_yaml(name)}: {_yaml(first.get(name, name))}" for name in [*first, *(n for n in names if n not in first)]
    ]
    whole = ", ".join(pairs)
    return f"{{{whole if len(whole) <= _LONGEST else ', '.join([*pairs[:2], '...'])}}}"


def _fold(name: str) -> str:
    """What names that look like one have in common."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    invisible = dict.fromkeys(ord(character) for character in set(text) if _is_invisible(character))
    return plain(" ".join(text.translate(invisible).split()))


def _is_invisible(character: str) -> bool:
    """Zero-width and control characters, but for blanks, fillers and variation selectors."""
    kind = unicodedata.category(character)
    return kind == "Cf" or (kind == "Cc" and not character.isspace()) or bool(UNSEEN.match(character))


def _yaml(text: str) -> str:
    """Text in double quotes, the only ones in which YAML reads escapes."""
    inner = quoted(text)
    plainly = inner[1:-1].replace("\\'", "'")
    return '"' + (plainly.replace('"', '\\"') if inner[0] == "'" else plainly) + '"'
