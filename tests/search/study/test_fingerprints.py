"""A resume or an export on changed encoders, tokenizers or data is refused; an export names its training data."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from search.engine.start import resume_sweep
from search.errors import PlanError
from search.export.export import export_trial
from search.export.exportable import choose
from search.plan.data import check_data
from search.plan.plan import build_plan
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.fingerprints import compute_fingerprints, describe_changes
from tests.conftest import make_sweep
from trainable.errors import ConfigError
from trainable.model.encoder import fingerprint
from trainable.model.pooling import POOLING_FILE, auto_pooling


def replace_weights(encoder: Path) -> None:
    """By others of the same size, with the time of the old ones."""
    file = encoder / "model.safetensors"
    before, weights = file.stat(), load_file(file)
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, file, metadata={"format": "pt"})
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def replace_tokenizer(encoder: Path) -> None:
    file = encoder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_lower_case": False}))


def replace_data(folder: Path) -> None:
    with (folder / "tweets.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("one more good row", "positive"), ("and a bad one of these", "negative")])


@pytest.fixture
def folder(tiny_bert: str, tweets_csv: Path, tmp_path: Path) -> SweepFolder:
    """A finished sweep on an encoder and data of its own."""
    shutil.copytree(tiny_bert, tmp_path / "encoder")
    shutil.copy(tweets_csv, tmp_path / "tweets.csv")
    target = {"dataset": {"csv": str(tmp_path / "tweets.csv")}, "padding_length": 24, "learning_rate": 1e-3}
    folder = make_sweep(
        tmp_path / "runs", {"encoder": str(tmp_path / "encoder"), "target": target | {"frozen_layers": 1}}
    )
    facts = load_saved_plan(folder)
    plan = build_plan({name: facts[name] for name in ("sweep", "trial", "space")}, (Path(),), "test")
    fingerprints = compute_fingerprints(plan, folder.storage, check_data(plan, folder.storage))
    folder.plan.write_text(json.dumps(facts | {"foundations": fingerprints}))
    return folder


def test_replaced_weights_have_another_fingerprint(tiny_bert: str, tmp_path: Path) -> None:
    """In the same process, and when size and time are those of the old ones."""
    shutil.copytree(tiny_bert, tmp_path / "encoder")
    before = fingerprint(str(tmp_path / "encoder"))
    assert before == fingerprint(tiny_bert)
    replace_weights(tmp_path / "encoder")
    assert fingerprint(str(tmp_path / "encoder")) != before


CHANGES: list[tuple[Callable[[Path], None], str, str]] = [
    (replace_weights, "encoder", r"encoder '.*encoder': its weights or its config.json have changed"),
    (replace_tokenizer, "encoder", r"encoder '.*encoder': its tokenizer has changed"),
    (replace_data, "", r"target: the data set 'tweets' has changed"),
]


@pytest.mark.parametrize(("change", "where", "says"), CHANGES)
def test_a_sweep_does_not_go_on_on_something_else(
    change: Callable[[Path], None],
    where: str,
    says: str,
    folder: SweepFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(tmp_path / where)
    before = folder.plan.read_text()
    with pytest.raises(PlanError, match=says) as caught:
        resume_sweep(folder.name, folder.storage, overrides={"sweep.trials": "4"})
    assert len(caught.value.problems) == 1
    assert "restore the earlier files, or run the experiment under another name" in str(caught.value)
    assert folder.plan.read_text() == before


def test_another_meaning_of_auto_is_noticed(tiny_bert: str, blocks: dict[str, Any], tmp_path: Path) -> None:
    """The file is no part of the encoder's fingerprint, which is older than the setting."""
    shutil.copytree(tiny_bert, tmp_path / "encoder")
    file = tmp_path / "encoder" / POOLING_FILE
    file.parent.mkdir()
    plan = build_plan(blocks | {"trial": blocks["trial"] | {"encoder": str(tmp_path / "encoder")}}, (Path(),), "test")
    prepared, found = check_data(plan, tmp_path / "runs"), []
    for mode in ("mean", "max"):
        file.write_text(json.dumps({"pooling_mode": mode}))
        auto_pooling.cache_clear()
        found.append(compute_fingerprints(plan, tmp_path / "runs", prepared))
    (problem,) = describe_changes(*found)
    assert "encoder': what `pooling: auto` means for it has changed" in problem
    without = {name: values for name, values in found[0].items() if not name.startswith("pooling")}
    assert describe_changes(without, found[1]) == []  # a sweep of an older version


@pytest.mark.parametrize(
    ("change", "says"),
    [(replace_weights, "weights or its config.json have changed"), (replace_tokenizer, "tokenizer has")],
)
def test_a_model_is_not_exported_on_another_encoder(
    change: Callable[[Path], None], says: str, folder: SweepFolder, tmp_path: Path
) -> None:
    change(tmp_path / "encoder")
    with pytest.raises(ConfigError, match=says):
        export_trial(choose(folder.name, folder.storage, tmp_path / "model"))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("data", ["changed", "gone"])
def test_an_export_names_the_data_it_was_trained_on(
    data: str, cache: bool, folder: SweepFolder, tmp_path: Path
) -> None:
    first = export_trial(choose(folder.name, folder.storage, tmp_path / "first"))
    assert first.verification.description == "validation rows"
    replace_data(tmp_path) if data == "changed" else (tmp_path / "tweets.csv").unlink()
    if not cache:
        shutil.rmtree(folder.storage / "cache")
    if data == "gone" and not cache:
        with pytest.raises(ConfigError, match=r"tweets.csv: no such file"):
            export_trial(choose(folder.name, folder.storage, tmp_path / "second"))
        return
    second = export_trial(choose(folder.name, folder.storage, tmp_path / "second"))
    assert second.verification.rows >= first.verification.rows
    says = "decoded from cached token ids, because the data files" if cache else "current data, which differ from"
    assert says in second.verification.description
    cards = [(tmp_path / name / "README.md").read_text() for name in ("first", "second")]
    tables = [card[card.index("## Data") : card.index("## Scores")] for card in cards]
    assert tables[0] == tables[1]
    assert says in cards[1]
    assert (tmp_path / "first" / "trial.json").read_text() == (tmp_path / "second" / "trial.json").read_text()


def test_an_older_checkpoint_is_exported_only_on_the_data_of_its_sweep(folder: SweepFolder, tmp_path: Path) -> None:
    """It does not say what it was trained on; the plan does."""
    (file,) = folder.path.glob("tune-*/trial-*/checkpoint_*/trial.json")
    facts: dict[str, Any] = json.loads(file.read_text())
    del facts["trained_on"]
    file.write_text(json.dumps(facts))
    seals = file.with_name("sha256.json")
    seals.write_text(json.dumps({name: d for name, d in json.loads(seals.read_text()).items() if name != file.name}))
    assert export_trial(choose(folder.name, folder.storage, tmp_path / "first")).verification.rows
    replace_data(tmp_path)
    with pytest.raises(ConfigError, match="Bring the old data back"):
        export_trial(choose(folder.name, folder.storage, tmp_path / "second"))
