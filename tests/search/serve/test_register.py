"""A registered model, loaded as MLflow loads it. The sweep is the shared one, and no Ray is needed."""

import shutil
from pathlib import Path

import mlflow
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
import pytest
from mlflow import MlflowClient

from search.export.export import export_trial
from search.export.exportable import choose
from search.plan.plan import load_sweep
from search.serve.register import register
from search.storage.sweep_folder import SweepFolder
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import begin_run, open_tracker
from search.tracking.replay import Replay


@pytest.mark.slow
def test_a_registered_model_answers_as_its_folder_does(swept: SweepFolder, tmp_path: Path) -> None:
    folder = SweepFolder(Path(shutil.copytree(swept.storage, tmp_path / "runs")), "tiny")
    plan = load_sweep(folder)
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    with open_tracker(plan, folder, study, Replay(plan, study)) as tracker:
        begin_run(tracker, plan, study, {})
        tracker.reconcile({0: (study.record(0).state, None, {})})
        assert tracker.wait() and tracker.refused == ()
    chosen = choose("tiny", folder.storage, tmp_path / "model")
    export_trial(chosen)
    first, second = (register(chosen, "tweets", alias) for alias in (None, "champion"))
    assert (first.uri, second.uri) == ("models:/tweets/1", "models:/tweets@champion")
    assert second.uri in "\n".join(second.lines())
    model = mlflow.pyfunc.load_model(second.uri)
    answers = model.predict(pd.DataFrame({"text": ["I love it", "so sad"]}))
    assert list(answers) == ["predicted", "probability", "p_negative", "p_positive"]
    assert set(answers["predicted"]) <= {"negative", "positive"}
    assert model.metadata.signature is not None
    client = MlflowClient(plan.tracking_uri(folder.storage))
    run = client.get_run(model.metadata.run_id)
    assert run.data.tags["transfersweep.trial"] == "0"
    [logged] = client.search_logged_models([run.info.experiment_id], max_results=1)
    assert logged.source_run_id == run.info.run_id
