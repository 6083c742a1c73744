"""Collects what a sweep needs on a cluster: its experiment, and the tables and encoders that it names."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import PlanError
from search.plan.plan import Plan
from search.redaction import redact
from trainable.metrics.metric import OF_IMAGES
from trainable.model.limits import resolve_encoder
from trainable.settings.values import Nested

FOLDER = "submitted"
"""Folder in the storage with what was sent to the cluster, a folder for each sweep."""
EXPERIMENT = "experiment.yaml"
_TABLE_KEYS = ("csv", "json", "parquet", "conll", "folder", "train", "validation", "test")


def pack(plan: Plan, into: Path) -> None:
    """Write an experiment to a folder, together with the local files that it names.

    The experiment names the copies by paths relative to it, so that the folder can be anywhere.

    Args:
        plan: the checked experiment.
        into: an existing, empty folder.

    Raises:
        PlanError: if a table names images in other files.
        ConfigError: if an encoder's folder is missing.
    """
    mapping = plan.to_mapping()
    copies = _Copies(into, plan.roots)
    experiment = {
        "sweep": mapping["sweep"],
        "trial": copies.in_block(mapping["trial"]),
        "space": {name: copies.in_domain(name, domain) for name, domain in mapping["space"].items()},
    }
    (into / EXPERIMENT).write_text(json.dumps(experiment, indent=1), encoding="utf-8")  # JSON is YAML too


def check_passwords(plan: Plan) -> None:
    """Check that an experiment can be sent.

    Raises:
        PlanError: if it contains a user name or a password.
    """
    text = json.dumps(plan.to_mapping())
    if redact(text) != text:
        way_out = "give the head MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        problem = "the experiment contains a user name or a password, which everyone on the cluster could read"
        raise PlanError([f"{plan.settings.name}: {problem}; {way_out}"])


@dataclass
class _Copies:
    """The copies made so far, by the path of the original."""

    into: Path
    roots: tuple[Path, ...]
    made: dict[Path, str] = field(default_factory=dict)

    def in_block(self, block: Nested) -> dict[str, Any]:
        """Return a block with the paths of copies; `dataset`, `datasets` and `encoder` are known by their names."""
        return {name: self._in_value(name, value) for name, value in block.items()}

    def in_domain(self, name: str, domain: Any) -> Any:
        """Return a domain of the space with the paths of copies: encoders may be chosen among several."""
        if name != "encoder" or not isinstance(domain, Mapping) or "choice" not in domain:
            return domain
        return {**domain, "choice": [self._encoder(value) for value in domain["choice"]]}

    def _in_value(self, name: str, value: Any) -> Any:
        if name == "encoder" and isinstance(value, str):
            return self._encoder(value)
        if name == "dataset" and isinstance(value, Mapping):
            return self._dataset(value)
        if name == "datasets" and isinstance(value, Mapping):
            return {each: self._in_value("dataset", dataset) for each, dataset in value.items()}
        return self.in_block(value) if isinstance(value, Mapping) else value

    def _encoder(self, value: str) -> str:
        folder = Path(resolve_encoder(value, self.roots))
        return f"./{self._copy(folder, 'encoders')}" if folder.is_absolute() else value

    def _dataset(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        if dataset.get("hub"):
            return dict(dataset)
        if dataset.get("task") in OF_IMAGES:
            self._check_images(dataset)
        return {
            key: self._table(value) if key in _TABLE_KEYS and isinstance(value, str) else value
            for key, value in dataset.items()
        }

    def _check_images(self, dataset: Mapping[str, Any]) -> None:
        named = [dataset[key] for key in _TABLE_KEYS if isinstance(dataset.get(key), str)]
        if tables := [name for name in named if (path := self._find(name)) and path.is_file()]:
            raise PlanError(
                [
                    f"{name}: a table of images names files beside it, which are not sent; use a folder"
                    for name in tables
                ]
            )

    def _table(self, name: str) -> str:
        path = self._find(name)
        return name if path is None else self._copy(path, "data")  # the cluster reports a missing table

    def _find(self, name: str) -> Path | None:
        return next(
            (root / os.path.expanduser(name) for root in self.roots if (root / os.path.expanduser(name)).exists()), None
        )

    def _copy(self, path: Path, kind: str) -> str:
        path = path.resolve()
        if path not in self.made:
            name = f"{kind}/{len(self.made)}-{path.name}"
            (self.into / kind).mkdir(exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, self.into / name)
            else:
                shutil.copyfile(path, self.into / name)
            self.made[path] = name
        return self.made[path]
