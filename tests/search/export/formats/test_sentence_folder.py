"""A model with pooled tokens becomes a folder that sentence-transformers loads, with the checkpoint's logits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

import transfersweep
from search.export.export import Exported, export_trial
from search.export.exportable import choose, resolve_format
from search.export.predict import predict_file
from search.export.verification import TOLERANCE
from search.plan.plan import load_sweep
from search.record.records import State, TrialRecord
from search.storage.sweep_folder import SweepFolder
from tests.conftest import make_sweep
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def swept_mean(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, tweets_csv: Path) -> SweepFolder:
    target = {"dataset": {"csv": str(tweets_csv)}, "padding_length": 24, "learning_rate": 1e-3}
    trial = {"encoder": tiny_bert, "pooling": "mean", "target": target}
    return make_sweep(tmp_path_factory.mktemp("mean") / "runs", trial)


@pytest.fixture(scope="module")
def exported(swept_mean: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_trial(choose(swept_mean.name, swept_mean.storage, tmp_path_factory.mktemp("st") / "model"))


def run(lines: list[str]) -> object:
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]), names)
    return eval(lines[-1], names)


def test_auto_chooses_the_format_and_verifies_it(exported: Exported) -> None:
    assert exported.format == "sentence-transformers"
    assert exported.verification.rows == 16
    assert exported.verification.max_difference <= TOLERANCE
    assert exported.bytes == sum(file.stat().st_size for file in exported.folder.rglob("*") if file.is_file())
    card = ModelCard.load(exported.folder / "README.md")
    assert card.data.get("library_name") == "sentence-transformers"
    assert not list(exported.folder.rglob("*.py"))


def test_it_loads_without_a_missing_weight_and_truncates_as_the_target_did(
    exported: Exported, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    model = SentenceTransformer(str(exported.folder), device="cpu")
    said = caplog.text + "".join(capfd.readouterr())
    assert "MISSING" not in said and "newly initialized" not in said
    assert model.max_seq_length == 24
    assert model.config.id2label == {0: "negative", 1: "positive"}
    words = ["day"] * 2000
    cut, whole = model.encode([" ".join(words[:22]), " ".join(words)])  # 24 tokens, two of them special
    assert cut.tolist() == pytest.approx(whole.tolist())


def test_the_lines_for_users_give_a_label(exported: Exported) -> None:
    usage = exported.usage()
    assert run(usage) in {"negative", "positive"}


def test_predict_and_classifier_give_what_the_library_gives(
    exported: Exported, tweets_csv: Path, tmp_path: Path
) -> None:
    predict_file(exported.folder, tweets_csv, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    model = SentenceTransformer(str(exported.folder), device="cpu")
    logits = model.encode([row["text"] for row in rows], convert_to_tensor=True)
    theirs = torch.softmax(logits, dim=1)[:, 1].tolist()
    assert [row["p_positive"] for row in rows] == pytest.approx(theirs, abs=2e-6)
    answer = transfersweep.classifier(exported.folder)(rows[0]["text"])
    assert answer.probabilities["positive"] == pytest.approx(theirs[0], abs=1e-5)


def test_pairs_and_max(swept_pairs: SweepFolder, tmp_path: Path) -> None:
    trial = json.loads(swept_pairs.plan.read_text())["trial"] | {"pooling": "max"}
    folder = make_sweep(tmp_path / "runs", trial)
    pairs = export_trial(choose(folder.name, folder.storage, tmp_path / "pairs"))
    assert pairs.format == "sentence-transformers"
    assert pairs.verification.max_difference <= TOLERANCE
    assert run(pairs.usage()) in {"negative", "positive"}
    ours = transfersweep.classifier(pairs.folder)(("how are you", "fine"))
    (theirs,) = SentenceTransformer(str(pairs.folder), device="cpu").encode(
        [("how are you", "fine")], convert_to_tensor=True
    )
    assert list(ours.probabilities.values()) == pytest.approx(theirs.softmax(0).tolist(), abs=1e-5)


def test_no_path_leaks(exported: Exported, swept_mean: SweepFolder, tiny_bert: str) -> None:
    places = [str(swept_mean.storage.parent), tiny_bert, str(exported.folder.parent)]
    for file in exported.folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [place for place in places if place.encode() in content], file.name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_onnx(swept_mean: SweepFolder, exported: Exported, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = export_trial(choose(swept_mean.name, swept_mean.storage, tmp_path / "onnx", format="onnx"))
    assert onnx.verification.max_difference <= TOLERANCE
    texts = ["good", "a bad day " * 30]
    ours, theirs = (transfersweep.classifier(folder)(texts) for folder in (onnx.folder, exported.folder))
    assert [p.probability for p in ours] == pytest.approx([p.probability for p in theirs], abs=1e-5)


def test_hf_names_the_obstacle_and_the_way_out(swept_mean: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--format hf: .*rial 0.* has `pooling: mean`, and transf") as found:
        choose(swept_mean.name, swept_mean.storage, tmp_path / "hf", format="hf")
    assert "a new sweep with `pooling: first` gives one" in str(found.value)
    assert str(found.value).endswith("this trial: sentence-transformers, onnx")


def test_hf_names_the_best_trial_that_it_can_hold(swept: SweepFolder) -> None:
    plan = load_sweep(swept)
    runs = [TrialRecord(n, State.FINISHED, {"pooling": p}, 0) for n, p in enumerate(("mean", "max", "first", "first"))]
    with pytest.raises(ConfigError, match="the best trial without this obstacle is 2: --trial 2"):
        resolve_format("hf", plan, "trial 0", "mean", runs)
    with pytest.raises(ConfigError, match="no module for such a head.* is 0: --trial 0"):
        resolve_format("sentence-transformers", plan, "trial 2", "first", runs)
    auto = [resolve_format("auto", plan, "a trial", pooling, runs) for pooling in ("mean", "max", "first")]
    assert auto == ["sentence-transformers", "sentence-transformers", "hf"]


def drop_bias(folder: Path) -> None:
    file = folder / "2_Dense" / "model.safetensors"
    save_file({"linear.weight": load_file(file)["linear.weight"]}, file)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no head": (lambda folder: shutil.rmtree(folder / "2_Dense"), "2_Dense/model.safetensors: "),
    "half a head": (drop_bias, "2_Dense/model.safetensors: "),
    "no encoder": (lambda folder: (folder / "model.safetensors").unlink(), "no weights as safetensors"),
    "a damaged encoder": (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "model.safetensors: "),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder(damage: Callable[[Path], object], says: str, exported: Exported, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported.folder, tmp_path / "model"))
    damage(folder)
    with pytest.raises(ConfigError, match=says):
        transfersweep.classifier(folder)
