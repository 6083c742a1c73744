"""Registers an exported folder as an MLflow model, which MLflow's own tools load and serve."""

import base64
import json
import shlex
from dataclasses import dataclass
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from packaging.requirements import Requirement

from search.export.classifier import Classifier
from search.export.exportable import Chosen
from search.export.facts import FolderFacts, read_facts
from search.redaction import redact
from search.serve.records import answers_to, example
from search.storage.store_uri import check_reachable
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.tracking.experiment import open_experiment
from search.tracking.run_tags import SWEEP_ID, TRIAL
from trainable.errors import ConfigError

_PACKAGES = ("search", "spaces", "trainable", "transfersweep")


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str
    alias: str | None
    tracking_uri: str
    """Without its password."""
    row: str
    """A row that it takes, as JSON."""

    @property
    def uri(self) -> str:
        """Return the address of the model for MLflow."""
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"

    def lines(self) -> list[str]:
        """Return what was registered, and the commands that use it."""
        store = f"MLFLOW_TRACKING_URI={shlex.quote(self.tracking_uri)}"
        rows = f'{{"dataframe_records": [{self.row}]}}'
        return [
            f"Registered as {self.name}, version {self.version}" + (f", alias {self.alias}" if self.alias else ""),
            "",
            "Serve it on this machine",
            f"  {store} mlflow models serve -m {shlex.quote(self.uri)} --env-manager local --port 5001",
            "",
            "Ask it",
            f"  curl localhost:5001/invocations -H 'Content-Type: application/json' -d {shlex.quote(rows)}",
        ]


def register(chosen: Chosen, name: str, alias: str | None) -> Registered:
    """Log the folder of an export as a model of its trial's MLflow run, and register a new version of it.

    Args:
        chosen: the export, whose folder is written.
        name: of the registered model; it is created if it is missing.
        alias: of the version, such as `champion`; None for none.

    Raises:
        ConfigError: if the tracking server does not answer or refuses a name, or the run is lost.
    """
    facts = read_facts(chosen.to)
    uri = chosen.plan.tracking_uri(chosen.storage)
    try:
        check_reachable(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        return _register(chosen, facts, name, alias, uri)
    except (MlflowException, OSError) as error:
        raise ConfigError(f"{redact(uri)}: MLflow did not register {name}: {redact(str(error)):.300}") from None


def _register(chosen: Chosen, facts: FolderFacts, name: str, alias: str | None, uri: str) -> Registered:
    rows = _example(facts)
    answers = answers_in_table(rows, facts, Classifier.load(chosen.to, facts))
    client = MlflowClient(uri)
    run = client.get_run(_run_id(chosen, client)).info
    mlflow.set_experiment(experiment_id=run.experiment_id)  # else the model is in another experiment than its run
    logged = Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        name="model",
        run_id=run.run_id,
        registered_model_name=name,
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        artifacts={"model": str(chosen.to)},
        code_paths=[str(Path(spec.origin).parent) for spec in map(find_spec, _PACKAGES) if spec and spec.origin],
        pip_requirements=_requirements(),
        signature=infer_signature(rows, answers),
        input_example=rows,
    )
    number = str(logged.registered_model_version)
    if alias:
        client.set_registered_model_alias(name, alias, number)
    return Registered(name, number, alias, redact(uri), json.dumps(example(facts)))


def answers_in_table(table: pd.DataFrame, facts: FolderFacts, classifier: Classifier) -> pd.DataFrame:
    """Return the columns that `transfersweep predict` adds, one row for each row of a table.

    Args:
        table: with the columns that the model reads; images are the bytes of files.
        facts: of the exported folder.
        classifier: loaded from the folder.
    """
    columns = {name: [_plain(cell) for cell in table[name]] for name in facts.text_columns}
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return pd.DataFrame(answers_to(records, facts, classifier), columns=facts.answers().columns())


def _plain(cell: Any) -> Any:
    """Return a cell as JSON would have it: a list in the place of an array, None in the place of NaN."""
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    return None if isinstance(cell, float) and np.isnan(cell) else cell


def _example(facts: FolderFacts) -> pd.DataFrame:
    """Return a table with one row that the model takes."""
    row = example(facts)
    if facts.answers().content == "image":
        row = {column: base64.b64decode(image) for column, image in row.items()}
    return pd.DataFrame([row])


def _run_id(chosen: Chosen, client: MlflowClient) -> str:
    """Return the MLflow run of the exported trial; of a baseline, and of a trial that MLflow has lost, the sweep's."""
    sweep_id = load_saved_plan(SweepFolder(chosen.storage, chosen.outcome.name))["id"]
    query = f"tags.`{SWEEP_ID}` = '{sweep_id}'"
    runs = client.search_runs([open_experiment(client, None)], query, max_results=10_000)
    by_key = {run.data.tags.get(TRIAL): str(run.info.run_id) for run in runs}
    run = by_key.get(str(chosen.record.key)) or by_key.get(None)
    if run is None:
        resume = SweepFolder(chosen.storage, chosen.outcome.name).command("resume")
        raise ConfigError(f"{chosen.outcome.name}: MLflow has lost its run; `{resume}` creates it again")
    return run


def _requirements() -> list[str]:
    """Return the packages that this program needs, with the versions that are installed."""
    needed = [Requirement(text) for text in requires("transfersweep") or ()]
    return [f"{each.name}=={version(each.name)}" for each in needed if each.marker is None]
