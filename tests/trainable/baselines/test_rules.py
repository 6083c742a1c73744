"""Baselines that follow a rule: what each one answers, and its scores on the rows on which trials are scored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from writers import save_writer, translations

from trainable.baselines.compute import compute_baselines
from trainable.baselines.results import NAMES_BY_TASK, NEVER_WIN, BaselineFolder
from trainable.baselines.rules import RULES
from trainable.data.choices import joined_choices
from trainable.data.examples import Examples
from trainable.data.subset import subset
from trainable.inputs.folds import Fold
from trainable.metrics.question_answering import SCORES, SPAN
from trainable.metrics.sequence_to_sequence import SCORES as OF_TEXTS
from trainable.metrics.sequence_to_sequence import SUMS, statistics
from trainable.settings.config import build_config
from trainable.tasks.registry import read_splits
from trainable.workspace import Workspace

FOLD = Fold(np.array([0, 1, 2]), np.array([3, 4]))


def objects(rows: list[Any]) -> Any:
    labels = np.empty(len(rows), dtype=object)
    labels[:] = rows
    return labels


def test_every_rule_is_shown_and_never_chosen() -> None:
    assert {*RULES, "word_tags"} == NEVER_WIN


def test_choices() -> None:
    choices = [["red", "a cat"], ["red", "a cat"], ["a cat", "red"], ["a dog", "a cat", "red"], ["red", "a dog"]]
    questions = ["a cat runs", "a dog runs", "cat and cat", "which cat runs", "nothing of it"]
    labels = np.array([[0, 1, -100], [0, 1, -100], [1, 0, -100], [0, 1, 0], [1, 0, -100]])
    rows = Examples(questions, joined_choices([choices]), labels)
    assert RULES["frequent_place"](rows, FOLD)[..., 0].argmax(1).tolist() == [1, 1]
    similar = RULES["similar_choice"](rows, FOLD)
    assert similar.shape == (2, 3, 1)
    assert similar[..., 0].argmax(1).tolist() == [1, 0]
    assert similar[0, 0, 0] == 0  # no word in common


def test_questions() -> None:
    told, written = "Dr. No left. The cat ran home! And then?", "她走了。猫在家。好"
    contexts = ["The cat sleeps.", "猫在家。", "A dog.", told, written]
    rows = Examples(["where is the cat"] * 4 + ["猫"], contexts, objects([{}] * 5))
    sentences = RULES["similar_sentence"](rows, FOLD)
    spans = zip(contexts[3:], sentences[:, SPAN].long().tolist(), strict=True)
    assert [context[begin:end] for context, (begin, end) in spans] == ["The cat ran home!", "猫在家。"]
    assert (sentences[:, SCORES, 0] > sentences[:, SCORES, 1]).all()
    none = RULES["no_answer"](rows, FOLD)
    assert (none[:, SCORES, 0] < none[:, SCORES, 1]).all()


def test_texts() -> None:
    texts, summaries = ["a b, c d"] * 3 + ["One two. Three!", "?"], [("a",), ("a b",), ("a b c",), ("one two",), ("x",)]
    rows = Examples(texts, None, objects(summaries))
    for name, answers in (("same_text", texts[3:]), ("first_words", ["One two", ""])):
        expected = statistics(np.zeros((2, len(SUMS))), answers, summaries[3:])
        assert RULES[name](rows, FOLD).numpy() == pytest.approx(expected)


def questions(folder: Path) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for row in range(60):
        answers = {"text": ["It was good."], "answer_start": [len(f"Film {row}. ")]} if row % 4 else None
        lines.append({"question": "was it good", "context": f"Film {row}. It was good.", "answers": answers})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return {"task": "question_answering", "json": str(folder / "rows.jsonl")}


def choices(folder: Path) -> dict[str, Any]:
    rows = [(f"a good film {row}", ["good", "bad", "the worst"][: 2 + row % 2]) for row in range(60)]
    lines = [{"question": text, "choices": of, "label": int(row % 5 == 0)} for row, (text, of) in enumerate(rows)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return {"task": "multiple_choice", "json": str(folder / "rows.jsonl")}


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("task", ["multiple_choice", "question_answering", "sequence_to_sequence"])
def test_the_scores_of_rules(base: dict[str, Any], workspace: Workspace, tmp_path: Path, task: str, folds: int) -> None:
    target: dict[str, Any] = {**base["target"], "padding_length": 24}
    if task == "sequence_to_sequence":
        file = translations(tmp_path / "rows.jsonl", 80)
        target |= {"dataset": {"task": task, "json": str(file)}, "target_length": 8}
        base["encoder"] = save_writer("t5", tmp_path / "t5")
    else:
        target |= {"dataset": choices(tmp_path) if task == "multiple_choice" else questions(tmp_path)}
    target |= {"validation_rows": 5} if folds == 1 else {}
    config = build_config({**base, "target": target})
    folder = BaselineFolder(tmp_path / "baselines")
    compute_baselines(config, workspace, folder, folds=folds, refit=folds > 1)
    results = folder.read()
    assert [result.name for result in results] == list(NAMES_BY_TASK[task])
    assert [(result.error, len(result.folds)) for result in results] == [(None, folds)] * 2
    assert not any("loss" in result.metrics for result in results)
    first, second = (result.metrics for result in results)
    if folds > 1:
        return
    if task == "multiple_choice":
        assert (first["accuracy"], second["accuracy"]) == (0.8, 0.8)
    elif task == "question_answering":
        assert second["exact_match"] == pytest.approx(1 - first["exact_match"])
    else:
        validation = read_splits(config.dataset_of(config.target)).validation
        scored = validation.take(subset(validation.strata, 5, 0))
        expected = sacrebleu.corpus_chrf(scored.text, [[texts[0] for texts in scored.labels]]).score
        assert first["chrf"] == pytest.approx(expected, abs=0.01) and set(first) == {*OF_TEXTS} - {"loss"}
