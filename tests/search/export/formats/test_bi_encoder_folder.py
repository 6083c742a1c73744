"""A model that encodes the texts of a pair apart becomes a folder for sentence-transformers with a head beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

import transfersweep
from search.export.export import Exported, export_trial
from search.export.exportable import choose
from search.export.formats.bi_encoder_folder import HEAD_FILE
from search.export.predict import predict_file
from search.export.verification import TOLERANCE
from search.storage.sweep_folder import SweepFolder
from tests.conftest import make_sweep
from trainable.errors import ConfigError


@pytest.fixture(scope="module")
def swept_apart(swept_pairs: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    trial = json.loads(swept_pairs.plan.read_text())["trial"] | {"pooling": "bi_encoder"}
    return make_sweep(tmp_path_factory.mktemp("apart") / "runs", trial)


@pytest.fixture(scope="module")
def exported(swept_apart: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_trial(choose(swept_apart.name, swept_apart.storage, tmp_path_factory.mktemp("st") / "model"))


def run(lines: list[str]) -> object:
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]), names)
    return eval(lines[-1], names)


def test_auto_chooses_the_format_and_verifies_it(exported: Exported) -> None:
    assert exported.format == "bi-encoder"
    assert exported.verification.rows == 16
    assert exported.verification.max_difference <= TOLERANCE
    model = SentenceTransformer(str(exported.folder), device="cpu")
    assert model.encode("good").shape == (32,)
    assert load_file(exported.folder / HEAD_FILE)["weight"].shape == (2, 128)


def test_the_lines_for_users_and_the_classifier_agree(exported: Exported) -> None:
    label = run(exported.usage())
    assert transfersweep.classifier(exported.folder)(("First text", "Second text")).label == label


def test_a_table_is_labelled(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("said,answer\ngood,bad\na day,a good day\n")
    predict_file(exported.folder, tmp_path / "new.csv", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    first = transfersweep.classifier(exported.folder)(("good", "bad"))
    assert rows[0]["p_positive"] == pytest.approx(first.probabilities["positive"], abs=1e-5)


def test_other_formats_name_the_obstacle(swept_apart: SweepFolder, tmp_path: Path) -> None:
    for name in ("hf", "onnx", "sentence-transformers"):
        with pytest.raises(ConfigError, match="has `pooling: bi_encoder`, and .*Formats that can hold .*: bi-encoder$"):
            choose(swept_apart.name, swept_apart.storage, tmp_path / "model", format=name)


def drop_bias(folder: Path) -> None:
    save_file({"weight": load_file(folder / HEAD_FILE)["weight"]}, folder / HEAD_FILE)


@pytest.mark.parametrize("damage", [drop_bias, lambda folder: (folder / HEAD_FILE).unlink()])
def test_a_damaged_head(damage: Callable[[Path], object], exported: Exported, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported.folder, tmp_path / "model"))
    damage(folder)
    with pytest.raises(ConfigError, match="head.safetensors: "):
        transfersweep.classifier(folder)
