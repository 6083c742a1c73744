"""Collects what a sweep needs on a cluster: its experiment, and the tables and encoders that it names."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from search.errors import PlanError
from search.plan.named_files import TABLE_KEYS, Kind, NamedFiles, datasets_in, find_file
from search.plan.plan import Plan
from search.redaction import redact
from trainable.metrics.metric import OF_IMAGES

FOLDER = "submitted"
"""Folder in the storage with what was sent to the cluster, a folder for each sweep."""
EXPERIMENT = "experiment.yaml"


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
    _check_images(plan)
    experiment = NamedFiles(plan.roots, _Copies(into).place).in_blocks(plan.to_mapping())
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


def _check_images(plan: Plan) -> None:
    """Refuse tables of images, which name files beside them."""
    tables = [
        name
        for dataset in datasets_in(plan.base)
        if dataset.get("task") in OF_IMAGES and not dataset.get("hub")
        for name in (dataset.get(key) for key in TABLE_KEYS)
        if isinstance(name, str) and (path := find_file(name, plan.roots)) and path.is_file()
    ]
    if tables:
        way_out = "a table of images names files beside it, which are not sent; use a folder"
        raise PlanError([f"{name}: {way_out}" for name in tables])


@dataclass
class _Copies:
    """The copies made so far, by the path of the original."""

    into: Path
    made: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, kind: Kind) -> str:
        """Copy a file or folder once, and return the path of its copy."""
        path = path.resolve()
        if path not in self.made:
            name = f"{kind}/{len(self.made)}-{path.name}"
            (self.into / kind).mkdir(exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, self.into / name)
            else:
                shutil.copyfile(path, self.into / name)
            self.made[path] = f"./{name}"
        return self.made[path]
