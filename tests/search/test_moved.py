"""A sweep that is moved, copied or mounted elsewhere is the same sweep there and leaves the other one alone."""

import json
import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from search.engine.watch.disk import remove_unneeded_checkpoints
from search.export.export import export_trial
from search.export.exportable import choose
from search.plan.data import check_data
from search.plan.plan import build_plan, load_sweep
from search.record.records import State
from search.show.current import current_outcome
from search.show.report import next_commands
from search.storage.store_uri import default_uri, sqlite_uri
from search.storage.sweep_folder import SweepFolder, data_roots, load_saved_plan
from search.study.fingerprints import Fingerprints, compute_fingerprints
from search.study.study_file import StudyFile
from search.study.sweep_study import SweepStudy
from search.tracking.experiment import EXPERIMENT
from search.tracking.mlflow_events import started, text_logged
from search.tracking.mlflow_runs import MlflowRuns
from tests.conftest import make_sweep
from trainable.metrics.metric import Direction
from trainable.workers.messages import TrialReport


def as_older_versions_wrote_it(folder: SweepFolder) -> None:
    """With whole paths, in the study and in the outcome."""
    outcome = json.loads(folder.outcome.read_text())
    for trial in outcome["trials"]:
        if trial["checkpoint"]:
            trial["checkpoint"] = str(folder.path.absolute() / trial["checkpoint"])
    folder.outcome.write_text(json.dumps(outcome))
    with closing(sqlite3.connect(folder.study)) as study, study:
        for number, text in study.execute(
            "select trial_user_attribute_id, value_json from trial_user_attributes where key = 'facts'"
        ).fetchall():
            facts = json.loads(text)
            if facts.get("checkpoint"):
                facts["checkpoint"] = str(folder.path.absolute() / facts["checkpoint"])
            study.execute(
                "update trial_user_attributes set value_json = ? where trial_user_attribute_id = ?",
                (json.dumps(facts), number),
            )


def moved(folder: SweepFolder, to: Path) -> SweepFolder:
    shutil.move(folder.storage, to)
    return SweepFolder(to, folder.name)


def mounted(folder: SweepFolder, to: Path) -> SweepFolder:
    shutil.move(folder.storage, to.with_name("mount"))
    to.symlink_to(to.with_name("mount"))
    return SweepFolder(to, folder.name)


def from_another_folder(folder: SweepFolder, to: Path) -> SweepFolder:
    shutil.move(folder.storage, to)
    os.chdir(to.parent)
    return SweepFolder(Path(to.name), folder.name)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("to", ["b", "with blank? 50%25 # ü"])
