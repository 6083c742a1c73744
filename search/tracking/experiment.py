"""The MLflow experiment of all sweeps, and the views of its page, which MLflow stores in the experiment's tags."""

import json
from dataclasses import dataclass

from mlflow import MlflowClient

EXPERIMENT = "transfersweep"
"""Its name; it is created if it is missing, and restored if it was deleted."""
_KIND, _MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
_VIEW, _WORKFLOW = "mlflow.sharedViewState.", "workflowType=machine_learning"


@dataclass(frozen=True)
class View:
    """The view of one sweep's trials."""

    sweep: str
    """The sweep's name."""
    sweep_id: str
    experiment: str
    """Id of the experiment."""
    saved: int
    """Milliseconds since 1970."""

    def table(self, address: str) -> str:
        """Return the address of the table of trials, on the page of a server."""
        runs = f"{address.rstrip('/')}/#/experiments/{self.experiment}/runs"
        return f"{runs}?{_WORKFLOW}&viewStateShareKey={self.sweep_id}"

    def charts(self, address: str) -> str:
        """Return the address of the charts of the same trials."""
        return f"{self.table(address)}&compareRunsMode=CHART"


def open_experiment(client: MlflowClient, artifacts: str | None) -> str:
    """Find the experiment, or create it, and return its id.

    Its page opens with the training of models, and not with traces of language models, unless a user has chosen another
    kind.

    Args:
        client: of the store.
        artifacts: the artifact folder of a new experiment, as a URI; None: the store chooses it.

    Raises:
        MlflowException: if it can be neither found nor created.
    """
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        tags = {_KIND: _MODEL_TRAINING}
        return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts, tags=tags))
    experiment = str(found.experiment_id)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(experiment)
    if _KIND not in found.tags:
        client.set_experiment_tag(experiment, _KIND, _MODEL_TRAINING)
    return experiment


def save_view(client: MlflowClient, experiment: str, sweep: str, sweep_id: str, time: int, state: str) -> None:
    """Store the view of a sweep, or replace it; the menu `Views` of MLflow's page offers it by the sweep's name."""
    view = {"name": sweep, "createdAt": time, "updatedAt": time, "state": state}
    client.set_experiment_tag(experiment, _VIEW + sweep_id, json.dumps(view))


def saved_views(uri: str) -> list[View]:
    """Return the views of all sweeps in a store, the newest first."""
    found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    if found is None:
        return []
    experiment, views = str(found.experiment_id), []
    for tag, value in found.tags.items():
        if tag.startswith(_VIEW):
            # A user can store views of his own in the same way.
            saved = json.loads(value) if value.startswith("{") else {}
            views.append(View(saved.get("name", ""), tag.removeprefix(_VIEW), experiment, saved.get("updatedAt", 0)))
    return sorted(views, key=lambda view: -view.saved)
