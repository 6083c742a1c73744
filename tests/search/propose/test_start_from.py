"""A new sweep learns from an older one, and counts none of its trials as its own."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.engine.schedule.budget import Budget
from search.errors import PlanError
from search.plan.data_use import DataUse, to_stored
from search.plan.plan import Plan, build_plan
from search.propose.start_from import load_earlier_trials
from search.record.records import State
from search.storage.sweep_folder import SweepFolder, create_sweep_folder
from search.study.finalists import Repeat
from search.study.summary import summarise
from search.study.sweep_study import START_FROM, SweepStudy
from trainable.workers.messages import TrialReport

RATE = {"float": [1e-4, 1e-2], "log": True}
DATA = [DataUse("source", "films", "12345678abc"), DataUse("target", "tweets", "87654321abc")]

Made = tuple[Plan, SweepStudy]
Make = Callable[..., Made]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(blocks: dict[str, Any], storage: Path) -> Make:
    """A sweep on disk, with as many trials as are asked for; their value is the learning rate."""

    def make_(
        name: str,
        space: dict[str, Any] | None = None,
        target: dict[str, Any] | None = None,
        trials: int = 0,
        **sweep: Any,
    ) -> Made:
        changed = copy.deepcopy(blocks)
        changed["sweep"] = {"name": name, **sweep}
        changed["trial"]["target"] |= target or {}
        changed["space"] = {"target.learning_rate": RATE} if space is None else space
        plan, folder = build_plan(changed, (Path(),), name), SweepFolder(storage, name)
        create_sweep_folder(folder, plan.to_mapping() | {"id": name, "data": to_stored(DATA)})
        study = SweepStudy(folder.study, plan.settings, plan.space, 0)
        for _ in range(trials):
            record = study.begin_search_trial()
            assert record is not None
            value = record.params.get("target.learning_rate", 0.0)
            study.report(record.number, TrialReport("target", value=value, improved=True, fraction_done=1.0))
            study.end(record.number, State.FINISHED)
        return plan, study

    return make_


def used_points(plan: Plan, storage: Path) -> list[dict[str, Any]]:
    return [trial["params"] for trial in load_earlier_trials(plan, storage, DATA)["trials"]]


def refused(plan: Plan, storage: Path) -> str:
    with pytest.raises(PlanError) as caught:
        load_earlier_trials(plan, storage, DATA)
    assert str(caught.value).startswith("sweep.start_from: ")
    return str(caught.value)


def test_only_the_sampler_uses_the_older_trials(make: Make, storage: Path) -> None:
    """From the first trial on, the sampler proposes points near the best of the old sweep."""
    make("old", trials=25, sampler="random")
    alone, blank = make("alone")
    plan, study = make("new", start_from="old")
    study.set_user_attr(START_FROM, load_earlier_trials(plan, storage, DATA))
    rates = [study.begin_search_trial().params["target.learning_rate"] for _ in range(6)]
    uninformed = [blank.begin_search_trial().params["target.learning_rate"] for _ in range(6)]
    assert sorted(rates)[2] > 4e-3 > sorted(uninformed)[2]

    assert [r.number for r in study.records] == list(range(6))
    optuna_study = optuna.load_study(storage=f"sqlite:///{SweepFolder(storage, 'new').study}", study_name="new")
    assert [t.number for t in optuna_study.trials] == list(range(6))
    assert study.values_by_progress() == {}
    assert Budget(plan, study).used().trials == 6
    outcome = summarise(plan, storage, study)
    assert outcome.winner is None
    assert len(outcome.trials) == 6
    assert outcome.notes[0] == "the sampler learnt from 25 of the 25 ended trials of old before the first trial"


def test_random_points_of_the_older_sweep_are_not_drawn_again(make: Make, storage: Path) -> None:
    """Both sweeps have the same seed, and so few trials that the sampler still draws at random."""
    _, old = make("old", trials=3)
    plan, new = make("new", start_from="old")
    new.set_user_attr(START_FROM, load_earlier_trials(plan, storage, DATA))
    drawn = [new.begin_search_trial().params["target.learning_rate"] for _ in range(4)]
    assert not set(drawn) & {record.params["target.learning_rate"] for record in old.records}


def test_a_restart_does_not_change_the_proposals(make: Make, storage: Path) -> None:
    space = {"target.learning_rate": RATE, "target.weight_decay": {"float": [0, 1]}}
    make("old", space, trials=9)
    plan, one = make("one", space, start_from="old")
    _, two = make("two", space, start_from="old")
    for study in (one, two):
        study.set_user_attr(START_FROM, load_earlier_trials(plan, storage, DATA))
    expected = [one.begin_search_trial().params for _ in range(4)]
    begun = [two.begin_search_trial().params for _ in range(2)]
    again = SweepStudy(SweepFolder(storage, "two").study, two.settings, two.space, 0)
    assert begun + [again.begin_search_trial().params for _ in range(2)] == expected


def test_of_a_wider_old_space_only_points_of_the_new_space_are_used(make: Make, storage: Path) -> None:
    _, old = make("old", {"target.epochs": {"int": [1, 6]}}, trials=6)
    plan, _ = make("new", {"target.epochs": {"int": [2, 4]}}, start_from="old")
    assert sorted(point["target.epochs"] for point in used_points(plan, storage)) == [2, 3, 4]
    assert "learnt from 3 of the 6 ended trials of old" in load_earlier_trials(plan, storage, DATA)["note"]


def test_a_setting_that_was_fixed_and_is_now_searched_has_its_old_value(make: Make, storage: Path) -> None:
    make("old", {"target.epochs": {"int": [1, 2]}}, {"frozen_layers": 2}, trials=2)
    both = {"target.epochs": {"int": [1, 2]}, "target.frozen_layers": {"int": [0, 3]}}
    plan, _ = make("new", both, start_from="old")
    assert [point["target.frozen_layers"] for point in used_points(plan, storage)] == [2, 2]


def test_a_setting_that_was_searched_and_is_now_fixed_must_have_that_value(make: Make, storage: Path) -> None:
    make("old", {"target.epochs": {"int": [1, 2]}, "target.frozen_layers": {"int": [0, 1]}}, trials=4)
    plan, _ = make("new", {"target.epochs": {"int": [1, 2]}}, {"frozen_layers": 1}, start_from="old")
    assert sorted(point["target.epochs"] for point in used_points(plan, storage)) == [1, 2]


def test_a_source_that_was_always_off_is_a_choice_now(make: Make, storage: Path) -> None:
    """The settings of the source are inactive in the old trials, so they get no values."""
    make("old", {"source.enabled": {"choice": [False]}, "target.learning_rate": RATE}, trials=2)
    space = {
        "source.enabled": {"choice": [True, False]},
        "source.frozen_layers": {"int": [1, 2], "when": {"source.enabled": True}},
        "target.learning_rate": RATE,
    }
    plan, _ = make("new", space, start_from="old")
    assert [sorted(point) for point in used_points(plan, storage)] == [["source.enabled", "target.learning_rate"]] * 2


def test_the_note_names_the_differences_of_fixed_settings(make: Make, storage: Path, films_csv: Path) -> None:
    make("old", target={"epochs": 2, "dataset": {"csv": str(films_csv)}}, trials=2)
    plan, _ = make("new", target={"epochs": 4}, start_from="old")
    note = load_earlier_trials(plan, storage, [DataUse("source", "films", "other"), DATA[1]])["note"]
    assert "learnt from 2 of the 2 ended trials" in note
    assert "target.epochs: 2 there, 4 here" in note
    assert "target.dataset.csv: " in note
    assert "the source films's data" in note
    assert "padding_length" not in note


def test_only_search_trials_that_ended_with_a_value_are_taken(make: Make, storage: Path) -> None:
    _, old = make("old", {"target.epochs": {"int": [1, 9]}}, trials=2)
    first = old.record(0).params
    again = old.begin_repeat(Repeat("confirm", 0, 1, first))
    old.report(again.key, TrialReport("target", value=0.5, improved=True, fraction_done=1.0))
    old.end(again.key, State.FINISHED)
    for state in (State.STOPPED, State.FAILED, State.LOST):
        record = old.begin_search_trial()
        assert record is not None
        old.report(record.number, TrialReport("target", value=0.25, improved=True, fraction_done=0.25))
        old.end(record.number, state)
    old.begin_search_trial()
    plan, _ = make("new", {"target.epochs": {"int": [1, 9]}}, start_from="old")
    trials = load_earlier_trials(plan, storage, DATA)["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert trials[2]["steps"] == {"25": 0.25}


def test_sweeps_that_cannot_be_used_are_refused(make: Make, storage: Path) -> None:
    make("loss", trials=1, metric="loss")
    make("empty")
    make("epochs", {"target.epochs": {"int": [1, 2]}}, {"learning_rate": 1.0}, trials=2)
    messages = {name: refused(make(f"after-{name}", start_from=name)[0], storage) for name in ("gone", "loss", "empty")}
    assert "gone: no such sweep in" in messages["gone"]
    assert "there are: after-gone, empty, epochs, loss" in messages["gone"]
    assert "loss optimised loss, not macro_f1" in messages["loss"]
    assert "none of the 0 ended trials of empty fits" in messages["empty"]
    assert "none of the 2 ended trials of epochs fits" in refused(make("new", start_from="epochs")[0], storage)


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"start_from": "new"}, "is the name of this sweep"),
        ({"start_from": "old", "sampler": "grid"}, "grid cannot learn from another sweep"),
        ({"start_from": "old", "sampler": "cmaes"}, "use tpe or gp"),
        ({"start_from": "../old"}, "sweep.start_from: "),
    ],
)
def test_contradicting_settings_are_refused(sweep: dict[str, Any], words: str, make: Make) -> None:
    with pytest.raises(PlanError, match=words):
        make("new", {"target.epochs": {"int": [1, 2]}}, **sweep)


def test_the_plan_stores_start_from(make: Make, storage: Path) -> None:
    make("new", start_from="old")
    assert json.loads(SweepFolder(storage, "new").plan.read_text())["sweep"]["start_from"] == "old"


def test_shares_of_layers_are_learnt_from(make: Make, storage: Path) -> None:
    space = {"target.learning_rate": RATE, "target.frozen_layers": {"share": [0, 1]}}
    make("older", space, trials=2)
    plan, _ = make("newer", space, start_from="older")
    assert len(load_earlier_trials(plan, storage, DATA)["trials"]) == 2
