"""An exported model of each task answers as the checkpoint does, in every tool that its card names."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
import pytest
import sacrebleu
from drawings import draw_folder, tiny_vit
from huggingface_hub import ModelCard
from transformers import AutoModelForMultipleChoice, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline
from writers import save_writer, translations

import transfersweep
from search.advice.sweep import Sweep
from search.export.classifier import Classifier
from search.export.evaluate import evaluate_file
from search.export.export import Exported, export_trial
from search.export.exportable import choose
from search.export.facts import read_facts
from search.export.predict import predict_file
from search.plan.plan import load_sweep
from search.record.row_answers import RowAnswers
from search.report.page import build_page
from search.serve.register import answers_in_table
from search.storage.sweep_folder import SweepFolder, load_outcome
from tests.conftest import make_sweep
from trainable.baselines.compute import compute_baselines
from trainable.baselines.results import NAMES_BY_TASK
from trainable.errors import ConfigError


def write_table(file: Path, header: list[str], labels: list[list[Any]]) -> Path:
    """Write a table whose texts say which labels they have."""
    rows = [[f"a {' '.join(map(str, cells))} film {row}", *cells] for row, cells in enumerate(labels)]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["text", *header], *rows])
    return file


def check_report(swept: SweepFolder) -> None:
    """The report of a sweep of any task has the winner's worst rows, with their texts."""
    answers, outcome = RowAnswers.load(swept.answers), load_outcome(swept)
    assert answers is not None and outcome is not None and outcome.test is not None
    assert len(answers.rows) == outcome.test.rows
    if (accuracy := outcome.test.metrics.get("accuracy")) is not None:
        right = sum(row.predicted == row.true for row in answers.rows) / len(answers.rows)
        assert right <= accuracy + 1e-9  # a row of a tagger is right only if all its words are
    page = build_page(Sweep.open(outcome, swept))
    assert "The worst rows of the test split" in page or not answers.wrong


def exported_sweep(folder: Path, encoder: str, dataset: dict[str, Any]) -> Exported:
    target = {"dataset": dataset, "padding_length": 24, "learning_rate": 1e-3}
    swept = make_sweep(folder / "runs", {"encoder": encoder, "pooling": "first", "target": target})
    check_report(swept)
    return export_trial(choose(swept.name, swept.storage, folder / "model"))


def evaluated(exported: Exported, file: Path, metric: str) -> float:
    """Return a score of an exported model on a labelled file."""
    return evaluate_file(exported.folder, file).scores.metrics[metric]


