"""Messages about an experiment under the name of an existing sweep, and about changed data."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from search.plan.changes import changed_data, differences, name_taken_problems
from search.plan.data_use import DataUse
from search.plan.plan import Plan, build_plan
from search.redirect_output import output_to_file
from search.storage.sweep_folder import SweepFolder, create_sweep_folder, load_saved_plan, update_saved_plan


def plan_of(blocks: dict[str, Any], **sweep: Any) -> Plan:
    return build_plan(blocks | {"sweep": blocks["sweep"] | sweep}, (Path(),), "test")


@pytest.fixture
def folder(blocks: dict[str, Any], tmp_path: Path) -> SweepFolder:
    """A sweep with the experiment of `blocks` that has begun."""
    folder = SweepFolder(tmp_path / "runs", "tiny")
    create_sweep_folder(folder, plan_of(blocks).to_mapping() | {"id": "0", "data": {}}).release()
    return folder


def test_the_message_about_the_same_experiment_names_the_commands(blocks: dict[str, Any], folder: SweepFolder) -> None:
    (message,) = name_taken_problems(folder, plan_of(blocks))
    assert message.startswith(f"sweep.name: {folder.path} holds the same experiment; ")
    for command in ("resume tiny", "extend tiny --trials 20", "show tiny"):
        assert f"`transfersweep {command} --storage {folder.storage}`" in message


def test_commands_leave_out_the_default_storage(
    blocks: dict[str, Any], folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.storage.parent)
    assert "`transfersweep resume tiny`" in name_taken_problems(SweepFolder(Path("runs"), "tiny"), plan_of(blocks))[0]


def test_every_difference_is_named_with_both_values(blocks: dict[str, Any], folder: SweepFolder) -> None:
    changed = copy.deepcopy(blocks)
    changed["trial"]["target"]["batch_size"] = 8
    changed["trial"]["target"]["dataset"]["label"] = "kind"
    changed["space"]["target.epochs"] = {"int": [1, 4]}
    del changed["space"]["target.learning_rate"]
    del changed["sweep"]["start_with"]
    head, *messages = name_taken_problems(folder, plan_of(changed, trials=5))
    assert "holds another experiment" in head
    assert "resume" not in head
    assert "--set sweep.name=..." in head
    assert sorted(messages)[:2] == [
        'space.target.epochs: {"int": [1, 3]} there, {"int": [1, 4]} here',
        'space.target.learning_rate: {"float": [0.0001, 0.01], "log": true} there, not set here',
    ]
    assert sorted(messages)[2].startswith('sweep.start_with: [{"source.enabled": true, ')
    assert sorted(messages)[3:] == [
        "sweep.trials: 3 there, 5 here",
        "trial.target.batch_size: 16 there, 8 here",
        'trial.target.dataset.label: not set there, "kind" here',
    ]


def test_allowed_changes_are_shown_as_a_command(blocks: dict[str, Any], folder: SweepFolder) -> None:
    head, *messages = name_taken_problems(folder, plan_of(blocks, trials=5, minutes=1.5))
    assert "transfersweep resume tiny --set sweep.trials=5 --set sweep.minutes=1.5 --storage" in head
    assert messages == ["sweep.trials: 3 there, 5 here", "sweep.minutes: null there, 1.5 here"]


def test_passwords_are_not_shown(blocks: dict[str, Any], folder: SweepFolder) -> None:
    messages = "\n".join(name_taken_problems(folder, plan_of(blocks, tracking_uri="https://me:secret@example.org")))
    assert "sweep.tracking_uri: null there, " in messages
    assert "example.org" in messages
    assert "secret" not in messages


@pytest.mark.parametrize(
    ("umask", "uri", "mode"),
    [(0o022, "https://me:secret@example.org", 0o600), (0o022, None, 0o644), (0o002, None, 0o664), (0o077, None, 0o600)],
)
def test_only_the_owner_can_read_a_plan_with_a_password(
    umask: int, uri: str | None, mode: int, blocks: dict[str, Any], tmp_path: Path
) -> None:
    """When it is created and when it is written again; without a password the umask decides."""
    before = os.umask(umask)
    try:
        folder = SweepFolder(tmp_path / "runs", "tiny")
        create_sweep_folder(folder, plan_of(blocks, tracking_uri=uri).to_mapping() | {"id": "0", "data": {}}).release()
        assert folder.plan.stat().st_mode & 0o777 == mode
        update_saved_plan(folder, plan_of(blocks, tracking_uri=uri, trials=9).to_mapping())
        assert load_saved_plan(folder)["sweep"]["trials"] == 9
        assert folder.plan.stat().st_mode & 0o777 == mode
        with output_to_file(folder.log, plan_of(blocks, tracking_uri=uri).settings.has_secret):
            pass
        assert folder.log.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_a_setting_newer_than_the_sweep_has_its_default(blocks: dict[str, Any]) -> None:
    here = plan_of(blocks).to_mapping()
    there = copy.deepcopy(here)
    del there["sweep"]["start_from"], there["sweep"]["scheduler"]
    assert differences(there, here) == {}


def test_a_folder_without_a_sweep(blocks: dict[str, Any], tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path, "tiny")
    folder.path.mkdir()
    assert "exists and holds no sweep" in name_taken_problems(folder, plan_of(blocks))[0]


def test_changed_data_are_named() -> None:
    films, tweets = DataUse("source", "films", "11111111a"), DataUse("target", "my tweets", "22222222a")
    changed = tweets._replace(fingerprint="33333333a")
    assert changed_data([films, tweets], [films, tweets]) == []
    (message,) = changed_data([films, tweets], [films, tweets, changed])
    begin = (
        "the target's data set 'my tweets' or its tokenizer has changed since the sweep began, or this version reads "
    )
    assert message.startswith(begin)
    assert "use the version that began the sweep" in message
    sentences = changed_data([films, tweets], [films, changed])
    assert [line.split(" or ")[0] for line in sentences] == ["the target's data set 'my tweets'"]


def test_a_changed_plan_deletes_the_old_outcome(blocks: dict[str, Any], folder: SweepFolder) -> None:
    folder.outcome.write_text("{}")
    update_saved_plan(folder, plan_of(blocks).to_mapping())
    assert folder.outcome.is_file()
    update_saved_plan(folder, plan_of(blocks, trials=9).to_mapping())
    assert not folder.outcome.exists()
    facts = load_saved_plan(folder)
    assert (facts["sweep"]["trials"], facts["id"]) == (9, "0")
