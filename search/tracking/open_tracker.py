"""Opens a sweep's tracker and its MLflow run, which an earlier session may have opened already."""

from collections.abc import Mapping

from search.plan.data_use import DataUse
from search.plan.plan import Plan
from search.provenance import provenance
from search.redaction import redact
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.sweep_study import SweepStudy
from search.tracking.mlflow_events import DatasetInfo, started
from search.tracking.replay import Replay, as_scalars, keep_sweep_start
from search.tracking.tracker import Tracker
from trainable.inputs.prepare import TokenizedDataset
from trainable.settings.names import flatten


def earlier_run_id(plan: Plan, folder: SweepFolder, study: SweepStudy) -> str | None:
    """Return the id of the sweep's MLflow run if an earlier session opened it at the same tracking URI, else None."""
    same_uri = load_saved_plan(folder)["sweep"].get("tracking_uri") == plan.settings.tracking_uri
    run_id: str | None = study.user_attr("run_id") if same_uri else None
    return run_id


def open_tracker(plan: Plan, folder: SweepFolder, study: SweepStudy, replay: Replay) -> Tracker:
    """Open the tracker of a sweep; `replay` builds runs that MLflow has lost again from the study.

    Raises:
        ConfigError: if the tracking URI cannot be opened and no earlier session opened it.
    """
    uri, sweep_id = plan.tracking_uri(folder.storage), load_saved_plan(folder)["id"]
    run_id = earlier_run_id(plan, folder, study)
    return Tracker(uri, folder.outbox, folder.name, sweep_id, plan.settings.system_metrics, run_id, replay)


def begin_run(tracker: Tracker, plan: Plan, study: SweepStudy, prepared: Mapping[DataUse, TokenizedDataset]) -> str:
    """Open the sweep's MLflow run, or reopen that of an earlier session, and return its id."""
    settings = plan.settings
    datasets = [
        DatasetInfo(
            name=data.name,
            fingerprint=data.fingerprint,
            context=use.stage,
            rows=sum(len(split.labels) for split in data.splits.values()),
            columns={"text": "string", "label": "string"},
        )
        for use, data in prepared.items()
    ]
    fixed = {name: value for name, value in plan.base.items() if name not in ("metric", "datasets")}
    own = {f"sweep.{name}": value for name, value in settings.model_dump(mode="json").items()}
    parameters = {**as_scalars(dict(flatten(fixed))), **own, "sweep.tracking_uri": redact(tracker.uri)}
    keep_sweep_start(study, started(None, parameters, provenance(), datasets))
    return tracker.start_sweep(parameters, datasets)
