"""ONNX folders of other tasks than text classification answer as the checkpoint and the folder for transformers do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawings import draw_folder, tiny_vit

import transfersweep
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.smaller.options import Smaller
from search.export.verification import TOLERANCE
from tests.conftest import make_sweep

pytest.importorskip("onnxruntime")
Made = tuple[dict[str, Any], list[Any]]
"""The data set of a trial, and rows for `transfersweep.classifier`."""


def words(folder: Path) -> Made:
    tags = {"Ann": "B-PER", "Rome": "B-LOC"}
    texts = [["Ann", "likes", "Rome"], ["the", "unbelievable", "film"], ["Rome", "likes", "unbelievable", "Ann"]] * 20
    texts = [[*text, str(row)] for row, text in enumerate(texts)]
    lines = [{"words": text, "tags": [tags.get(word, "O") for word in text]} for text in texts]
    (folder / "words.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    data = {"task": "tagging", "json": str(folder / "words.jsonl"), "text": "words", "label": "tags"}
    return data, [" ".join(text) for text in texts[:3]]


def choices(folder: Path) -> Made:
    rows = [(f"a good film {row}", ["good", "bad", "the worst"][: 2 + row % 2]) for row in range(60)]
    lines = [{"question": q, "choices": of, "label": row % 2} for row, (q, of) in enumerate(rows)]
    (folder / "choices.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return {"task": "multiple_choice", "json": str(folder / "choices.jsonl")}, rows


def questions(folder: Path) -> Made:
    lines: list[dict[str, Any]] = []
    for row in range(60):
        context = f"the film {row} was " + "very " * (row % 20) + ("good" if row % 4 else "long") + " and the story too"
        answers = {"text": ["good"], "answer_start": [context.index("good")]} if row % 4 else None
        lines.append({"question": "how was the film", "context": context, "answers": answers})
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    data = {"task": "question_answering", "json": str(folder / "questions.jsonl")}
    return data, [(line["question"], line["context"]) for line in lines]


def images(folder: Path) -> Made:
    drawn = draw_folder(folder / "images", 20)
    return {"task": "image_classification", "folder": str(drawn)}, sorted(drawn.rglob("*.png"))


def answer(found: Any) -> Any:
    """Return what must be equal in two formats; numbers may differ by rounding."""
    return found.label if hasattr(found, "label") else found.text if hasattr(found, "text") else found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("make", [words, choices, questions, images], ids=lambda make: make.__name__)
def test_a_folder_of_each_task(make: Callable[[Path], Made], tiny_bert: str, tmp_path: Path) -> None:
    data, rows = make(tmp_path)
    target = {"dataset": data, "learning_rate": 1e-3, **({} if make is images else {"padding_length": 24})}
    encoder = tiny_vit(tmp_path / "vit") if make is images else tiny_bert
    swept = make_sweep(tmp_path / "runs", {"encoder": encoder, "target": target})
    chosen = choose(swept.name, swept.storage, tmp_path / "onnx", format="onnx")
    onnx = export_trial(replace(chosen, smaller=Smaller(int8=make is images, most_loss=1.0)))
    assert onnx.verification.max_difference <= TOLERANCE
    classify = transfersweep.classifier(onnx.folder)
    found, alone = classify(rows), [classify(row) for row in rows[:3]]
    if make is images:  # 8-bit integers differ
        (int8,) = onnx.verification.changes
        assert int8.before.score == pytest.approx(chosen.record.metrics[f"target.validation.{onnx.metric}"])
        assert {answer.label for answer in found} <= {"circle", "square"}
    else:
        whole = transfersweep.classifier(export_trial(choose("tiny", swept.storage, tmp_path / "hf")).folder)
        assert [*map(answer, found)] == [*map(answer, whole(rows))]
        assert [*map(answer, alone)] == [*map(answer, found[:3])]
    names: dict[str, Any] = {}
    *lines, last = [line.replace("photo.jpg", str(rows[0])) for line in onnx.usage() if line]
    exec("\n".join(lines), names)
    shown = eval(last, names)
    if make is images:
        assert shown == found[0].label
    elif make is questions:
        for row, each in zip(rows[:8], found, strict=False):  # their contexts fit into one window
            given = [f"question, context = {row!r}" if line.startswith("question") else line for line in lines]
            exec("\n".join(given), names)
            assert eval(last, names) == each.text
    else:
        assert shown