def check_records(exported: Exported, records: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> None:
    """A server and a registered model give what `predict` writes."""
    facts = read_facts(exported.folder)
    found = answers_in_table(pd.DataFrame(records), facts, Classifier.load(exported.folder, facts))
    names = list(predicted[0])
    assert list(found) == names[names.index("predicted") :]
    assert found["predicted"].tolist() == [row["predicted"] for row in predicted]
    chances = [float(row["probability"]) for row in predicted]
    assert found["probability"].tolist() == pytest.approx(chances, abs=1e-5)


def test_a_regression(tiny_bert: str, tmp_path: Path) -> None:
    file = write_table(tmp_path / "films.csv", ["stars"], [[100 * (row % 5)] for row in range(60)])
    exported = exported_sweep(tmp_path, tiny_bert, {"task": "regression", "csv": str(file), "label": "stars"})
    predict_file(exported.folder, file, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["text", "stars", "predicted"]
    found, texts = [float(row["predicted"]) for row in rows], [row["text"] for row in rows]
    assert np.std(found) > 1  # it gives the units of the file
    errors = np.array(found) - [float(row["stars"]) for row in rows]
    assert evaluated(exported, file, "rmse") == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert transfersweep.classifier(exported.folder)(texts) == pytest.approx(found, rel=1e-5)
    bare = pipeline("text-classification", model=str(exported.folder), truncation=True, function_to_apply="none")
    assert [answer["score"] for answer in bare(texts)] == pytest.approx(found, rel=1e-4)
    names: dict[str, Any] = {}
    *lines, last = [line for line in exported.usage() if line]
    exec("\n".join(lines), names)
    assert isinstance(eval(last, names), float)
    card = ModelCard.load(exported.folder / "README.md")
    assert "regression" in card.data.tags and card.data.metrics == ["pearsonr"]
    assert "Gives texts a number." in card.text and "classes" not in card.text


def test_a_multi_label_classification(tiny_bert: str, tmp_path: Path) -> None:
    sets = ["fun", "fun|war", "", "war", "sad|fun"]
    file = write_table(tmp_path / "films.csv", ["topics"], [[sets[row % 5]] for row in range(90)])
    data = {"task": "multi_label", "csv": str(file), "label": "topics", "label_separator": "|"}
    exported = exported_sweep(tmp_path, tiny_bert, data)
    predict_file(exported.folder, file, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["text", "topics", "predicted", "p_fun", "p_sad", "p_war"]
    texts, found = [row["text"] for row in rows], [set(filter(None, row["predicted"].split("|"))) for row in rows]
    right = [set(filter(None, row["topics"].split("|"))) == answer for row, answer in zip(rows, found, strict=True)]
    assert evaluated(exported, file, "subset_accuracy") == pytest.approx(np.mean(right))
    assert [{name for name in ("fun", "sad", "war") if float(row[f"p_{name}"]) > 0.5} for row in rows] == found
    assert [set(answer.labels) for answer in transfersweep.classifier(exported.folder)(texts)] == found
    bare = pipeline("text-classification", model=str(exported.folder), truncation=True, top_k=None)
    assert [{each["label"] for each in answers if each["score"] > 0.5} for answers in bare(texts)] == found
    names: dict[str, Any] = {}
    *lines, last = [line for line in exported.usage() if line]
    exec("\n".join(lines), names)
    assert set(eval(last, names)) <= {"fun", "sad", "war"}
    assert "Gives texts any of 3 labels." in ModelCard.load(exported.folder / "README.md").text


def test_a_tagger_with_windows_answers_for_every_word(tiny_bert: str, tmp_path: Path) -> None:
    words = [f"{'Rome' if place % 7 == 3 else 'film'}" for place in range(40)]
    tags = ["O" if word == "Rome" else "B-LOC" for word in words]  # the answer for cut words is the rare tag
    lines = [{"words": words[row:], "tags": tags[row:]} for row in range(0, 36)]
    file = tmp_path / "films.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    data = {"task": "tagging", "json": str(file), "text": "words", "label": "tags"}
    target = {"dataset": data, "padding_length": 12, "learning_rate": 5e-3, "batch_size": 4, "long_texts": "windows"}
    swept = make_sweep(tmp_path / "runs", {"encoder": tiny_bert, "pooling": "first", "target": target})
    check_report(swept)
    exported = export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    found = transfersweep.classifier(exported.folder)(" ".join(words))
    assert len(found) == 40 and "B-LOC" in found[20:]
    predict_file(exported.folder, file, tmp_path / "out.jsonl")
    (first, *_) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["predicted"].split() == found
    assert "overlapping windows of 12 tokens" in (exported.folder / "README.md").read_text(encoding="utf-8")


def test_a_tagger(tiny_bert: str, tmp_path: Path) -> None:
    tags = {"Ann": "B-PER", "Lee": "I-PER", "Rome": "B-LOC"}
    sentences = [["Ann", "Lee", "likes", "Rome"], ["the", "film"], ["Rome", "likes", "unbelievable", "Ann"]]
    lines = [
        {"words": [*words, str(row)], "tags": [tags.get(w, "O") for w in [*words, ""]]}
        for row in range(20)
        for words in sentences
    ]
    file = tmp_path / "films.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    data = {"task": "tagging", "json": str(file), "text": "words", "label": "tags"}
    exported = exported_sweep(tmp_path, tiny_bert, data)
    assert exported.format == "hf"
    predict_file(exported.folder, file, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [row["predicted"].split() for row in rows]
    assert [len(row) for row in found] == [len(line["words"]) for line in lines]
    assert {tag for row in found for tag in row} <= {*tags.values(), "O"}
    right = [
        tag == true for row, line in zip(found, lines, strict=True) for tag, true in zip(row, line["tags"], strict=True)
    ]
    assert evaluated(exported, file, "accuracy") == pytest.approx(np.mean(right))
    texts = [" ".join(line["words"]) for line in lines]
    assert transfersweep.classifier(exported.folder)(texts) == found
    bare = pipeline("token-classification", model=str(exported.folder), aggregation_strategy="none", ignore_labels=[])
    for text, row in zip(texts[:3], found, strict=False):
        tag_at = {each["start"]: each["entity"] for each in bare(text)}
        starts = [len(" ".join(text.split()[:number])) + (number > 0) for number in range(len(row))]
        assert [tag_at[start] for start in starts] == row
    names: dict[str, Any] = {}
    *lines_of_usage, last = [line for line in exported.usage() if line]
    exec("\n".join(lines_of_usage), names)
    assert isinstance(eval(last, names), list)
    assert "Gives each word of texts one of 4 tags." in ModelCard.load(exported.folder / "README.md").text


def test_a_multiple_choice(tiny_bert: str, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"question": f"a good film {row}", "choices": ["good", "bad", "the worst"][: 2 + row % 2], "label": row % 2}
        for row in range(60)
    ]
    file = tmp_path / "films.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    exported = exported_sweep(tmp_path, tiny_bert, {"task": "multiple_choice", "json": str(file)})
    assert exported.format == "hf"
    predict_file(exported.folder, file, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(rows[0]) == ["question", "choices", "label", "predicted", "probability"]
    right = [str(row["label"]) == row["predicted"] for row in rows]
    assert evaluated(exported, file, "accuracy") == pytest.approx(np.mean(right))
    answers = transfersweep.classifier(exported.folder)([(line["question"], line["choices"]) for line in lines])
    assert [answer.label for answer in answers] == [row["predicted"] for row in rows]
    check_records(exported, [{"question": line["question"], "choices": line["choices"]} for line in lines], rows)
    assert [len(answer.probabilities) for answer in answers] == [len(line["choices"]) for line in lines]
    assert sum(answers[1].probabilities.values()) == pytest.approx(1)
    # A BERT with one output is also a multiple-choice model of transformers.
    model = AutoModelForMultipleChoice.from_pretrained(exported.folder)
    tokenizer = AutoTokenizer.from_pretrained(exported.folder)
    question, choices = lines[1]["question"], lines[1]["choices"]
    batch = tokenizer([question] * len(choices), choices, padding=True, return_tensors="pt")
    logits = model(**{name: tensor.unsqueeze(0) for name, tensor in batch.items()}).logits[0]
    assert logits.softmax(-1).tolist() == pytest.approx(list(answers[1].probabilities.values()), abs=1e-5)
    names: dict[str, Any] = {}
    *lines_of_usage, last = [line for line in exported.usage() if line]
    exec("\n".join(lines_of_usage), names)
    assert eval(last, names) in names["choices"]
    card = ModelCard.load(exported.folder / "README.md")
    assert "Chooses one of several answers" in card.text and "multiple-choice" in card.data.tags
    with pytest.raises(TypeError, match="a question and a list of at least two choices"):
        transfersweep.classifier(exported.folder)("a good film")


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_a_model_over_words(tiny_bert: str, tmp_path: Path, task: str) -> None:
    sets: list[Any] = ["fun", "fun|war", "", "war", "sad|fun"] if task == "multi_label" else [1, 2, 3, 4, 5]
    file = write_table(tmp_path / "films.csv", ["topics"], [[sets[row % 5]] for row in range(60)])
    data = {"task": task, "csv": str(file), "label": "topics"} | (
        {"label_separator": "|"} if task == "multi_label" else {}
    )
    target = {"dataset": data, "padding_length": 24, "learning_rate": 1e-3}
    swept = make_sweep(tmp_path / "runs", {"encoder": tiny_bert, "pooling": "first", "target": target})
    check_report(swept)
    swept.outcome.unlink()
    plan = load_sweep(swept)
    compute_baselines(plan.config({"target.epochs": 1}), plan.workspace(swept.storage), swept.baselines, 1, False)
    wins = NAMES_BY_TASK[task][1]
    for result in swept.baselines.read():
        metrics = {**result.metrics, plan.settings.metric: 2.0 if result.name == wins else -2.0}
        swept.baselines.write(replace(result, metrics=metrics, folds=()))
    exported = export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    assert (exported.format, exported.baseline) == ("skops", wins)
    usage, shown = exported.usage(), dict[str, Any]()
    exec("\n".join([*usage[:-1], f"found = {usage[-1]}".replace("Your text", "a fun film 3")]), shown)
    answer = transfersweep.classifier(tmp_path / "model")("a fun film 3")
    assert shown["found"] == pytest.approx(answer) if task == "regression" else shown["found"] == list(answer.labels)
    predict_file(exported.folder, file, tmp_path / "out.csv")


def test_a_model_that_generates_texts(tmp_path: Path) -> None:
    encoder, file = save_writer("bart", tmp_path / "bart"), translations(tmp_path / "words.jsonl", 160)
    data = {"task": "sequence_to_sequence", "json": str(file)}
    target = {"dataset": data, "padding_length": 8, "target_length": 6, "learning_rate": 5e-3, "num_beams": 2}
    swept = make_sweep(tmp_path / "runs", {"encoder": encoder, "target": target})
    check_report(swept)
    with pytest.raises(ConfigError, match="--format onnx: cannot hold models of this task. Formats .* seq2seq$"):
        choose(swept.name, swept.storage, tmp_path / "onnx", format="onnx")
    exported = export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    assert exported.format == "seq2seq" and exported.verification.max_difference == 0
    predict_file(exported.folder, file, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(rows[0]) == ["text", "target", "predicted"]
    texts, found = [row["text"] for row in rows], [row["predicted"] for row in rows]
    expected = sacrebleu.corpus_chrf(found, [[row["target"] for row in rows]]).score
    assert evaluated(exported, file, "chrf") == pytest.approx(expected, abs=1e-4)
    assert transfersweep.classifier(exported.folder)(texts) == found
    folder = str(exported.folder)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert (model.generation_config.num_beams, model.generation_config.max_new_tokens) == (2, 6)
    ids = model.generate(**tokenizer(texts, truncation=True, padding=True, return_tensors="pt"))
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == found
    names: dict[str, Any] = {}
    *lines, last = [line for line in exported.usage() if line]
    exec("\n".join(lines), names)
    assert isinstance(eval(last, names), str)
    card = ModelCard.load(exported.folder / "README.md").text
    assert "Generates new texts from texts." in card and "gave the checkpoint's texts on" in card


def test_question_answering(tiny_bert: str, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    for row in range(60):
        context = f"the film {row} was " + "very " * (row % 9) + ("good" if row % 4 else "long") + " and the story too"
        answers = {"text": ["good"], "answer_start": [context.index("good")]} if row % 4 else None
        lines.append({"question": "how was the film", "context": context, "answers": answers})
    file = tmp_path / "films.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    exported = exported_sweep(tmp_path, tiny_bert, {"task": "question_answering", "json": str(file)})
    assert exported.format == "hf"
    predict_file(exported.folder, file, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(rows[0]) == ["question", "context", "answers", "predicted", "score"]
    assert all(row["predicted"] in row["context"] and bool(row["predicted"]) == (row["score"] >= 0) for row in rows)
    right = [row["predicted"] == (row["answers"] or {"text": [""]})["text"][0] for row in rows]
    assert evaluated(exported, file, "exact_match") == pytest.approx(np.mean(right))
    answers = transfersweep.classifier(exported.folder)([(line["question"], line["context"]) for line in lines])
    assert [answer.text for answer in answers] == [row["predicted"] for row in rows]
    assert all(line["context"][each.start :].startswith(each.text) for line, each in zip(lines, answers, strict=True))
    names: dict[str, Any] = {}
    *lines_of_usage, last = [line for line in exported.usage() if line]
    short = [line for line in lines if len(line["context"]) < 40][:8]
    for line in short:  # contexts of one window
        chosen = f"question, context = {line['question']!r}, {line['context']!r}"
        code = [chosen if each.startswith("question, context") else each for each in lines_of_usage]
        exec("\n".join(code), names)
        assert eval(last, names) == rows[lines.index(line)]["predicted"]
    card = ModelCard.load(exported.folder / "README.md")
    assert "Finds the part of a context" in card.text and card.data.pipeline_tag == "question-answering"


def test_a_classifier_of_images(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images", 20)
    target = {"dataset": {"task": "image_classification", "folder": str(images)}, "image_size": 24}
    trial = {"encoder": tiny_vit(tmp_path / "vit"), "target": {**target, "learning_rate": 1e-3}}
    swept = make_sweep(tmp_path / "runs", trial)
    check_report(swept)
    exported = export_trial(choose(swept.name, swept.storage, tmp_path / "model"))
    assert exported.format == "hf"
    predict_file(exported.folder, images / "circle", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["image", "predicted", "probability", "p_circle", "p_square"]
    files = [images / "circle" / row["image"] for row in rows]
    check_records(exported, [{"image": file.read_bytes()} for file in files], rows)
    answers = transfersweep.classifier(exported.folder)(files)
    assert [answer.label for answer in answers] == [row["predicted"] for row in rows]
    bare = pipeline("image-classification", model=str(exported.folder))
    for file, row in zip(files, rows, strict=True):
        best = max(bare(str(file)), key=lambda answer: answer["score"])
        assert (best["label"], best["score"]) == (row["predicted"], pytest.approx(float(row["probability"]), abs=1e-5))
    assert 'pipeline("image-classification"' in "\n".join(exported.usage())
    card = ModelCard.load(exported.folder / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    assert "Sorts images into 2 classes." in card.text and "tokens of a text" not in card.text