@pytest.mark.parametrize("carry", [moved, mounted, from_another_folder])
def test_a_sweep_is_found_where_it_is_now(
    older: bool,
    to: str,
    carry: Callable[[SweepFolder, Path], SweepFolder],
    swept: SweepFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = SweepFolder(tmp_path / "a", swept.name)
    shutil.copytree(swept.storage, first.storage)
    if older:
        as_older_versions_wrote_it(first)
    folder = carry(first, tmp_path / to)
    assert not first.storage.exists()
    for overrides in (None, {"sweep.keep_best": "1"}):  # from the outcome, and from the study
        outcome = current_outcome(folder.name, folder.storage, overrides)
        assert outcome.storage == str(folder.storage)
        assert outcome.tracking_uri == default_uri(folder.storage)
        for command in next_commands(outcome):
            words = shlex.split(command)
            assert words[words.index("--storage") + 1] == str(folder.storage)
        checkpoint = outcome.record(0).checkpoint_in(folder.path)
        assert checkpoint is not None
        assert checkpoint.is_dir()
    exported = export_trial(choose(folder.name, folder.storage, tmp_path / "model"))
    assert exported.verification.rows
    assert not first.storage.exists()


def test_a_whole_project_is_moved(
    tiny_bert: str, tweets_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With encoder, data and storage, all given relative to the experiment."""
    project = tmp_path / "project"
    shutil.copytree(tiny_bert, project / "encoder")
    shutil.copy(tweets_csv, project / "tweets.csv")
    monkeypatch.chdir(project)
    target = {"dataset": {"csv": "tweets.csv"}, "padding_length": 24}
    folder = make_sweep(project / "runs", {"encoder": "./encoder", "target": target})
    folder.plan.write_text(
        json.dumps(load_saved_plan(folder) | {"roots": [str(project)], "storage": str(folder.storage)})
    )
    before = current_fingerprints(folder)
    monkeypatch.chdir(tmp_path)
    shutil.move(project, tmp_path / "elsewhere")
    now = SweepFolder(tmp_path / "elsewhere" / "runs", folder.name)
    assert current_fingerprints(now) == before
    assert export_trial(choose(now.name, now.storage, tmp_path / "model")).verification.description == "validation rows"


def current_fingerprints(folder: SweepFolder) -> Fingerprints:
    plan = load_sweep(folder)
    return compute_fingerprints(plan, folder.storage, check_data(plan, folder.storage))


def test_a_copy_deletes_only_its_own(blocks: dict[str, Any], tmp_path: Path) -> None:
    """And of that nothing which the study does not know."""
    blocks["sweep"] |= {"finalists": 1, "confirm_seeds": 0, "keep_best": 1, "start_with": []}
    del blocks["space"]["source.enabled"]
    first = SweepFolder(tmp_path / "a", "tiny")
    first.path.mkdir(parents=True)
    plan = build_plan(blocks, (Path("/"),), "test")
    study = SweepStudy(first.study, plan.settings, plan.space, 0)
    study.store_session_folder("tune-1")
    made = {}
    for number, value in enumerate([0.5, 0.9, 0.4]):
        assert study.begin_search_trial() is not None
        for step in (1, 2):
            made[number, step] = Path("tune-1") / f"trial-{number:03d}-x" / f"checkpoint_00000{step}"
            (first.path / made[number, step]).mkdir(parents=True)
        study.report(number, TrialReport("target", value=value, fraction_done=1.0))
        study.set_checkpoint(number, str(first.path / made[number, 2]))
        if number < 2:
            study.end(number, State.FINISHED)
    others = [Path("tune-1/trial-009-x/checkpoint_000001"), Path("tune-mine/trial-000-x/checkpoint_000001")]
    for other in others:
        (first.path / other).mkdir(parents=True)
    as_older_versions_wrote_it_study_only(first)
    second = SweepFolder(tmp_path / "b", "tiny")
    shutil.copytree(first.storage, second.storage)
    shutil.rmtree(second.path / made[2, 2])  # then its last one may be of use

    def lying(folder: SweepFolder) -> set[Path]:
        return {path.relative_to(folder.path) for path in folder.path.glob("tune-*/trial-*/checkpoint_*")}

    before = lying(first)
    remove_unneeded_checkpoints(second, plan, SweepStudy(second.study, plan.settings, plan.space, 0))
    assert lying(second) == {made[1, 2], made[2, 1], *others}
    assert lying(first) == before
    remove_unneeded_checkpoints(first, plan, SweepStudy(first.study, plan.settings, plan.space, 0))
    assert lying(first) == {made[1, 2], made[2, 2], *others}


def as_older_versions_wrote_it_study_only(folder: SweepFolder) -> None:
    folder.outcome.write_text('{"trials": []}')
    as_older_versions_wrote_it(folder)
    folder.outcome.unlink()


def test_a_link_out_of_the_sweep_is_not_followed(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["sweep"] |= {"start_with": []}
    plan, folder = build_plan(blocks, (Path("/"),), "test"), SweepFolder(tmp_path / "a", "tiny")
    outside = tmp_path / "outside" / "trial-000-x" / "checkpoint_000001"
    outside.mkdir(parents=True)
    folder.path.mkdir(parents=True)
    (folder.path / "tune-1").symlink_to(tmp_path / "outside")
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    study.store_session_folder("tune-1")
    assert study.begin_search_trial() is not None
    study.set_checkpoint(0, str(folder.path / "tune-1" / "trial-000-x" / "checkpoint_000001"))
    study.end(0, State.FAILED)
    remove_unneeded_checkpoints(folder, plan, study)
    assert outside.is_dir()


def test_data_that_moved_with_the_storage_are_found_there_first(tmp_path: Path) -> None:
    facts = {"storage": "/home/me/project/runs", "roots": ["/home/me/project", "/home/me/project/runs/own", "/data"]}
    assert data_roots(facts, Path("/home/me/project/runs")) == tuple(map(Path, facts["roots"]))
    new = data_roots(facts, Path("/else/where/runs"))
    assert new[:2] == (Path("/else/where"), Path("/home/me/project"))
    assert new[2:] == (Path("/else/where/runs/own"), Path("/home/me/project/runs/own"), Path("/data"))
    del facts["storage"]  # as older versions wrote it
    assert data_roots(facts, Path("/else/where/runs")) == tuple(map(Path, facts["roots"]))


@pytest.mark.parametrize("name", ["plain", "with blank? 50%25 # ü"])
def test_artifacts_lie_beside_the_database_in_hand(name: str, tmp_path: Path) -> None:
    event, text = started(None, {}, {}), text_logged(None, "first", "outcome.json")
    MlflowRuns(default_uri(tmp_path / "a"), "tiny", "1").apply([event, text])
    shutil.copytree(tmp_path / "a", tmp_path / name)
    shutil.move(tmp_path / "a", tmp_path / "c")
    _artifact_repos_cache.clear()  # of another process than the first one's
    MlflowRuns(default_uri(tmp_path / name), "tiny", "1").apply([text_logged(None, "second", "outcome.json")])
    client = MlflowClient(default_uri(tmp_path / name))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert Path(client.download_artifacts(run.info.run_id, "outcome.json")).read_text() == "second"
    assert [p.read_text() for p in (tmp_path / name).rglob("outcome.json")] == ["second"]
    assert [p.read_text() for p in (tmp_path / "c").rglob("outcome.json")] == ["first"]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["a?b", "a?mode=memory", "a#b", "a%3Fb", "a b", "ä&=+"])
def test_a_study_lies_where_its_path_says(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    file = tmp_path / name / "study.db"
    StudyFile(file, "tiny", Direction.MAX)
    assert file.is_file()
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    assert sqlite_uri(file).startswith("sqlite:///")
