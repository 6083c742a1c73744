"""What an experiment file may contain, and the messages about a wrong one, before anything starts."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yaml_text import dump_yaml

from search.plan.changes import differences
from search.plan.data import check_data
from search.plan.plan import PlanError, build_plan, encoder_problems, find_experiment, load_plan, load_sweep
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from spaces import shipped

Change = Callable[[dict[str, Any]], Any]


def put(*path: str | dict[str, Any]) -> Change:
    """Return a change that sets the value (the last argument) at the path (the other arguments)."""

    def change(blocks: dict[str, Any]) -> None:
        *parents, name, value = path
        for step in parents:
            blocks = blocks[step]
        blocks[name] = value

    return change


def drop(*path: str) -> Change:
    def change(blocks: dict[str, Any]) -> None:
        for step in path[:-1]:
            blocks = blocks[step]
        del blocks[path[-1]]

    return change


def written(blocks: dict[str, Any], folder: Path) -> Path:
    file = folder / "experiment.yaml"
    file.write_text(dump_yaml(blocks), encoding="utf-8")
    return file


def problems(file: Path, overrides: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(PlanError) as caught:
        load_plan(file, overrides)
    assert "\n".join(caught.value.problems) == str(caught.value)
    return list(caught.value.problems)


MISTAKES: dict[str, tuple[Change, str]] = {
    "an unknown cost": (
        put("sweep", "constraints", ["latency <= 20"]),
        "sweep.constraints[0]: 'latency <= 20' must be a cost and its limit, such as `latency_ms <= 20`",
    ),
    "constraint without a limit": (
        put("sweep", "constraints", ["latency_ms <= 20 ms"]),
        "sweep.constraints[0]: 'latency_ms <= 20 ms' must be a cost",
    ),
    "limit of zero": (
        put("sweep", "constraints", ["text_gflops <= 0"]),
        "sweep.constraints[0]: 'text_gflops <= 0': the limit '0' must be a number above 0",
    ),
    "sampler and constraints": (
        lambda b: b["sweep"].update({"constraints": ["latency_ms <= 20"], "sampler": "cmaes"}),
        "sweep.constraints: cmaes cannot learn from constraints",
    ),
    "margin below zero": (put("sweep", "select", {"within": -1, "prefer": "size"}), "sweep.select.within"),
    "margin in words": (put("sweep", "select", {"within": "half", "prefer": "size"}), "sweep.select.within"),
    "preference": (put("sweep", "select", {"within": 0.01, "prefer": "sise"}), "sweep.select.prefer"),
    "unknown block": (put("spaces", {}), "no such block: 'spaces'; did you mean 'space'?"),
    "no sweep": (drop("sweep"), "sweep: this block is missing"),
    "no trial": (drop("trial"), "trial: this block is missing"),
    "trial is null": (put("trial", None), "trial: this block is missing"),
    "sweep is a list": (put("sweep", [1]), "sweep: must be a mapping of settings, got [1]"),
    "trial is a text": (put("trial", "x"), "trial: must be a mapping of settings, got 'x'"),
    "space is a list": (put("space", []), "space: must map dotted names to domains"),
    "space is a list of mappings": (put("space", [{"target.epochs": 2}]), "space: must map dotted names to domains"),
    "unknown sweep setting": (
        put("sweep", "trails", 3),
        "sweep.trails: no such setting: 'trails'; did you mean 'trials",
    ),
    "unknown trial setting": (
        put("trial", "target", "learning_rat", 1),
        "trial.target.learning_rat: no such setting: 'learning_rat'; did you mean 'learning_rate'?",
    ),
    "unknown dataset setting": (
        put("trial", "target", "dataset", "txt", "a"),
        "trial.target.dataset.txt: no such setting: 'txt'; did you mean 'text'?",
    ),
    "unknown name in the space": (
        put("space", "target.frozen_layer", {"int": [0, 1]}),
        "space.target.frozen_layer: no such setting: 'target.frozen_layer'; did you mean 'target.frozen_layers'?",
    ),
    "fixed and searched": (
        put("trial", "target", "epochs", 2),
        "space.target.epochs: is also under trial; a setting is either fixed or searched",
    ),
    "frozen layers fixed too high": (
        put("trial", "target", "frozen_layers", 4),
        "trial.target.frozen_layers: 4 is more",
    ),
    "frozen layers searched too high": (
        put("space", "target.frozen_layers", {"int": [0, 4]}),
        "space.target.frozen_layers: 4 is more than the 3 layers of",
    ),
    "source's frozen layers searched too high": (
        put("space", "source.frozen_layers", {"choice": [0, 7]}),
        "space.source.frozen_layers: 7 is more than the 3 layers of",
    ),
    "padding fixed too long": (put("trial", "target", "padding_length", 65), "trial.target.padding_length: 65 is more"),
    "padding searched too long": (
        put("space", "source.padding_length", {"int": [16, 128], "step": 16, "when": {"source.enabled": True}}),
        "128 is more than the 64 positions of",
    ),
    "text for a number": (
        put("trial", "target", "batch_size", "many"),
        "trial.target.batch_size: must be a whole number from 1 to 65536, got 'many'",
    ),
    "number out of range": (put("trial", "target", "label_smoothing", 1.5), "trial.target.label_smoothing: "),
    "searched out of range": (
        put("space", "target.dropout", {"float": [0, 1]}),
        "space.target.dropout: must be a number of at least 0 and below 1, or null, got 1.0",
    ),
    "unknown metric": (
        put("sweep", "metric", "meteor"),
        "sweep.metric: no such metric: 'meteor'; there are: macro_f1",
    ),
    "metric under trial": (put("trial", "metric", "accuracy"), "trial.metric: is set by sweep.metric"),
    "metric under space": (put("space", "metric", {"choice": ["accuracy"]}), "metric: is set by sweep.metric"),
    "start outside the space": (
        put("sweep", "start_with", [{"target.epochs": 9}]),
        "sweep.start_with[0]: target.epochs: 9 is not one of",
    ),
    "start with an unknown name": (put("sweep", "start_with", [{"epochs": 1}]), "sweep.start_with[0]: no such name"),
    "more starts than trials": (
        put("sweep", "start_with", [{}] * 4),
        "sweep.trials: 3 is less than the 4 points of sweep.start_with",
    ),
    "grid of a continuum": (put("sweep", "sampler", "grid"), "sweep.sampler: grid: target.learning_rate: "),
    "nothing to draw": (put("sweep", "redraw_rows", True), "sweep.redraw_rows: every trial trains on all rows; set "),
    "no data": (drop("trial", "target", "dataset"), "trial.target.dataset: is missing"),
    "two origins of data": (put("trial", "target", "dataset", "hub", "a/b"), "give either one of csv, json"),
    "unknown data set": (put("trial", "source", "dataset", "films"), "no such data set: 'films'"),
    "searched unknown data set": (
        lambda b: b["space"].update({"target.dataset": {"choice": [*b["trial"]["target"].pop("dataset"), "tweets"]}}),
        "space.target.dataset: no such data set: 'tweets'",
    ),
    "condition on an unknown name": (
        put("space", "target.patience", {"int": [1, 2], "when": {"target.optimiser": "adamw"}}),
        "space.target.patience: when: ",
    ),
    "condition that cannot hold": (
        put("space", "target.patience", {"int": [1, 2], "when": {"target.epochs": 7}}),
        "space.target.patience: when: ",
    ),
    "bounds upside down": (
        put("space", "target.epochs", {"int": [3, 1]}),
        "space.target.epochs: low must not exceed high",
    ),
    "list for a domain": (put("space", "target.epochs", [1, 2]), "space.target.epochs: a list is not a domain"),
    "no such encoder": (
        put("trial", "encoder", "package:no_such_one"),
        "trial.encoder: 'package:no_such_one': no inst",
    ),
    "one of two encoders is none": (
        lambda b: put("space", "encoder", {"choice": [b["trial"].pop("encoder"), "package:no_such_one"]})(b),
        "encoder: 'package:no_such_one': no installed Python package",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_with_file_and_path(mistake: str, blocks: dict[str, Any], tmp_path: Path) -> None:
    change, words = MISTAKES[mistake]
    change(blocks)
    file = written(blocks, tmp_path)
    found = problems(file)
    assert any(words in problem for problem in found), found
    assert all(problem.startswith(f"{file}: ") for problem in found)
    assert not any("\n" in problem or "Traceback" in problem or "pydantic" in problem for problem in found)


HOSTILE = {
    "empty": ("", "is empty"),
    "a list": ("- sweep", "must contain a mapping"),
    "python object": ("sweep: !!python/object/apply:os.system [echo]", "tag"),
    "bomb": ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{n}: &{n} [{', '.join(['*' + m] * 9)}]\n" for m, n in zip("abcdef", "bcdefg", strict=True)
    ), "more than"),
    "deep": ("a: " + "[" * 100 + "]" * 100, "nested deeper"),
    "repeated key": ("sweep: {name: a, name: b}", "occurs twice"),
    "tab": ("sweep:\n\tname: a", "tabs"),
    "not YAML": ("sweep: {name: [}", "expected"),
    "a NUL": ("sweep: {name: \"\\0\"}", "NUL"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_yaml_is_one_sentence(kind: str, tmp_path: Path) -> None:
    text, words = HOSTILE[kind]
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    (problem,) = problems(file)
    assert problem.startswith(str(file))
    assert words in problem
    assert "\n" not in problem


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_bytes(b"sweep:\n  name: \xff\n")
    assert problems(file) == [f"{file}:2: is not UTF-8 (byte 0xff); save it as UTF-8"]


def test_all_mistakes_are_reported_together(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["sweeep"] = {}
    blocks["sweep"] |= {"trials": "many", "samplr": "tpe"}
    blocks["trial"]["target"]["learning_rat"] = 1
    blocks["trial"]["source"]["epochs"] = 0
    blocks["space"]["target.epochs"] = {"int": [3, 1]}
    blocks["space"]["target.batch_size"] = {"int": [8, 16], "lag": True}
    found = "\n".join(problems(written(blocks, tmp_path)))
    for words in (
        "no such block: 'sweeep'",
        "sweep.trials: ",
        "sweep.samplr: ",
        "trial.target.learning_rat: ",
        "trial.source.epochs: ",
        "space.target.epochs: ",
        "space.target.batch_size: ",
    ):
        assert words in found
    assert "is missing" not in found


def test_an_unknown_name_does_not_hide_mistakes_of_the_trial(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["space"]["target.layers"] = {"int": [0, 2]}
    blocks["trial"]["target"]["padding_length"] = 999
    found = "\n".join(problems(written(blocks, tmp_path)))
    assert "space.target.layers: no such setting" in found
    assert "trial.target.padding_length: 999 is more" in found


PAIRED: dict[str, tuple[Change, str]] = {
    "unknown metric": (put("sweep", "metric", "meteor"), "sweep.metric: no such metric: 'meteor'"),
    "a name with a blank": (put("sweep", "name", "Müller Versuch"), "sweep.name: 'Müller Versuch' contains"),
    "text for a number": (put("sweep", "trials", "many"), "sweep.trials: must be a whole number"),
    "an older sweep of its own name": (
        put("sweep", "start_from", "tiny"),
        "sweep.start_from: 'tiny' is the name of this",
    ),
    "a sampler that learns nothing": (
        lambda b: b["sweep"].update({"start_from": "old", "sampler": "random"}),
        "sweep.start_from: random cannot learn",
    ),
    "a start outside the space": (put("sweep", "start_with", [{"target.epochs": 9}]), "sweep.start_with[0]: target.ep"),
    "more starts than trials": (lambda b: b["sweep"].update(trials=1, start_with=[{}, {}]), "sweep.trials: 1 is less"),
    "misspelt in the trial": (put("trial", "target", "epocs", 3), "trial.target.epocs: no such setting"),
    "a wrong value in the trial": (put("trial", "source", "epochs", 0), "trial.source.epochs: must be a whole number"),
    "an unknown data set": (put("trial", "source", "dataset", "flims"), "trial.source.dataset: no such data set"),
    "two origins of data": (put("trial", "target", "dataset", "hub", "a/b"), "trial.target.dataset: give either one"),
    "deeper than the encoder": (put("trial", "target", "frozen_layers", 4), "trial.target.frozen_layers: 4 is more"),
    "longer than its positions": (
        put("space", "target.padding_length", {"choice": [16, 65]}),
        "space.target.padding_length: 65 is more",
    ),
    "misspelt in the space": (put("space", "target.layers", {"int": [0, 1]}), "space.target.layers: no such setting"),
    "no domain": (put("space", "target.patience", [1, 2]), "space.target.patience: a list is not a domain"),
    "out of range in the space": (put("space", "target.dropout", {"float": [0, 2]}), "space.target.dropout: must be"),
}


@pytest.mark.parametrize("other", PAIRED)
@pytest.mark.parametrize("mistake", PAIRED)
def test_no_mistake_hides_another(mistake: str, other: str, blocks: dict[str, Any], tmp_path: Path) -> None:
    """Each mistake is found in the same run, and once, whatever else is wrong in the file."""
    blocks["trial"]["target"].pop("padding_length")
    blocks["space"]["target.padding_length"] = {"choice": [16]}
    for name in (mistake, other):
        PAIRED[name][0](blocks)
    found = problems(written(blocks, tmp_path))
    assert len(found) == len(set(found))
    same_setting = {"more starts than trials", "a start outside the space", "text for a number"}
    origins = {"an older sweep of its own name", "a sampler that learns nothing"}
    if {mistake, other} <= same_setting or {mistake, other} <= origins:  # the second change overwrites the first
        return
    renamed = {mistake, other} == {"a name with a blank", "an older sweep of its own name"}
    for name in {mistake, other} - ({"an older sweep of its own name"} if renamed else set()):
        assert sum(PAIRED[name][1] in problem for problem in found) == 1, found


def test_source_settings_need_a_source(blocks: dict[str, Any], tmp_path: Path) -> None:
    del blocks["trial"]["source"], blocks["space"]["source.enabled"], blocks["sweep"]["start_with"]
    blocks["space"] |= {"source.epochs": {"int": [1, 2]}, "source.padding_length": {"choice": [16]}}
    blocks["sweep"]["metric"] = "meteor"
    metric, source = problems(written(blocks, tmp_path))
    assert "sweep.metric: no such metric" in metric
    assert source.endswith(
        "trial.source.dataset: is missing; space has source.epochs, source.padding_length, which need a source"
    )


VALUES: list[tuple[str, str, Any, str]] = [
    ("sweep", "trials", 0, "must be a whole number from 1 to 100000, or null, got 0"),
    ("sweep", "trials", 2.5, "must be a whole number from 1 to 100000, or null, got 2.5"),
    ("sweep", "minutes", 0, "must be a number above 0, or null, got 0"),
    ("sweep", "minutes", float("inf"), "must be a finite number above 0, or null, got Infinity"),
    ("sweep", "sampler", "tpee", "must be one of tpe, random, gp, cmaes, qmc, grid, got 'tpee'; did you mean 'tpe'?"),
    ("sweep", "system_metrics", "maybe", "must be true or false, got 'maybe'"),
    ("sweep", "tracking_uri", ["a"], 'must be text, or null, got ["a"]'),
    ("sweep", "start_with", {"a": 1}, 'must be a list of which each is a mapping of settings, or null, got {"a": 1}'),
    ("sweep", "start_with", [3], "must be a mapping of settings, got 3"),
    ("trial", "seed", {"a": 1}, 'must be a whole number of at least 0 and below 2147483648, got {"a": 1}'),
    ("trial", "encoder", None, "must be text, got null"),
    ("trial", "precision", "fp16", "must be one of auto, fp32, bf16, got 'fp16'; did you mean 'bf16'?"),
    ("trial", "datasets", ["a.csv"], 'must be a mapping of settings, got ["a.csv"]'),
    ("trial", "target", [1], "must be a mapping of settings, got [1]"),
]


@pytest.mark.parametrize(("block", "name", "value", "sentence"), VALUES)
def test_a_wrong_value_is_reported_with_the_allowed_values(
    block: str, name: str, value: Any, sentence: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks[block][name] = value
    file = written(blocks, tmp_path)
    where = f"{name}[0]" if value == [3] else name
    assert f"{file}: {block}.{where}: {sentence}" in problems(file)


def test_every_bound_must_be_within_the_limits_of_every_encoder(
    blocks: dict[str, Any], tiny_bert: str, minilm: str, tmp_path: Path
) -> None:
    del blocks["trial"]["encoder"]
    blocks["space"] |= {"encoder": {"choice": [minilm, tiny_bert]}, "target.frozen_layers": {"int": [0, 6]}}
    assert problems(written(blocks, tmp_path)) == [
        f"{tmp_path / 'experiment.yaml'}: space.target.frozen_layers: 6 is more than the 3 layers of {tiny_bert}"
    ]
    blocks["space"]["target.frozen_layers"]["when"] = {"encoder": minilm}
    assert "target.frozen_layers" in load_plan(written(blocks, tmp_path)).space.names


def test_a_stored_plan_gives_the_same_plan(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["sweep"]["metric"] = "loss"
    plan = load_plan(written(blocks, tmp_path))
    kept = json.loads(json.dumps(plan.to_mapping()))
    again = build_plan({n: kept[n] for n in ("sweep", "trial", "space")}, tuple(map(Path, kept["roots"])), "plan.json")
    assert again == plan
    assert again.to_mapping() == plan.to_mapping()
    assert again.config({"source.enabled": False}).metric == "loss"


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_are_correct_and_stay_the_same_when_stored(name: str) -> None:
    plan = load_plan(find_experiment(name))
    kept = json.loads(json.dumps(plan.to_mapping()))
    assert build_plan({n: kept[n] for n in ("sweep", "trial", "space")}, plan.roots, "plan.json") == plan


def test_a_stored_plan_without_folds_splits_as_its_version_did(blocks: dict[str, Any], tmp_path: Path) -> None:
    plan = build_plan(blocks, (tmp_path,), "test")
    folder = SweepFolder(tmp_path, "tiny")
    folder.path.mkdir()
    saved = {**plan.to_mapping(), "id": "x", "data": {}}
    folder.plan.write_text(json.dumps(saved), encoding="utf-8")
    assert load_sweep(folder).config({}).target.dataset.validation_fraction is None
    del saved["sweep"]["refit"], saved["sweep"]["cross_validate"]
    folder.plan.write_text(json.dumps(saved), encoding="utf-8")
    old = load_sweep(folder)
    assert (old.settings.refit, old.settings.cross_validate) == (False, False)
    stages = old.config({"source.enabled": True}).stages().values()
    assert [stage.dataset.validation_fraction for stage in stages] == [0.1, 0.1]


def test_a_stored_plan_without_pooling_is_of_an_older_version(blocks: dict[str, Any], tmp_path: Path) -> None:
    """Such a sweep has read every encoder as `first`, and continues so."""
    plan, folder = load_plan(written(blocks, tmp_path)), SweepFolder(tmp_path, "tiny")
    facts = {**plan.to_mapping(), "id": "x", "data": {}}
    folder.path.mkdir()
    folder.plan.write_text(json.dumps(facts))
    assert load_sweep(folder).base["pooling"] == "auto"
    del facts["trial"]["pooling"]
    folder.plan.write_text(json.dumps(facts))
    old = load_sweep(folder)
    assert old.config({}).pooling == "first"
    there, here = differences(load_saved_plan(folder), plan.to_mapping())["trial.pooling"]
    assert (there, here) == ("first", "auto")


@pytest.mark.parametrize(("written_head", "continues"), [(None, "auto"), ("auto", "auto"), ("keep", "keep")])
def test_a_stored_plan_without_a_head_is_of_an_older_version(
    written_head: str | None, continues: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    """Such a sweep has begun new heads at random, and continues so."""
    plan, folder = load_plan(written(blocks, tmp_path)), SweepFolder(tmp_path, "tiny")
    assert plan.to_mapping()["trial"]["target"]["head"] == "keep_or_probe"
    facts = {**plan.to_mapping(), "id": "x", "data": {}}
    folder.path.mkdir()
    del facts["trial"]["target"]["head"]
    if written_head:
        facts["trial"]["target"]["head"] = written_head
    folder.plan.write_text(json.dumps(facts))
    assert load_sweep(folder).config({}).target.head == continues


def test_a_stored_plan_without_later_settings_continues_as_it_began(blocks: dict[str, Any], tmp_path: Path) -> None:
    """Such a sweep has kept the best weights and repeated two finalists, and knew only whether there are folds."""
    plan, folder = load_plan(written(blocks, tmp_path)), SweepFolder(tmp_path, "tiny")
    facts = {**plan.to_mapping(), "id": "x", "data": {}, "has_folds": True}
    facts["sweep"] |= {"finalists": 2, "refit": True}
    del facts["trial"]["target"]["load_best_at_end"], facts["held_out_rows"]
    del facts["trial"]["target"]["evaluations_per_epoch"], facts["trial"]["source"]["evaluations_per_epoch"]
    folder.path.mkdir()
    folder.plan.write_text(json.dumps(facts))
    old = load_sweep(folder)
    assert (old.has_folds, old.refits, old.finalists_in(1)) == (True, True, 2)
    config = old.config({"source.enabled": True})
    assert config.target.load_best_at_end is True
    assert [stage.evaluations_per_epoch for stage in config.stages().values()] == [1, 1]


def test_a_searched_pooling_is_checked_with_each_encoder(
    blocks: dict[str, Any], tmp_path: Path, minilm: str, tiny_bert: str
) -> None:
    del blocks["trial"]["encoder"]
    blocks["space"] |= {"encoder": {"choice": [minilm, tiny_bert]}, "pooling": {"choice": ["auto", "first", "mean"]}}
    plan = load_plan(written(blocks, tmp_path))
    assert encoder_problems(plan) == []
    assert "pooling" not in plan.to_mapping()["trial"]
    found = [plan.config({"encoder": encoder, "pooling": "auto"}).pooling for encoder in (minilm, tiny_bert)]
    assert found == ["mean", "first"]
    blocks["space"]["pooling"] = {"choice": ["first", "lasttoken"]}
    (problem,) = problems(written(blocks, tmp_path))
    assert "space.pooling: " in problem and "lasttoken" in problem


def test_a_missing_experiment() -> None:
    with pytest.raises(PlanError, match=r"no such file.*quickstart"):
        find_experiment("quickstrt")
    with pytest.raises(PlanError, match="is a folder"):
        find_experiment(".")


def test_overrides_reach_every_block(blocks: dict[str, Any], tmp_path: Path) -> None:
    given = {
        "sweep.trials": "7",
        "trial.target.weight_decay": "1e-3",
        "trial.source.dataset.text": "text",
        "space.target.epochs": "{int: [2, 2]}",
    }
    plan = load_plan(written(blocks, tmp_path), given)
    assert plan.settings.trials == 7
    assert plan.config({"source.enabled": False}).target.weight_decay == 1e-3
    assert plan.base["source"]["dataset"]["text"] == "text"
    assert plan.space.to_mapping()["target.epochs"]["int"] == [2, 2]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("trials", "3", "--set trials: a name must begin with one of sweep., trial., space."),
        ("sweep", "3", "--set sweep: a name must begin with"),
        ("sweep.trails", "3", "sweep.trails: no such setting: 'trails'; did you mean 'trials'?"),
        ("trial.target.epochs", "[", "--set trial.target.epochs"),
        ("trial.target.batch_size.x", "3", "trial.target.batch_size"),
        ("space.target.epoch", "{int: [1, 2]}", "space.target.epoch: no such setting"),
    ],
)
def test_a_wrong_override_is_reported(
    name: str, value: str, words: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    assert any(words in problem for problem in problems(written(blocks, tmp_path), {name: value}))


def test_data_of_every_stage_and_choice_are_checked(blocks: dict[str, Any], tmp_path: Path) -> None:
    good = copy.deepcopy(blocks["trial"]["source"]["dataset"])
    del blocks["trial"]["source"]["dataset"]
    blocks["trial"]["datasets"] = {"films": good, "gone": {"csv": "gone.csv"}}
    blocks["space"]["source.dataset"] = {"choice": ["films", "gone"], "when": {"source.enabled": True}}
    blocks["trial"]["target"]["dataset"]["label"] = "sentiment"
    plan = load_plan(written(blocks, tmp_path))
    with pytest.raises(PlanError) as caught:
        check_data(plan, tmp_path / "runs")
    assert len(caught.value.problems) == 2
    assert "gone.csv" in str(caught.value)
    assert "sentiment" in str(caught.value)


def test_data_are_prepared_once_for_each_use(blocks: dict[str, Any], tmp_path: Path) -> None:
    prepared = check_data(load_plan(written(blocks, tmp_path)), tmp_path / "runs")
    assert sorted(use.stage for use in prepared) == ["source", "target"]


def test_a_relative_file_is_looked_up_beside_the_experiment(
    blocks: dict[str, Any], tweets_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text(tweets_csv.read_text(encoding="utf-8"), encoding="utf-8")
    blocks["trial"]["target"]["dataset"] = {"csv": "mine.csv"}
    assert len(check_data(load_plan(written(blocks, tmp_path)), tmp_path / "runs")) == 2


def test_an_encoder_is_looked_up_beside_the_experiment(
    blocks: dict[str, Any], tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder does not matter, and the sweep stores the names as written."""
    for name in ("a", "b"):
        shutil.copytree(tiny_bert, tmp_path / "encoders" / name)
    del blocks["trial"]["encoder"]
    blocks["space"]["encoder"] = {"choice": ["./encoders/a", "encoders/b"]}
    file = written(blocks, tmp_path)
    monkeypatch.chdir("/")
    kept = json.loads(json.dumps(load_plan(file).to_mapping()))
    file.unlink()
    again = build_plan({n: kept[n] for n in ("sweep", "trial", "space")}, tuple(map(Path, kept["roots"])), "plan.json")
    names = kept["space"]["encoder"]["choice"]
    found = [again.config({"source.enabled": False, "encoder": name}).encoder for name in names]
    assert found == [str(tmp_path / "encoders" / name) for name in ("a", "b")]
    assert names == ["./encoders/a", "encoders/b"]
    assert len(check_data(again, tmp_path / "runs")) == 2


