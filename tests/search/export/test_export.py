import getpass
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, pipeline

from search.errors import PlanError
from search.export import export
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.verification import TOLERANCE, sample_rows, verify_export
from search.plan.plan import load_sweep
from search.storage.sweep_folder import SweepFolder, load_outcome
from trainable.checkpoint import load_trained
from trainable.errors import ConfigError, TrialError
from trainable.stages.trained_on import trained_on

SETTINGS = "target.learning_rate", "target.dataset", "source.frozen_layers", "seed", "encoder"


@pytest.fixture(scope="module")
def exported(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> export.Exported:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model"))


def last_value(lines: list[str]) -> Any:
    """Run lines of Python and return the value of the last one, an expression."""
    names: dict[str, Any] = {}
    exec("\n".join(lines[:-1]), names)
    return eval(lines[-1], names)


def alter(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] += torch.tensor([0.001, -0.001])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_winner_is_exported_with_its_label_names_and_length(exported: export.Exported) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(exported.folder)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert AutoTokenizer.from_pretrained(exported.folder).model_max_length == 24
    assert exported.trial == 0
    assert exported.verification.rows == 16
    assert exported.verification.max_difference <= TOLERANCE


def test_a_pipeline_labels_short_and_very_long_texts(exported: export.Exported) -> None:
    folder = str(exported.folder)
    assert pipeline("text-classification", model=folder)("what a day")[0]["label"] in {"negative", "positive"}
    words = ["day"] * 2000
    classify = pipeline("text-classification", model=folder, truncation=True)
    assert classify(" ".join(words)) == classify(" ".join(words[:22]))  # 24 tokens, two of them special


def test_pairs_are_verified_and_loaded(swept_pairs: SweepFolder, tmp_path: Path) -> None:
    pairs = export_trial(choose(swept_pairs.name, swept_pairs.storage, tmp_path / "pairs"))
    assert pairs.verification.max_difference <= TOLERANCE
    assert json.loads((pairs.folder / "trial.json").read_text())["text_columns"] == ["said", "answer"]
    classify = pipeline("text-classification", model=str(pairs.folder), truncation=True)
    assert classify({"text": "good " * 50, "text_pair": "bad " * 50})["label"] in {"negative", "positive"}
    assert '"text_pair"' in (pairs.folder / "README.md").read_text()


def test_an_altered_weight_is_found(exported: export.Exported, swept: SweepFolder, tmp_path: Path) -> None:
    workspace = load_sweep(swept).workspace(swept.storage)
    outcome = load_outcome(swept)
    assert outcome
    checkpoint = outcome.record(0).checkpoint_in(swept.path)
    assert checkpoint
    (model, config), trained = load_trained(checkpoint), trained_on(checkpoint)
    assert trained
    rows = sample_rows(config, trained.stages["target"], workspace)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in exported.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert verify_export(copy, "hf", model, rows, exported.answers) == exported.verification
    alter(copy)
    with pytest.raises(TrialError, match=r"a number differs by 0.001 on 16 validation rows"):
        verify_export(copy, "hf", model, rows, exported.answers)


def test_nothing_is_left_of_a_failed_export(
    swept: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = export.save_model

    def save_badly(format: str, model: PreTrainedModel, tokenizer: object, folder: Path) -> None:
        save(format, model, tokenizer, folder)
        alter(folder)

    monkeypatch.setattr(export, "save_model", save_badly)
    with pytest.raises(TrialError, match="nothing was exported"):
        export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []


def test_card_tells_every_setting_and_score(exported: export.Exported, swept: SweepFolder) -> None:
    card = ModelCard.load(exported.folder / "README.md")
    facts = json.loads((exported.folder / "trial.json").read_text())
    outcome = load_outcome(swept)
    assert outcome and outcome.test
    assert set(facts["settings"]) == set(outcome.winner_config)
    for name in (*SETTINGS, *outcome.winner_config):
        assert f"| `{name}` | " in card.content
    assert f"{outcome.test.metrics['macro_f1']:.4f}" in card.content
    assert f"{outcome.test.low:.4f} to {outcome.test.high:.4f}" in card.content
    assert facts["settings"]["source.dataset"]["fingerprint"] in card.content
    assert card.data.pipeline_tag == "text-classification"
    assert {r.metric_name for r in card.data.eval_results or ()} == set(outcome.test.metrics)
    assert card.data.get("base_model") is None  # a folder is none of the hub's


def test_an_encoder_whose_card_cannot_be_read_is_exported_without_a_licence(
    swept: SweepFolder, tiny_bert: str, tmp_path: Path
) -> None:
    card = Path(tiny_bert) / "README.md"
    card.write_bytes(b"---\nlicense: apache-2.0\n---\nEncodeur de l'\xe9quipe\n")
    try:
        folder = export_trial(choose(swept.name, swept.storage, tmp_path / "model")).folder
    finally:
        card.unlink()
    written = ModelCard.load(folder / "README.md")
    assert written.data.get("license") is None
    assert "That of its encoder is not known: the encoder's README.md is not UTF-8 text." in written.content


def test_no_path_and_no_user_name_leaks(exported: export.Exported, swept: SweepFolder, tiny_bert: str) -> None:
    places = [str(swept.storage.parent), tiny_bert, str(Path(tiny_bert).parents[1]), str(Path.home())]
    for file in exported.folder.iterdir():
        content = file.read_bytes()
        assert not [place for place in places if place.encode() in content], file.name
        if file.suffix in {".json", ".md"} and file.name != "tokenizer.json":  # a vocabulary may hold any word
            assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", content.decode()), file.name


def test_what_scripts_and_people_are_told(exported: export.Exported) -> None:
    told = json.loads(json.dumps(exported.to_json()))
    names = {
        "name",
        "folder",
        "format",
        "trial",
        "baseline",
        "seed",
        "rows",
        "changes",
        "what",
        "max_difference",
        "bytes",
        "metric",
        "validation",
    }
    assert set(told) == names | {"test"}
    assert told["test"]["rows"] == 6
    assert told["format"] == "hf"
    assert told["bytes"] == sum(file.stat().st_size for file in exported.folder.iterdir())
    console = Console(width=80, record=True, file=io.StringIO())
    exported.print(console)
    text = console.export_text()
    assert f"transfersweep predict {exported.folder} FILE.csv" in text
    lines = text.split("In Python\n")[1].split("\n\n")[0].splitlines()
    (answer,) = last_value([line.removeprefix("  ") for line in lines])
    assert answer["label"] in {"negative", "positive"}


def test_a_taken_folder_is_left_alone(swept: SweepFolder, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        export_trial(choose(swept.name, swept.storage, tmp_path))
    with pytest.raises(ConfigError, match="Not a directory"):
        export_trial(choose(swept.name, swept.storage, tmp_path / "mine.txt"))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("trial", "says"), [(1, "it is stopped"), (7, "no such trial")])
def test_a_trial_without_a_model_names_those_that_have(
    swept: SweepFolder, tmp_path: Path, trial: int, says: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{says}.*can be exported: 0$"):
        export_trial(choose(swept.name, swept.storage, tmp_path / "model", trial))


def test_no_such_sweep(swept: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there are: tiny"):
        export_trial(choose("other", swept.storage, tmp_path / "model"))


def test_a_damaged_model_is_not_exported(swept: SweepFolder, tmp_path: Path) -> None:
    outcome = load_outcome(swept)
    assert outcome
    weights = (outcome.record(0).checkpoint_in(swept.path) or Path()) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(ConfigError, match="damaged on disk, as their checksums show: model.safetensors"):
            export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    finally:
        weights.write_bytes(whole)
    assert not (tmp_path / "model").exists()
