"""Images as a target and as a source: layouts of files, exact resumes and caches, and mistakes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from drawings import SHAPES, draw_folder, drawing, tiny_resnet, tiny_vit
from PIL import Image
from task_trials import scores, scores_after_resume
from transformers import AutoImageProcessor, AutoModelForImageClassification

from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.loop.evaluate import compute_logits
from trainable.model.encoder import new_model
from trainable.model.freezing import freeze
from trainable.model.image_size import set_image_size
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import TASKS, read_dataset, read_splits
from trainable.trial import Trial
from trainable.workspace import Workspace


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_resnet(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("images") / "drawn", 24)


def settings(encoder: str, folder: Path, **target: Any) -> dict[str, Any]:
    data = {"task": "image_classification", "folder": str(folder)}
    common = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "dataset": data}
    return {"encoder": encoder, "precision": "fp32", "target": {**common, **target}}


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_it_learns_and_its_checkpoint_gives_the_same(
    request: pytest.FixtureRequest, kind: str, folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    augmented = {"image_flip": True, "image_crop": 0.8, "epochs": 4}
    config = build_config(settings(request.getfixturevalue(kind), folder, **augmented))
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.macro_f1"] > 0.8
    model, _ = load_trained(tmp_path / "trial")
    validation = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    split = validation.for_stage(config.target)
    logits = compute_logits(model, split.inputs, torch.device("cpu"))
    again = TASKS["image_classification"].scores(logits, split.labels, SHAPES)
    assert again["loss"] == pytest.approx(found["target.validation.loss"], abs=1e-5)


def test_pixels_are_those_of_the_encoders_own_processor(
    vit: str, resnet: str, folder: Path, workspace: Workspace
) -> None:
    rows = np.arange(6)
    for encoder in (vit, resnet):
        config = build_config(settings(encoder, folder))
        train = read_splits(config.dataset_of(config.target)).train
        images = (
            [Image.open(io.BytesIO(train.images[row].read())).convert("RGB") for row in rows] if train.images else []
        )
        expected = AutoImageProcessor.from_pretrained(encoder)(images, return_tensors="pt")["pixel_values"]
        prepared = tokenized_dataset_of(config, config.target, workspace).splits["train"]
        found = prepared.for_stage(config.target).inputs.batch(rows)["pixel_values"]
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("frozen", [2, 3])
def test_the_frozen_output_of_a_vit_is_reused(vit: str, folder: Path, tmp_path: Path, frozen: int) -> None:
    config = build_config(settings(vit, folder, frozen_layers=frozen))
    found = [scores(config, Workspace(tmp_path / f"{reuse}", reuse_frozen=reuse)) for reuse in (True, False)]
    assert list((tmp_path / "True" / "prefix").glob("*/*.safetensors"))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "changed", "reason"),
    [("resnet", {}, "a map of features"), ("vit", {"image_flip": True}, "other ones at each step")],
)
def test_a_frozen_output_that_cannot_be_reused_says_why(
    request: pytest.FixtureRequest, folder: Path, workspace: Workspace, kind: str, changed: Any, reason: str
) -> None:
    config = build_config(settings(request.getfixturevalue(kind), folder, epochs=1, frozen_layers=2, **changed))
    notes = [note for report in Trial(config, workspace).reports() for note in report.notes]
    assert any(reason in note for note in notes)


def test_an_interrupted_run_ends_with_the_same_weights(
    vit: str, folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    config = build_config(settings(vit, folder, epochs=3, image_crop=0.5, image_flip=True))
    whole = scores(config, workspace)
    assert scores_after_resume(config, workspace, tmp_path / "half", 2) == whole


def test_micro_batches_give_the_same_also_with_batch_normalisation(
    resnet: str, folder: Path, workspace: Workspace
) -> None:
    given = settings(resnet, folder, image_crop=0.5, image_flip=True)
    one, several = (scores(build_config({**given, "micro_batches": parts}), workspace) for parts in (1, 3))
    assert one == pytest.approx(several, abs=1e-3)


def test_each_step_draws_other_parts_of_an_image_by_its_row_alone(vit: str, folder: Path, workspace: Workspace) -> None:
    config = build_config(settings(vit, folder, image_crop=0.3, image_flip=True))
    train = tokenized_dataset_of(config, config.target, workspace).splits["train"].for_stage(config.target)
    rows = np.arange(8)
    whole, first, second = (train.inputs.batch(rows, draw=draw)["pixel_values"] for draw in (None, 1, 2))
    assert not torch.allclose(whole, first, atol=0.1) and not torch.allclose(first, second, atol=0.1)
    alone = torch.cat([train.inputs.batch(rows[[row]], draw=1)["pixel_values"] for row in rows])
    assert torch.allclose(first, alone, atol=1e-5)
    flipped = config.target.model_copy(update={"image_crop": 1.0})
    split = tokenized_dataset_of(config, flipped, workspace).splits["train"].for_stage(flipped)
    mirrored = split.inputs.batch(rows, draw=1)["pixel_values"]
    same = [torch.equal(mirrored[row], whole[row]) for row in rows]
    back = [torch.equal(mirrored[row].flip(-1), whole[row]) for row in rows]
    assert any(same) and any(back) and all(a or b for a, b in zip(same, back, strict=True))


def test_a_source_of_images_gives_body_and_head(vit: str, folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    other = draw_folder(tmp_path / "other", 12, seed=1)
    given = settings(vit, folder, epochs=1, image_size=40)
    source = {**given["target"], "dataset": {**given["target"]["dataset"], "folder": str(other)}, "image_size": 24}
    found = scores(build_config({**given, "source": {**source, "epochs": 3}}), workspace)
    assert "source.validation.macro_f1" in found and "target.zero_shot.macro_f1" in found


def table_rows(folder: Path) -> list[tuple[str, str]]:
    return [(file.relative_to(folder).as_posix(), file.parent.name) for file in sorted(folder.rglob("*.*"))]


def test_all_layouts_hold_the_same_images(folder: Path, tmp_path: Path) -> None:
    rows = table_rows(folder)
    lines = [f"{folder.name}/{path},{label}" for path, label in rows]
    (folder.parent / "table.csv").write_text("\n".join(["image,label", *lines]), encoding="utf-8")
    content = [{"bytes": (folder / path).read_bytes(), "path": path} for path, _ in rows]
    table = pa.table({"image": content, "label": [label for _, label in rows]})
    pq.write_table(table, tmp_path / "table.parquet")
    ways: list[dict[str, str]] = [
        {"folder": str(folder)},
        {"csv": str(folder.parent / "table.csv")},
        {"parquet": str(tmp_path / "table.parquet")},
    ]
    found = [read_splits(Dataset.model_validate({"task": "image_classification", **way})) for way in ways]
    assert len({splits.fingerprint for splits in found}) == 1
    assert found[0].label_names == SHAPES and found[0].text_columns == ("image",)


def test_splits_may_be_folders(folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    train, test = draw_folder(whole / "train", 6), draw_folder(whole / "test", 4, seed=2)
    task = {"task": "image_classification"}
    one = read_splits(Dataset.model_validate({**task, "folder": str(whole)}))
    two = read_splits(Dataset.model_validate({**task, "train": str(train), "test": str(test)}))
    assert one.fingerprint == two.fingerprint
    assert one.test is not None and len(one.test) == 8 and one.cuts_validation


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("gone.png", "1 row with a path in column 'image' at which there is no file, the first on line 3: 'gone.png'"),
        ("note.txt", "1 row with a file that is no image (PNG, JPEG, WEBP, BMP, GIF, TIFF, PPM), the first on line 3"),
        ("", "1 row with no image in column 'image', the first on line 3; remove such rows, or set `empty: drop`"),
    ],
)
def test_wrong_cells_are_errors_with_their_line(folder: Path, tmp_path: Path, cell: str, problem: str) -> None:
    (tmp_path / "note.txt").write_text("no image", encoding="utf-8")
    lines = [f"{folder}/{path},{label}" for path, label in table_rows(folder)]
    lines[1] = f"{cell},circle"
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *lines]), encoding="utf-8")
    data = {"task": "image_classification", "csv": str(tmp_path / "table.csv")}
    _, problems = read_dataset(Dataset.model_validate(data))
    assert len(problems) == 1 and problem in problems[0]
    if not cell:
        assert len(read_splits(Dataset.model_validate({**data, "empty": "drop"})).train) < len(lines)


def test_a_damaged_image_is_named_before_anything_trains(vit: str, tmp_path: Path, workspace: Workspace) -> None:
    images = draw_folder(tmp_path / "images", 6)
    file = images / "square" / "2.jpg"
    file.write_bytes(file.read_bytes()[:-400])
    config = build_config(settings(vit, images))
    with pytest.raises(ConfigError, match=r"images: square/2.jpg: the image 'square/2.jpg' is damaged: "):
        scores(config, workspace)


def test_files_beside_the_classes_are_told(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images", 6)
    for name in ("readme.md", ".DS_Store", "circle/.hidden", "square/Thumbs.db"):
        (images / name).write_text("", encoding="utf-8")
    splits = read_splits(Dataset.model_validate({"task": "image_classification", "folder": str(images)}))
    assert any("1 file beside the classes not read: 'readme.md'" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"target": {"padding_length": 64}}, "target.padding_length: is for texts, and the rows are images"),
        ({"target": {"padding": "fixed"}}, "target.padding: is for texts"),
        ({"pooling": "mean"}, "pooling: 'mean' is for texts"),
        ({"target": {"dataset": {"task": "image_classification", "folder": "a", "text": "b"}}}, "text: is for texts"),
        ({"target": {"dataset": {"csv": "a.csv", "image": "b"}}}, "image: names a column of images"),
        ({"target": {"dataset": {"csv": "a.csv"}, "image_size": 32}}, "target.image_size: is for images"),
    ],
)
def test_settings_of_the_other_kind_of_rows_are_refused(folder: Path, change: dict[str, Any], problem: str) -> None:
    given = settings("anything", folder)
    given = {**given, **change, "target": {**given["target"], **change.get("target", {})}}
    with pytest.raises(ConfigError) as error:
        build_config(given)
    assert problem in str(error.value)


def test_encoder_and_rows_must_be_of_one_kind(
    vit: str, tiny_bert: str, folder: Path, base: dict[str, Any], workspace: Workspace
) -> None:
    wrong = {
        "reads no images, which the data set has": settings(tiny_bert, folder),
        "reads images, and the data set has texts": {**base, "encoder": vit},
    }
    for message, given in wrong.items():
        config = build_config(given)
        with pytest.raises(ConfigError, match=message):
            tokenized_dataset_of(config, config.target, workspace)


def test_a_model_of_another_size_takes_it_without_interpolation(vit: str, tmp_path: Path) -> None:
    model = new_model(vit, TASKS["image_classification"].head(SHAPES), seed=0).eval()
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 48, 48))).float()
    with torch.no_grad():
        before = model(images).logits
        set_image_size(model, 48)
        model.save_pretrained(tmp_path)
        after = AutoModelForImageClassification.from_pretrained(tmp_path)(images).logits
    assert torch.allclose(before, after, atol=1e-6)


def test_batch_normalisation_keeps_its_statistics(resnet: str) -> None:
    model = new_model(resnet, TASKS["image_classification"].head(SHAPES), seed=0)
    assert {type(module).__name__ for module in freeze(model, 0)} == {"BatchNorm2d"}


def test_images_with_transparency_and_palettes_are_read(folder: Path, tmp_path: Path, vit: str) -> None:
    generator = np.random.default_rng(0)
    for number, mode in enumerate(("RGBA", "P", "L", "1", "CMYK")):
        for shape in SHAPES:
            (tmp_path / "modes" / shape).mkdir(parents=True, exist_ok=True)
            suffix = "jpg" if mode == "CMYK" else "png"
            drawing(shape, generator).convert(mode).save(tmp_path / "modes" / shape / f"{number}.{suffix}")
    config = build_config(settings(vit, tmp_path / "modes"))
    prepared = tokenized_dataset_of(config, config.target, Workspace(tmp_path))
    assert sum(len(split.labels) for split in prepared.splits.values()) == 10
