"""Reads CoNLL files: a word and its tags on each line, a blank line between two sentences; a sentence is a row.

The word is the first cell of a line and the tag is the last one, as in CoNLL 2003. In CoNLL-U files they are FORM and
UPOS. The columns of the table are `text` and `label`, and one for each further cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from trainable.data.message_text import plural, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError

_CONLLU = ("id", "text", "lemma", "label", "xpos", "feats", "head", "deprel", "deps", "misc")
_DOCUMENT = "-DOCSTART-"
Line = tuple[int, list[str]]
"""Number of a line, from 1, and its cells."""


def read_conll(text: str, name: str) -> RawTable:
    """Read the text of a file; `name` ends in .conllu if it has the ten columns of CoNLL-U.

    Raises:
        ConfigError: with the first line that has another number of cells than the first one.
    """
    universal = name.lower().endswith(".conllu")
    sentences = list(_sentences(text, universal))
    if not sentences:
        raise ConfigError(f"{name}: there is no word; each line has a word and its tags")
    first, cells = sentences[0][0]
    width = len(_CONLLU) if universal else len(cells)
    if width < 2:
        raise ConfigError(
            f"{name}: line {first}: {shortened(cells[0])} has no tag beside it; each line has a word and a tag"
        )
    wrong = [line for sentence in sentences for line in sentence if len(line[1]) != width]
    if wrong:
        (line, found), count = wrong[0], len(wrong)
        expected = "CoNLL-U has" if universal else f"line {first} has"
        raise ConfigError(
            f"{name}: line {line}: {plural(len(found), 'cell')} where {expected} {width}: "
            f"{shortened(' '.join(found))}; {plural(count, 'such line')} in all"
        )
    names = _CONLLU if universal else ("text", *(f"column_{i}" for i in range(2, width)), "label")
    columns: dict[str, list[Any] | pa.ChunkedArray] = {
        column: [[cells[i] for _, cells in sentence] for sentence in sentences] for i, column in enumerate(names)
    }
    return RawTable(name, columns, len(sentences), [sentence[0][0] for sentence in sentences])


def _sentences(text: str, universal: bool) -> Iterator[list[Line]]:
    """Yield the lines of each sentence, without comments, documents' headers and CoNLL-U's lines that are no words."""
    sentence: list[Line] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip("\r\n")
        cells = stripped.split("\t") if "\t" in stripped else stripped.split()
        if not stripped.strip():
            if sentence:
                yield sentence
            sentence = []
        elif not _is_other(stripped, cells, universal, not sentence):
            sentence.append((number, cells))
    if sentence:
        yield sentence


def _is_other(line: str, cells: Sequence[str], universal: bool, begins: bool) -> bool:
    """Return whether a line is no word: a comment, a document's header, CoNLL-U's range of words or empty word."""
    if universal:
        return line.startswith("#") or not cells[0].isdecimal()
    return cells[0] == _DOCUMENT or (begins and line.startswith("# ") and "=" in line)
