"""Reads SQuAD files as they are distributed: articles with paragraphs, each a context with questions and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from trainable.data.reading.raw_table import RawTable
from trainable.errors import ConfigError

_COLUMNS = ("id", "title", "question", "context", "answers")


def is_squad(whole: object) -> bool:
    """Return whether the content of a JSON file is that of a SQuAD file."""
    data = whole.get("data") if isinstance(whole, Mapping) else None
    return isinstance(data, list) and any(isinstance(part, Mapping) and "paragraphs" in part for part in data)


def read_squad(whole: Mapping[str, Any], name: str) -> RawTable:
    """Return a row for each question, with the columns id, title, question, context and answers.

    Args:
        whole: the content of the file, for which `is_squad` holds.
        name: the file's name as the user wrote it.

    Raises:
        ConfigError: naming the first part that is not as in SQuAD.
    """
    rows = list(_rows(whole, name))
    if not rows:
        raise ConfigError(f"{name}: there is no question; SQuAD files have `data`, `paragraphs` and `qas`")
    columns: dict[str, list[Any] | pa.ChunkedArray] = {column: [row[column] for row in rows] for column in _COLUMNS}
    return RawTable(name, columns, len(rows))


def _rows(whole: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for a, article in enumerate(whole["data"]):
        for p, paragraph in enumerate(_list(article, "paragraphs", f"{name}: data[{a}]")):
            place = f"{name}: data[{a}].paragraphs[{p}]"
            for q, asked in enumerate(_list(paragraph, "qas", place)):
                if not isinstance(asked, Mapping) or "question" not in asked:
                    raise ConfigError(f"{place}.qas[{q}]: has no `question`; is it a SQuAD file?")
                # The answers of SQuAD 2.0's impossible questions are only plausible, and under another key.
                answers = [] if asked.get("is_impossible") else asked.get("answers")
                row = {"id": asked.get("id"), "title": article.get("title"), "question": asked["question"]}
                yield row | {"context": paragraph.get("context"), "answers": answers}


def _list(part: Any, key: str, place: str) -> list[Any]:
    found = part.get(key) if isinstance(part, Mapping) else None
    if not isinstance(found, list):
        raise ConfigError(f"{place}: has no list `{key}`; is it a SQuAD file?")
    return found
