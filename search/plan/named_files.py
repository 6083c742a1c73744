"""The files and encoders that an experiment names, and the experiment with other paths of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from search.storage.sweep_folder import Experiment
from trainable.model.limits import resolve_encoder
from trainable.settings.values import Nested

Kind = Literal["data", "encoders"]
TABLE_KEYS = ("csv", "json", "parquet", "conll", "folder", "train", "validation", "test")
"""Settings of a data set that name its files."""


@dataclass(frozen=True)
class NamedFiles:
    """Replaces the paths in the blocks of an experiment.

    Args:
        roots: folders in which relative paths are looked up.
        place: gives the new path of an existing file or folder.
    """

    roots: tuple[Path, ...]
    place: Callable[[Path, Kind], str]

    def in_blocks(self, experiment: Experiment) -> dict[str, Nested]:
        """Return the three blocks with other paths; what does not exist keeps its name.

        Raises:
            ConfigError: if an encoder's folder is missing.
        """
        space = {name: self._in_domain(name, domain) for name, domain in experiment["space"].items()}
        return {"sweep": experiment["sweep"], "trial": self._in_block(experiment["trial"]), "space": space}

    def _in_block(self, block: Nested) -> dict[str, Any]:
        """Return a block with other paths; `dataset`, `datasets` and `encoder` are known by their names."""
        return {name: self._in_value(name, value) for name, value in block.items()}

    def _in_domain(self, name: str, domain: Any) -> Any:
        """Return a domain of the space with other paths: encoders may be chosen among several."""
        if name != "encoder" or "choice" not in domain:
            return domain
        return {**domain, "choice": [self._encoder(value) for value in domain["choice"]]}

    def _in_value(self, name: str, value: Any) -> Any:
        if name == "encoder" and isinstance(value, str):
            return self._encoder(value)
        if name == "dataset" and isinstance(value, Mapping):
            return self._dataset(value)
        if name == "datasets" and isinstance(value, Mapping):
            return {each: self._in_value("dataset", dataset) for each, dataset in value.items()}
        return self._in_block(value) if isinstance(value, Mapping) else value

    def _encoder(self, value: str) -> str:
        folder = Path(resolve_encoder(value, self.roots))
        return self.place(folder, "encoders") if folder.is_absolute() else value

    def _dataset(self, dataset: Nested) -> dict[str, Any]:
        if dataset.get("hub"):
            return dict(dataset)
        return {key: self._table(value) if key in TABLE_KEYS else value for key, value in dataset.items()}

    def _table(self, value: Any) -> Any:
        path = find_file(value, self.roots) if isinstance(value, str) else None
        return value if path is None else self.place(path, "data")


def find_file(name: str, roots: tuple[Path, ...]) -> Path | None:
    """Return the first file or folder of that name in the roots, or None."""
    return next((path for root in roots if (path := root / os.path.expanduser(name)).exists()), None)


def datasets_in(block: Nested) -> Iterator[Nested]:
    """Yield every data set in the block `trial`."""
    for name, value in block.items():
        if isinstance(value, Mapping):
            named = value.values() if name == "datasets" else [value] if name == "dataset" else ()
            yield from (each for each in named if isinstance(each, Mapping))
            yield from () if name in ("dataset", "datasets") else datasets_in(value)
