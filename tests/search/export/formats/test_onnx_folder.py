"""An exported ONNX file gives the checkpoint's logits, at any batch and length, with nothing of ours at work."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

import transfersweep
from search.export.export import Exported, export_trial
from search.export.exportable import choose
from search.export.predict import predict_file
from search.export.smaller.options import Prune, Smaller
from search.export.verification import TOLERANCE
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hf(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("hf") / "model")).folder


@pytest.fixture(scope="module")
def exported(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("onnx") / "model"
    return export_trial(choose(swept.name, swept.storage, folder, format="onnx"))


def run(lines: list[str]) -> object:
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]), names)
    return eval(lines[-1], names)


def test_the_folder_is_verified_and_has_what_its_users_need(exported: Exported) -> None:
    assert exported.verification.rows == 16
    assert exported.verification.max_difference <= TOLERANCE
    files = {file.name for file in exported.folder.iterdir()}
    assert files == {
        "README.md",
        "config.json",
        "experiment.yaml",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "trial.json",
    }
    assert json.loads((exported.folder / "config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}
    assert ModelCard.load(exported.folder / "README.md").data.get("library_name") == "onnx"
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx")
    assert [node.shape for node in session.get_inputs()] == [["batch", "length"]] * 3
    assert [node.shape for node in session.get_outputs()] == [["batch", 2]]


def test_fewer_heads_and_8_bit_integers_are_measured(swept: SweepFolder, tweets_csv: Path, tmp_path: Path) -> None:
    asked = Smaller(Prune("heads", 0.34), int8=True, most_loss=1.0)
    chosen = replace(choose(swept.name, swept.storage, tmp_path / "small", format="onnx"), smaller=asked)
    small = export_trial(chosen)
    heads, int8 = small.verification.changes
    assert heads.before.bytes > heads.after.bytes == int8.before.bytes > int8.after.bytes
    assert int8.rows == "16 validation rows" and all(p50 <= p95 for p50, p95 in int8.after.milliseconds.values())
    assert run(small.usage()) in {"negative", "positive"}
    card = (small.folder / "README.md").read_text(encoding="utf-8")
    assert "2 of 6 attention heads were removed" in card and "8-bit integers" in card
    assert sorted(file.name for file in small.folder.glob("*.onnx")) == ["model.onnx"]
    predict_file(small.folder, tweets_csv, tmp_path / "out.csv")


def test_the_lines_for_users_give_a_label(exported: Exported) -> None:
    assert run(exported.usage()) in {"negative", "positive"}


def test_predict_gives_the_same_as_with_the_folder_for_transformers(
    exported: Exported, hf: Path, tweets_csv: Path, tmp_path: Path
) -> None:
    for folder, name in ((exported.folder, "onnx.csv"), (hf, "hf.csv")):
        predict_file(folder, tweets_csv, tmp_path / name)
    tables = []
    for name in ("onnx.csv", "hf.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as stream:
            tables.append(list(csv.DictReader(stream)))
    for found, expected in zip(*tables, strict=True):
        assert (found["text"], found["predicted"]) == (expected["text"], expected["predicted"])
        assert float(found["probability"]) == pytest.approx(float(expected["probability"]), abs=1e-5)
    texts = ["good", "word " * 500, "a bad day"]
    ours, theirs = (transfersweep.classifier(folder)(texts) for folder in (exported.folder, hf))
    assert [p.probability for p in ours] == pytest.approx([p.probability for p in theirs], abs=1e-5)


def test_pairs(swept_pairs: SweepFolder, tmp_path: Path) -> None:
    pairs = export_trial(choose(swept_pairs.name, swept_pairs.storage, tmp_path / "model", format="onnx"))
    assert pairs.verification.max_difference <= TOLERANCE
    assert run(pairs.usage()) in {"negative", "positive"}
    assert transfersweep.classifier(pairs.folder)(("good", "bad")).label in {"negative", "positive"}


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("model.onnx", b"", b"no graph", "model.onnx: "),
        ("trial.json", b'"label_names": [', b'"label_names": ["more",', "model.onnx has 2 labels, trial.json 3"),
        ("trial.json", b'"classification"', b'"question_answering"', "has the outputs logits, not start_logits, end_"),
    ],
)
def test_a_damaged_folder(name: str, old: bytes, new: bytes, says: str, exported: Exported, tmp_path: Path) -> None:
    file = Path(shutil.copytree(exported.folder, tmp_path / "model")) / name
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(ConfigError, match=says):
        transfersweep.classifier(file.parent)


def test_half_a_batch_does_not_change_the_other_half(exported: Exported) -> None:
    classify = transfersweep.classifier(exported.folder)
    alone, together = classify("good"), classify(["good", "bad " * 40])[0]
    assert np.isclose(alone.probability, together.probability, atol=1e-5)
