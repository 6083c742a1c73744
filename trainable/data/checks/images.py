"""Checks the cells of the image column: empty, no file, no image. A damaged image is found when it is decoded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainable.data.check_results import CheckResults
from trainable.data.checks.texts import CheckedTexts
from trainable.data.columns import Columns
from trainable.data.image_file import ImageFile
from trainable.data.message_text import rows_with, shortened
from trainable.data.reading.raw_table import RawTable
from trainable.settings.dataset import Dataset

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats that are read. Pillow knows more; for some of them it would start another program."""
_NO_FILE, _NO_IMAGE, _NO_PATH = "file", "image", "path"  # what is wrong with a cell
_WRONG = {
    _NO_PATH: ("neither a path nor an image in column {column!r}", "name another column with `image:`"),
    _NO_FILE: ("a path in column {column!r} at which there is no file", "paths are relative to {folder}"),
    _NO_IMAGE: (f"a file that is no image ({', '.join(FORMATS)})", "remove these rows, or convert the files"),
}
_NOTHING = ImageFile("", "", b"")
"""In the place of an image that cannot be used."""


def check_all_images(
    dataset: Dataset, raws: Mapping[str, RawTable], columns: Mapping[str, Columns], results: CheckResults
) -> dict[str, CheckedTexts]:
    """Find and check the images of every split, and drop rows without one if `empty` says so.

    Args:
        dataset: the settings.
        raws: the tables by split.
        columns: the name of their image column.
        results: collects problems and notes.
    """
    return {split: _check_split(raw, columns[split].text, dataset, results) for split, raw in raws.items()}


def _check_split(raw: RawTable, column: str, dataset: Dataset, results: CheckResults) -> CheckedTexts:
    found, problems = find_images(raw, column)
    results.problems += problems
    empty = [row for row, image in enumerate(found) if image is None]
    if empty and dataset.empty == "drop":
        results.notes.append(f"{rows_with(raw, empty, f'no image in column {column!r}')}; left out (`empty: drop`)")
        kept = np.setdiff1d(np.arange(raw.rows), empty)
        raw, found = raw.take(kept), [found[row] for row in kept.tolist()]
    elif empty:
        message = rows_with(raw, empty, f"no image in column {column!r}")
        results.problems.append(f"{message}; remove such rows, or set `empty: drop` to leave them out")
    images = [image or _NOTHING for image in found]
    return CheckedTexts(raw, [[i.digest for i in images]], np.array([i.digest != "" for i in images], bool), images)


def find_images(raw: RawTable, column: str) -> tuple[list[ImageFile | None], list[str]]:
    """Return the image of each row, and a sentence for each kind of mistake.

    A row with an empty cell has None. A row with a mistake has an image without a digest.
    """
    cells = raw.cells(column)
    found = [None if _is_empty(cell) else _find(raw, row, cell) for row, cell in enumerate(cells)]
    problems = []
    for wrong, (what, advice) in _WRONG.items():
        if rows := [row for row, image in enumerate(found) if image == wrong]:
            message = rows_with(raw, rows, what.format(column=column))
            advice = advice.format(folder=raw.folder or "the working directory")
            problems.append(f"{message}: {_shown(cells[rows[0]])}; {advice}")
    return [_NOTHING if isinstance(image, str) else image for image in found], problems


def _find(raw: RawTable, row: int, cell: Any) -> ImageFile | str:
    """Return the image that a cell names or holds, or which key of `_WRONG` says why there is none."""
    path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (cell, None)
    if isinstance(cell, bytes):
        path, content = None, cell
    if content is None and not isinstance(path, str):
        return _NO_PATH
    where, name = f"{raw.source}: {raw.position(row)}", path if isinstance(path, str) else f"of {raw.position(row)}"
    image = ImageFile(name, where, (raw.folder or Path()) / Path(name).expanduser() if content is None else content)
    if isinstance(image.content, Path) and not image.content.is_file():  # reading a pipe might never end
        return _NO_FILE
    try:
        data = image.read()
        Image.open(io.BytesIO(data), formats=FORMATS).close()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _NO_IMAGE
    return replace(image, digest=hashlib.sha256(data).hexdigest())


def _is_empty(cell: Any) -> bool:
    """Return whether a cell has no image: no value, an empty path, or neither bytes nor a path."""
    if isinstance(cell, dict):
        return not cell.get("bytes") and not cell.get("path")
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()) or cell == b""


def _shown(cell: Any) -> str:
    value = cell.get("path") if isinstance(cell, dict) else cell
    return shortened(value) if isinstance(value, str) else f"({type(cell).__name__})"