@pytest.mark.parametrize("name", ["./none", "../none", "/none", "~/none", "a/b/c"])
def test_a_name_that_looks_like_a_path_is_never_looked_up_on_the_hub(
    name: str, blocks: dict[str, Any], tmp_path: Path
) -> None:
    blocks["trial"]["encoder"] = name
    (problem,) = problems(written(blocks, tmp_path))
    assert f"trial.encoder: {name!r}: no such folder; looked in " in problem


@pytest.mark.parametrize(
    ("change", "open_"),
    [
        (lambda blocks: None, True),
        (drop("sweep", "minutes"), False),
        (drop("trial", "source"), False),
        (put("trial", "source", "train_rows", 50), False),
        (put("space", "source.train_rows", {"choice": [20, 50]}), False),
    ],
)
def test_the_source_rows_are_open_if_minutes_alone_can_decide(
    change: Change, open_: bool, blocks: dict[str, Any]
) -> None:
    del blocks["trial"]["source"]["train_rows"]
    blocks["sweep"] |= {"minutes": 3}
    change(blocks)
    if "source" not in blocks["trial"]:
        del blocks["space"]["source.enabled"], blocks["sweep"]["start_with"]
    plan = build_plan(blocks, (Path(),), "mine.yaml")
    assert plan.leaves_source_rows_open() == open_
    if open_:
        cut = replace(plan, source_rows=7)
        assert cut.config({}).source.train_rows == 7  # type: ignore[union-attr]
        assert not cut.leaves_source_rows_open()


@pytest.mark.parametrize(
    "change", [put("trial", "pooling", "bi_encoder"), put("space", "pooling", {"choice": ["mean", "bi_encoder"]})]
)
def test_a_bi_encoder_needs_pairs(change: Change, blocks: dict[str, Any], tmp_path: Path) -> None:
    change(blocks)
    with pytest.raises(PlanError, match="pooling: bi_encoder needs pairs of texts, and the target has single texts"):
        check_data(build_plan(blocks, (Path(),), "mine.yaml"), tmp_path)
