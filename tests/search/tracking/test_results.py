"""What the end of a sweep shows in MLflow: results, a description, a view. The page itself is tested in a browser."""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from search.record.records import State
from search.tracking.experiment import EXPERIMENT, saved_views
from search.tracking.mlflow_events import TrialResult
from search.tracking.saved_view import view_state
from search.tracking.tracker import Tracker
from trainable.metrics.metric import Direction


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    """The tracker of a sweep with a trial, its repeat, and a trial that was stopped."""
    with Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "outbox", "sms", "one") as tracker:
        tracker.start_sweep({}, [])
        for key, role in ((6, "search"), ("6.seed-1", "confirm"), (7, "search")):
            tracker.start_trial(key, {}, {"transfersweep.role": role})
            tracker.end_trial(key, State.FINISHED, metrics={"score": 0.5})
        yield tracker


def shown(tracker: Tracker) -> dict[str, tuple[str, float]]:
    """Return result and rank of each trial's run by its name, best first."""
    runs = _runs(tracker)
    trials = [run for run in runs if "transfersweep.trial" in run.data.tags]
    return {r.info.run_name: (r.data.tags.get("transfersweep.result", ""), r.data.metrics["rank"]) for r in trials}


def _runs(tracker: Tracker) -> list[Run]:
    assert tracker.wait() and tracker.refused == ()
    client = MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    return list(client.search_runs([experiment.experiment_id], order_by=["metrics.rank ASC"]))


FIRST = [TrialResult(6, 1, "winner"), TrialResult("6.seed-1", 1.01, "repeat"), TrialResult(7, 2, "")]
AFTER_AN_EXTENSION = [TrialResult(7, 1, "winner"), TrialResult(6, 2, ""), TrialResult("6.seed-1", 2.01, "repeat")]


def test_runs_show_their_results_and_those_of_an_extended_sweep_replace_them(tracker: Tracker) -> None:
    for _ in range(2):  # the second time changes nothing
        tracker.rank(FIRST)
        first = {"trial-006 (winner)": ("winner", 1), "trial-006.seed-1": ("repeat", 1.01), "trial-007": ("", 2)}
        assert shown(tracker) == first
    tracker.rank(AFTER_AN_EXTENSION)
    second = {"trial-007 (winner)": ("winner", 1), "trial-006": ("", 2), "trial-006.seed-1": ("repeat", 2.01)}
    assert shown(tracker) == second
    assert list(shown(tracker)) == list(second)


def test_a_name_that_a_user_gave_stays(tracker: Tracker) -> None:
    [run] = [run for run in _runs(tracker) if run.info.run_name == "trial-006"]
    MlflowClient(tracker.uri).update_run(run.info.run_id, name="mine")
    tracker.rank(FIRST)
    assert shown(tracker)["mine"] == ("winner", 1)


def test_a_deleted_run_is_created_again_for_its_result(tracker: Tracker) -> None:
    [run] = [run for run in _runs(tracker) if run.info.run_name == "trial-007"]
    MlflowClient(tracker.uri).delete_run(run.info.run_id)
    tracker.rank(FIRST)
    assert shown(tracker)["trial-007"] == ("", 2)


def test_the_description_links_runs(tracker: Tracker) -> None:
    tracker.write_note("The winner is [trial 6](run:6), not [trial 9](run:9).")
    [sweep] = [run for run in _runs(tracker) if run.info.run_name == "sms"]
    [trial] = [run for run in _runs(tracker) if run.info.run_name == "trial-006"]
    link = f"#/experiments/{trial.info.experiment_id}/runs/{trial.info.run_id}"
    assert sweep.data.tags["mlflow.note.content"] == f"The winner is [trial 6]({link}), not [trial 9]."


def test_the_page_opens_with_the_training_of_models_unless_a_user_has_chosen(tracker: Tracker) -> None:
    def kind() -> Any:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment
        return experiment.tags["mlflow.experimentKind"]

    client = MlflowClient(tracker.uri)
    assert kind() == "custom_model_development"
    client.set_experiment_tag(_runs(tracker)[0].info.experiment_id, "mlflow.experimentKind", "genai_development")
    with Tracker(tracker.uri, Path(f"{tracker.uri.removeprefix('sqlite:///')}.outbox"), "sms", "two") as second:
        second.start_sweep({}, [])
        assert kind() == "genai_development"


def test_a_sweep_has_one_view_that_the_newest_state_replaces(tracker: Tracker) -> None:
    for ranked in (False, True):
        tracker.save_view(view_state("one", ["target.epochs"], Direction.MAX, ranked))
    assert tracker.wait()
    [view] = saved_views(tracker.uri)
    assert (view.sweep, view.sweep_id) == ("sms", "one")
    assert view.table("http://host:1/").startswith(f"http://host:1/#/experiments/{view.experiment}/runs?")


@pytest.mark.parametrize(
    ("direction", "ranked", "order"),
    [
        (Direction.MAX, False, ("metrics.`score`", False)),
        (Direction.MIN, False, ("metrics.`score`", True)),
        (Direction.MAX, True, ("metrics.`rank`", True)),
    ],
)
def test_the_view_shows_the_best_first(direction: Direction, ranked: bool, order: tuple[str, bool]) -> None:
    text = view_state("one", [f"target.setting_{i}" for i in range(40)], direction, ranked)
    assert len(text) < 4000  # MLflow takes 5000 characters of a tag, with the name of the view
    state = json.loads(zlib.decompress(base64.b64decode(text.removeprefix("deflate;"))))
    assert (state["orderByKey"], state["orderByAsc"]) == order
